"""May calls of a signature share a batch? What can be proven of that from its graph alone.

Trying generated rows can only refute. Here the graph is gone through once for all rows there could be
(interpret.py), and the verdict on each output, and on all of them together, is one of

* *proven*: whatever rows are in the batch, one or more of them, and whatever is in them, infinities and
  NaN included, each row's answer is made from its own row alone, or the answer has no rows and is the same
  for everyone. For runs that succeed: that a bad row fails the run of all is another matter.
* *refuted*: rows meet on the way, for sure; the first op in which they do is the reason.
* *unknown*: neither can be told; the first op at which that was so is the reason.

Equal up to rounding: that kernels may round differently for many rows than for one is no row's doing.

What the caller sees to: rows of calls that share a batch have equal inner shapes, and inputs without rows
are equal in all of them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hotgraph_server.row_independence.dimensions import BATCH, ONE, Dim, const, named
from hotgraph_server.row_independence.domain import (
    NO_ROWS,
    Content,
    Counts,
    Distinct,
    Kept,
    Mixed,
    NoRows,
    Rows,
    Unknown,
    Value,
    Why,
    rows_value,
)
from hotgraph_server.row_independence.effects import state_changing_ops
from hotgraph_server.row_independence.interpret import Interpreter, TooLarge
from hotgraph_server.row_independence.scopes import Library, OpDefs


class Verdict(enum.Enum):
    PROVEN = "proven"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Input:
    """An input of a signature.

    Attributes:
        alias: the name that callers use.
        tensor: the tensor in the graph, ``op:index``.
        shape: None for a dimension that is free; None instead of a tuple for an unknown rank.
        has_rows: are calls joined along its dimension 0? If not, it is equal in all calls of a batch.
    """

    alias: str
    tensor: str
    shape: tuple[int | None, ...] | None
    has_rows: bool


@dataclass(frozen=True)
class OutputJudgement:
    """What can be said of one output.

    Attributes:
        verdict: of this output.
        has_rows: of a proven one: False if it is the same for everyone, and goes to everyone as it is.
        reason: as a sentence without a full stop; empty for a proven one.
        why: the op that is the reason; None for a proven one.
    """

    verdict: Verdict
    has_rows: bool = True
    reason: str = ""
    why: Why | None = None


@dataclass(frozen=True)
class Judgement:
    """What can be said of a signature.

    Attributes:
        verdict: refuted if one of the outputs is, proven if all are.
        outputs: by alias.
        reason: that of the output which decides; empty if it is proven.
    """

    verdict: Verdict
    outputs: Mapping[str, OutputJudgement]
    reason: str


def judge(graph_def: Any, inputs: Sequence[Input], outputs: Mapping[str, str], op_def: OpDefs) -> Judgement:
    """Judge a signature.

    Args:
        graph_def: a GraphDef with its function library, as it is run; what the exporter wrote down of shapes
            (`_output_shapes`) is taken for true where it is there.
        inputs: what is fed. What is not, and has no default, makes unknown what is made of it.
        outputs: the tensors that are fetched, ``op:index``, by alias.
        op_def: the OpDef of an op's type, from TensorFlow's book of ops; None: it is not there.
    """
    fed, fetches = [one.tensor for one in inputs], list(outputs.values())
    library = Library(graph_def, op_def)
    changing = state_changing_ops(graph_def, fetches, fed, library.is_stateful)
    if changing:
        return _all_unknown(outputs, f"it may change state: {', '.join(sorted(changing))}")
    try:
        values = Interpreter(graph_def, op_def).places(fetches, fed, [value_of(one) for one in inputs])
    except TooLarge:
        return _all_unknown(outputs, "the graph is too large to be gone through")
    judged = {alias: _judged(alias, value) for alias, value in zip(outputs, values, strict=True)}
    for verdict in (Verdict.REFUTED, Verdict.UNKNOWN):
        for one in judged.values():
            if one.verdict is verdict:
                return Judgement(verdict, judged, one.reason)
    return Judgement(Verdict.PROVEN, judged, "")


def value_of(given: Input) -> Value:
    """What is known of an input before anything is done with it."""
    dims = None
    if given.shape is not None:
        dims = tuple(_size(given.alias, axis, size) for axis, size in enumerate(given.shape))
    if not given.has_rows:
        return Value(NO_ROWS, dims)
    return rows_value(Rows(), dims if dims is None else (BATCH, *dims[1:]))


def _size(alias: str, axis: int, size: int | None) -> Dim:
    return named(f"{alias}.{axis}") if size is None else const(size)


def _all_unknown(outputs: Mapping[str, str], reason: str) -> Judgement:
    judged = OutputJudgement(Verdict.UNKNOWN, reason=reason)
    return Judgement(Verdict.UNKNOWN, dict.fromkeys(outputs, judged), reason)


def _judged(alias: str, value: Value) -> OutputJudgement:
    place = value.place
    if isinstance(place, NoRows):
        return OutputJudgement(Verdict.PROVEN, has_rows=False)
    if isinstance(place, Rows) and place.content <= Content.OWN and place.is_plain:
        if place.axis == 0:
            return OutputJudgement(Verdict.PROVEN)
        return _refuted(f"output {alias!r} has its rows along axis {place.axis}")
    if isinstance(place, Mixed):
        verdict = Verdict.REFUTED if place.sure else Verdict.UNKNOWN
        return OutputJudgement(verdict, reason=sentence(place.why), why=place.why)
    if isinstance(place, Unknown):
        return OutputJudgement(Verdict.UNKNOWN, reason=sentence(place.why), why=place.why)
    if isinstance(place, Counts):
        return _refuted(f"output {alias!r} depends on how many rows there are")
    if isinstance(place, Kept) or (isinstance(place, Rows) and place.ragged is not None):
        return _refuted(f"output {alias!r} has as many rows as there is in all rows together")
    if isinstance(place, Distinct):
        return _refuted(f"output {alias!r} holds what differs among all rows")
    if isinstance(place, Rows):
        return _judged_rows(alias, place)
    return OutputJudgement(Verdict.UNKNOWN, reason=f"output {alias!r} is not laid out by rows")


def _judged_rows(alias: str, place: Rows) -> OutputJudgement:
    if place.content is Content.NUMBER:
        return _refuted(f"output {alias!r} tells the rows' numbers in the batch")
    several = place.outer * place.inner
    if several != ONE and several.is_constant:
        return _refuted(f"output {alias!r} has {several.coefficient} rows for each row")
    what = "does not have one row for each row" if several != ONE else "may depend on the rows' numbers"
    return OutputJudgement(Verdict.UNKNOWN, reason=f"output {alias!r} {what}")


def _refuted(reason: str) -> OutputJudgement:
    return OutputJudgement(Verdict.REFUTED, reason=reason)


def sentence(why: Why) -> str:
    """The op by its name in the model's code, and what it does."""
    if not why.op:
        return why.text
    inside = f" in function {why.function}" if why.function else ""
    return f"{why.node} ({why.op}){inside} {why.text}"
