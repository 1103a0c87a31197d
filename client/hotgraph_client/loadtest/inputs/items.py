"""What may be sent, as arrays. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hotgraph_protos.tensors import Array


class InputError(Exception):
    """Inputs that cannot be made or read: one line that says what, where, and what to do next."""


@dataclass(frozen=True)
class Item:
    """One call's inputs.

    Attributes:
        inputs: by name, of the datatypes and shapes that the model takes.
        rows: along dimension 0.
        expected: right outputs by name, maybe not of all; None: none are known.
        at_s: when it was called, in seconds since the first one of its log; None: nobody knows.
    """

    inputs: Mapping[str, Array]
    rows: int
    expected: Mapping[str, Array] | None = None
    at_s: float | None = None

    @property
    def nbytes(self) -> int:
        """About as much memory do its arrays take."""
        return sum(nbytes_of(array) for array in self.inputs.values())


@dataclass(frozen=True)
class InputSet:
    """What a load is made of.

    Attributes:
        items: sent in turn, or as often as `weights` says. Of a log every call is one, in their order; calls
            that are alike share their `inputs`.
        source: for people: "random, seed 1", "images/ (120 images)".
        weights: how often each is sent relative to the others; None: alike.
        notes: what people should know of it, a line each: what was left out, and why.
        round: any number of whole rounds of so many items would do as well; 0: all items are needed.
    """

    items: tuple[Item, ...]
    source: str
    weights: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()
    round: int = 0

    @property
    def has_times(self) -> bool:
        """Does every item say when it was called, so that they can be replayed?"""
        return bool(self.items) and all(item.at_s is not None for item in self.items)


def nbytes_of(array: Array) -> int:
    """Bytes of an array's elements, those of strings included."""
    if array.dtype == object:
        return sum(len(element) for element in array.ravel()) + 4 * array.size
    return array.nbytes
