"""A signature: a named set of input and output tensors of a version, and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hotgraph_server.tensors import Array

DEFAULT_SIGNATURE = "serving_default"
"""The name that both TensorFlow 1's and 2's exporters give to the signature that clients mean."""

Shape = tuple[int | None, ...]

Role = Literal["indices", "values", "dense_shape", "flat_values", "row_splits", "other"]


@dataclass(frozen=True)
class Part:
    """What a tensor is of a sparse tensor (indices, values, dense_shape), a ragged one (flat_values,
    row_splits) or some other that is made of several.

    Attributes:
        whole: the name of that other tensor.
        role: what of it.
        level: of row_splits; 0 is the outermost.
        shape: of the whole, where it is known; its dimension 0 is that of none of the parts.
    """

    whole: str
    role: Role
    level: int = 0
    shape: Shape | None = None


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        alias: the name that callers use.
        tensor: the tensor in the graph, ``op:index``.
        dtype: object for strings.
        shape: None for a dimension that is free; None instead of a tuple for an unknown rank.
        part: what it is a part of; None: it is whole.
    """

    alias: str
    tensor: str
    dtype: np.dtype[Any]
    shape: Shape | None
    part: Part | None = None

    @property
    def free_rows(self) -> bool:
        """Is dimension 0 there, and free, and that of rows? In a part of a tensor it is something else."""
        return self.part is None and bool(self.shape) and self.shape[0] is None  # type: ignore[index]


@dataclass(frozen=True)
class Content:
    """What the strings of an input hold, as the ops that read them tell.

    Attributes:
        name: in words, for people: "JPEG images".
        samples: some that the graph can read.
        others: some that are odd, and that it may refuse.
    """

    name: str
    samples: tuple[bytes, ...] = field(repr=False)
    others: tuple[bytes, ...] = field(repr=False, default=())


@dataclass(frozen=True)
class Values:
    """Values that a graph treats apart, as its ops, tables and vocabularies tell: worth a try for any input.

    Attributes:
        numbers: sizes of what is looked up in, depths, boundaries, keys, what is compared with.
        texts: words of vocabularies and tables, and what is compared with.
    """

    numbers: tuple[float, ...] = ()
    texts: tuple[bytes, ...] = ()


NO_VALUES = Values()


@dataclass(frozen=True)
class Signature:
    """What can be called.

    Attributes:
        inputs: in the order in which a run takes them.
        outputs: in the order in which a call without a choice of its own gets them.
        method_name: as TensorFlow Serving's clients see it in the metadata.
        defaults: the value of an input that a call leaves out, by alias.
        writes: running it may change the state of the session.
        variables: the names of the variables that it may write.
        other_state: what else it may write: tables, queues; as words for people.
        varies: running it twice on the same inputs may give two answers even where nothing is written: it
            draws random numbers, or reads files.
        contents: what the strings of an input hold, by alias; not there: texts of any kind.
        values: what the graph tells of the values that it may be asked for.
        compiles: the op on the way that compiles for each shape that it gets (XLA); empty: none does.
        python_call: an op that a run may come to and that calls a Python function which is not in this
            process; such a run fails. Empty: there is none.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    method_name: str = ""
    defaults: Mapping[str, Array] = field(default_factory=dict)
    writes: bool = False
    variables: frozenset[str] = frozenset()
    other_state: frozenset[str] = frozenset()
    varies: bool = False
    contents: Mapping[str, Content] = field(default_factory=dict, repr=False)
    values: Values = field(default=NO_VALUES, repr=False)
    compiles: str = ""
    python_call: str = ""

    def __post_init__(self) -> None:
        # Looked up for every call; a frozen dataclass lets us set them only this way.
        object.__setattr__(self, "inputs_by_alias", {spec.alias: spec for spec in self.inputs})
        object.__setattr__(self, "outputs_by_alias", {spec.alias: spec for spec in self.outputs})
        object.__setattr__(self, "output_aliases", tuple(spec.alias for spec in self.outputs))

    inputs_by_alias: Mapping[str, TensorSpec] = field(init=False, repr=False, compare=False)
    outputs_by_alias: Mapping[str, TensorSpec] = field(init=False, repr=False, compare=False)
    output_aliases: tuple[str, ...] = field(init=False, repr=False, compare=False)


def default_signature(signatures: Mapping[str, Signature]) -> Signature | None:
    """The signature of a call that names none: ``serving_default``, or the only one there is."""
    if DEFAULT_SIGNATURE in signatures:
        return signatures[DEFAULT_SIGNATURE]
    return next(iter(signatures.values())) if len(signatures) == 1 else None
