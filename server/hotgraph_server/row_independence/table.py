"""The table of rules, and what a rule sees of an op.

A rule says, for one type of op, where the rows of its outputs are, given where those of its inputs are. What
holds for every op is told in `transfer` (transfer.py) and need not be said by a rule: no rule sees an input
whose rows are mixed or unknown, or that is made of one row of a loop, unless it asks to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hotgraph_server.row_independence.alternatives import joined_content
from hotgraph_server.row_independence.dimensions import const
from hotgraph_server.row_independence.domain import Content, Dims, Mixed, NoRows, Rows, Unknown, Value, Why
from hotgraph_server.tensors import dtype_of


class Op:
    """A node with what is known of its inputs.

    Attributes:
        node: the NodeDef.
        type: its op.
        inputs: of each input that is no control input.
        key: a name for it in this place of this call of its function; no other op has it.
    """

    def __init__(self, node: Any, inputs: Sequence[Value], function: str, path: str) -> None:
        self.node = node
        self.type: str = node.op
        self.inputs = list(inputs)
        self.function = function
        self.key = f"{path}{node.name}"

    def why(self, text: str) -> Why:
        return Why(self.node.name, self.function, self.type, text)

    def mixed(self, text: str, *, sure: bool = True, extent: bool = False) -> Value:
        """Rows meet in it; `text` goes on where the op's name has stood: ``takes the mean over rows``."""
        return Value(Mixed(self.why(text), sure, extent))

    def unknown(self, text: str) -> Value:
        return Value(Unknown(self.why(text)))

    def has(self, name: str) -> bool:
        return name in self.node.attr

    def integer(self, name: str, default: int = 0) -> int:
        return int(self.node.attr[name].i) if name in self.node.attr else default

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.node.attr[name].b) if name in self.node.attr else default

    def text(self, name: str, default: str = "") -> str:
        return str(self.node.attr[name].s.decode()) if name in self.node.attr else default

    def integers(self, name: str) -> tuple[int, ...]:
        return tuple(self.node.attr[name].list.i) if name in self.node.attr else ()

    def dtype(self, name: str) -> np.dtype[Any] | None:
        return dtype_of(self.node.attr[name].type) if name in self.node.attr else None

    def content(self) -> Content:
        """What its outputs are made of, if it does with its inputs what numbers do not outlive."""
        contents = [value.place.content for value in self.inputs if isinstance(value.place, Rows)]
        return joined_content(contents) if contents else Content.SAME

    @property
    def has_no_rows(self) -> bool:
        """Has none of its inputs anything to do with rows?"""
        return all(isinstance(value.place, NoRows) for value in self.inputs)


Rule = Callable[[Op], "Value | list[Value]"]

RULES: dict[str, Rule] = {}
TAKES_PARTS: set[str] = set()
"""The types of ops whose rules see inputs of every place but Mixed and Unknown."""
TAKES_MIXED: set[str] = set()
"""The types of ops whose rules see these too."""


def rule(*types: str, takes_parts: bool = False, takes_mixed: bool = False) -> Callable[[Rule], Rule]:
    """Enter a function as the rule of these types of ops. Unless it asks for more, it sees inputs that are
    NoRows, Counts or Rows."""

    def enter(function: Rule) -> Rule:
        for one in types:
            assert one not in RULES, one
            RULES[one] = function
        if takes_parts:
            TAKES_PARTS.update(types)
        if takes_mixed:
            TAKES_MIXED.update(types)
        return function

    return enter


def dims_of_shape(shape: Any) -> Dims | None:
    """A TensorShapeProto's dimensions."""
    if shape.unknown_rank:
        return None
    return tuple(const(dim.size) if dim.size >= 0 else None for dim in shape.dim)


def axis_of(axis: int, rank: int | None) -> int | None:
    """An axis counted from the front; None: it is counted from the end, and that is not known."""
    if axis >= 0:
        return axis
    return None if rank is None else axis + rank
