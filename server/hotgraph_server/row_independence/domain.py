"""What is known of a tensor while a graph is looked through: where its rows are, its dimensions, and for the
small integer tensors that shapes are made of, their elements. Pure.

A run gets B >= 1 rows. A tensor is a function of all of them, and `Place` says which kind of function:

* `NoRows`: the same whatever the rows are and however many there are.
* `Counts`: made from B, and from nothing that is in the rows.
* `Rows`: along one axis it is cut into B slices, and slice i is made from row i alone; for a run of row i
  alone the whole tensor would be that slice. An axis of outer * B * inner elements belongs to row
  (index / inner) mod B, which is what is left of rows when a reshape or a concat has joined axes. Where the
  axis is ragged, each row has a stretch of its own length, one after the other.
* `OneRow`: inside a loop that goes through the rows one at a time, made from the row of this turn alone.
* `Splits`: where the stretches of a ragged axis begin or end.
* `Distinct`, `Pick`: the different values among those of all rows, and for each value of each row which of
  them it is. Alone they are of no use, looked up in one another they are rows again.
* `Kept`: which elements of an axis of rows pass a test that each row's own content decides. Taken out of a
  tensor that lies along the same axis, they are a stretch of each row.
* `Held`: a handle of a list or an array of tensors; what is in it is told by `Value.items`.
* `Mixed`: rows meet in it. `sure`: whatever is in the rows, so that a graph that gives it as an answer gives
  answers that depend on neighbours; not sure: what came later may have undone it. `extent`: it is the size
  that depends on what is in the rows, as it does when texts are padded to the longest.
* `Unknown`: cannot be told.

All of these are plain values, compared by what is in them: the loops of a graph are gone through until
nothing changes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from hotgraph_server.row_independence.dimensions import BATCH, ONE, Dim, const, counts_rows


class Why(NamedTuple):
    """The op where a tensor stopped being made of rows.

    Attributes:
        node: the op's name in the graph or in the function.
        function: the function that it is in; empty: the graph itself.
        op: its type.
        text: what it does with rows.
    """

    node: str
    function: str
    op: str
    text: str


class Content(enum.IntEnum):
    """What a row's slice is made of."""

    SAME = 0
    """Of nothing that is in any row: all slices are equal."""
    OWN = 1
    """Of what is in its own row."""
    NUMBER = 2
    """All its elements are the row's own number in the batch, counted from 0."""
    KEYED = 3
    """Its last axis begins with the row's own number; what follows is OWN."""
    NUMBERED = 4
    """Of its own row and of that row's number."""


class Partition(NamedTuple):
    """How a ragged axis is cut into stretches.

    Attributes:
        key: which partition it is; two axes belong together only if these are equal.
        filled: no row's stretch is empty.
    """

    key: str
    filled: bool = False


@dataclass(frozen=True, slots=True)
class NoRows:
    pass


@dataclass(frozen=True, slots=True)
class Counts:
    pass


@dataclass(frozen=True, slots=True)
class Rows:
    axis: int = 0
    content: Content = Content.OWN
    outer: Dim = ONE
    inner: Dim = ONE
    ragged: Partition | None = None

    @property
    def is_plain(self) -> bool:
        """Is index i of the axis row i?"""
        return self.ragged is None and self.outer == ONE and self.inner == ONE


@dataclass(frozen=True, slots=True)
class OneRow:
    loop: str
    numbered: bool = False


class Part(enum.Enum):
    """Which of the B + 1 borders between stretches."""

    ALL = "all"
    BEGINS = "begins"
    ENDS = "ends"


@dataclass(frozen=True, slots=True)
class Splits:
    partition: Partition
    part: Part = Part.ALL


@dataclass(frozen=True, slots=True)
class Distinct:
    key: str


@dataclass(frozen=True, slots=True)
class Pick:
    key: str
    base: Rows


@dataclass(frozen=True, slots=True)
class Kept:
    key: str
    base: Rows


@dataclass(frozen=True, slots=True)
class Held:
    pass


@dataclass(frozen=True, slots=True)
class Mixed:
    why: Why
    sure: bool = True
    extent: bool = False
    partly: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    why: Why


Place = NoRows | Counts | Rows | OneRow | Splits | Distinct | Pick | Kept | Held | Mixed | Unknown

NO_ROWS, COUNTS, HELD = NoRows(), Counts(), Held()


class Turn(NamedTuple):
    """An integer that is `offset` in the first turn of a loop and one more in each that follows.

    `by_row`: the loop has a turn for each row.
    """

    loop: str
    offset: int = 0
    by_row: bool = False


class Below(NamedTuple):
    """Is this turn of a loop one of the first `bound`?"""

    loop: str
    bound: Dim


Element = Dim | Turn | Below | Place
"""What is known of one integer (or truth value, as 0 or 1): its value, or at least where it comes from."""

Dims = tuple[Dim | None, ...]
Elements = tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """What is in a list or an array of tensors.

    Attributes:
        element: what any of its elements may be; None: nothing has been put in.
        by_row: element i is made from row i alone; its place is that of OneRow, whatever the loop.
        length: how many there are; None: not known.
        gaps: of some rows there may be none, for what is in a row decides whether its element is written.
    """

    element: Value | None = None
    by_row: bool = False
    length: Dim | None = None
    gaps: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a tensor.

    Attributes:
        place: where its rows are.
        dims: its dimensions, None for one that is not known; None instead of a tuple: its rank is not known.
            Only the axis of rows holds a multiple of B.
        elements: of a scalar or a vector of integers or truth values; None: not followed.
        items: for Held alone.
        holds: for a handle of a variable, the dimensions of what is in it.
    """

    place: Place
    dims: Dims | None = None
    elements: Elements | None = None
    items: Items | None = None
    holds: Dims | None = None

    @property
    def rank(self) -> int | None:
        return None if self.dims is None else len(self.dims)

    @property
    def constants(self) -> tuple[int, ...] | None:
        """Its elements, if they are numbers; None: at least one is not."""
        if self.elements is None:
            return None
        found = [
            element.coefficient
            for element in self.elements
            if isinstance(element, Dim) and element.is_constant
        ]
        return tuple(found) if len(found) == len(self.elements) else None

    @property
    def scalar(self) -> Element | None:
        """Its only element, if it is a scalar that is followed."""
        return self.elements[0] if self.elements is not None and self.dims == () else None


def scalar_of(element: Element) -> Value:
    return Value(place_of_element(element), (), (element,))


def vector_of(elements: Elements) -> Value:
    """A vector of these elements, with the place that they have together."""
    return Value(place_of_elements(elements), (const(len(elements)),), elements)


def rows_value(place: Rows, dims: Dims | None) -> Value:
    """A tensor with rows; the size of their axis is known from the place."""
    if dims is not None:
        size = None if place.ragged else (place.outer * BATCH * place.inner)
        dims = (*dims[: place.axis], size, *dims[place.axis + 1 :])
    return Value(place, dims)


def place_of_element(element: Element) -> Place:
    if isinstance(element, Dim):
        return COUNTS if counts_rows(element) else NO_ROWS
    if isinstance(element, Turn):
        return OneRow(element.loop, numbered=True) if element.by_row else NO_ROWS
    if isinstance(element, Below):
        return COUNTS if counts_rows(element.bound) else NO_ROWS
    return element


def place_of_elements(elements: Elements) -> Place:
    """Where a tensor's rows are that has these elements: the worst of theirs."""
    places = [place_of_element(element) for element in elements]
    for kind in (Mixed, Unknown, OneRow, Counts):
        for place in places:
            if isinstance(place, kind):
                return place
    return NO_ROWS
