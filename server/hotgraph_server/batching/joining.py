"""Join the inputs of several calls, and cut their outputs apart again. Pure.

Dimension 0 is the only one ever joined or cut; which calls may be joined at all is decided before the
version is live (warmup/batching_rules.py, warmup/batch_safety.py). What is joined otherwise than one below
the other is said by the signature's Joining: inputs without rows, which are equal in all calls; outputs
without rows, which everyone gets as they are; inner dimensions that are padded (padding.py); and sizes to
which batches are filled up.

Both are on the path of every batch, and for a tiny graph they are a good part of it: 32 calls of one small
row cost 5 us to join and 5 us to cut (a plain loop: 13 and 19).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hotgraph_server.batching.padding import Padding, cut_back, longest, place
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array

# TensorFlow shares an array's memory if it begins at a multiple of this, and copies it if not: 38 MB cost
# 10 ms then, and nothing otherwise. numpy itself begins at multiples of 16.
_ALIGNMENT = 64
# Below, the copy costs less than the alignment.
_WORTH_ALIGNING = 64 * 1024


@dataclass(frozen=True)
class Joining:
    """How calls of a signature are joined and cut; made by `joining_of`.

    Attributes:
        whole_inputs: indices of the inputs that have no rows.
        whole_outputs: aliases of the outputs that have none.
        padding: None: calls of a batch have equal inner shapes.
        buckets: rows to which batches are filled up, rising; none: as many as there are.
    """

    whole_inputs: frozenset[int] = frozenset()
    whole_outputs: frozenset[str] = frozenset()
    padding: Padding | None = None
    buckets: tuple[int, ...] = ()
    plain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        special = self.whole_inputs or self.whole_outputs or self.padding or self.buckets
        object.__setattr__(self, "plain", not special)


PLAIN = Joining()
"""One below the other, and nothing else."""


def is_whole(spec: TensorSpec) -> bool:
    """Has this tensor no rows? Then it is never joined or cut: an input must be equal in all calls of a
    batch, an output goes to everyone as it is."""
    return spec.shape is not None and not spec.free_rows


def whole_outputs(signature: Signature) -> frozenset[str]:
    """The aliases of the outputs that have no rows."""
    return frozenset(spec.alias for spec in signature.outputs if is_whole(spec))


def joining_of(
    signature: Signature, padding: Padding | None = None, buckets: tuple[int, ...] = ()
) -> Joining:
    """How calls of `signature` are joined, once it is known that they may be."""
    inputs = frozenset(index for index, spec in enumerate(signature.inputs) if is_whole(spec))
    return Joining(inputs, whole_outputs(signature), padding, buckets)


def compiled_buckets(max_rows: int) -> tuple[int, ...]:
    """The numbers of rows that runs have where each number is compiled for itself: few, and at most half of a
    run is filled up."""
    return (*(1 << exponent for exponent in range((max_rows - 1).bit_length())), max_rows)


def rows_to_run(rows: int, joining: Joining) -> int:
    """The rows of a run for a batch of `rows`: those of the next bucket, as many where there is none."""
    place = bisect_left(joining.buckets, rows)
    return joining.buckets[place] if place < len(joining.buckets) else rows


class HasRows(Protocol):
    """What joining and cutting need of a call; see Call."""

    @property
    def rows(self) -> int: ...

    @property
    def inputs(self) -> Sequence[Array]: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...


def join(calls: Sequence[HasRows], joining: Joining = PLAIN) -> list[Array]:
    """The inputs of a run: those of the only call as they are, or all calls' one below the other.

    Rows that fill up a bucket repeat the last one: zeros may be something that the graph refuses.
    """
    if joining.plain:
        if len(calls) == 1:
            return list(calls[0].inputs)
        if len(calls[0].inputs) == 1:
            return [_concatenate([call.inputs[0] for call in calls])]
        return [_concatenate(arrays) for arrays in zip(*[call.inputs for call in calls], strict=True)]
    rows = sum(call.rows for call in calls)
    wanted = rows_to_run(rows, joining)
    if len(calls) == 1 and wanted == rows:
        return list(calls[0].inputs)
    padding = joining.padding
    joined = []
    for index, arrays in enumerate(zip(*[call.inputs for call in calls], strict=True)):
        if index in joining.whole_inputs:
            joined.append(arrays[0])
        else:
            values = padding.values[index] if padding is not None else ()
            joined.append(_fill(arrays, wanted, values))
    return joined


def cut(
    calls: Sequence[HasRows], outputs: Sequence[Array], joining: Joining = PLAIN
) -> list[Sequence[Array]]:
    """Each call's rows of each output, as views.

    Raises:
        ValueError: an output does not have the rows that went in, so that it cannot be said whose they
            are. The signature said otherwise.
    """
    if joining.plain:
        return [outputs] if len(calls) == 1 else _cut_plainly(calls, outputs)
    rows = sum([call.rows for call in calls])
    ran = rows_to_run(rows, joining)
    if len(calls) == 1 and ran == rows:
        return [outputs]
    aliases = calls[0].outputs
    whole = joining.whole_outputs
    for alias, output in zip(aliases, outputs, strict=True):
        if alias not in whole and (output.ndim == 0 or output.shape[0] != ran):
            raise _other_rows(ran, alias, output)
    answers: list[Sequence[Array]] = []
    start = 0
    for call in calls:
        end = start + call.rows
        answer = [
            output if alias in whole else output[start:end]
            for alias, output in zip(aliases, outputs, strict=True)
        ]
        if joining.padding is not None:
            answer = cut_back(aliases, call.inputs, answer, joining.padding)
        answers.append(answer)
        start = end
    return answers


def _cut_plainly(calls: Sequence[HasRows], outputs: Sequence[Array]) -> list[Sequence[Array]]:
    """`cut` of what was joined one below the other, which is on the path of nearly every batch."""
    sizes = [call.rows for call in calls]
    rows, each = sum(sizes), sizes[0]
    for alias, output in zip(calls[0].outputs, outputs, strict=True):
        if output.ndim == 0 or output.shape[0] != rows:
            raise _other_rows(rows, alias, output)
    if sizes.count(each) == len(sizes):
        # numpy makes the views, one [each, ...] after the other.
        return list(
            zip(*[output.reshape(len(sizes), each, *output.shape[1:]) for output in outputs], strict=True)
        )
    answers: list[Sequence[Array]] = []
    start = 0
    for size in sizes:
        end = start + size
        answers.append([output[start:end] for output in outputs])
        start = end
    return answers


def _other_rows(rows: int, alias: str, output: Array) -> ValueError:
    return ValueError(f"{rows} rows went in, output {alias!r} has shape {list(output.shape)}")


def _concatenate(arrays: Sequence[Array]) -> Array:
    first = arrays[0]
    if first.dtype == STRING or first.nbytes * len(arrays) < _WORTH_ALIGNING:
        # Of calls that differ much in rows some large batch may be copied once more; it is not wrong.
        return np.concatenate(arrays)
    joined = _empty((sum([len(array) for array in arrays]), *first.shape[1:]), first.dtype)
    return np.concatenate(arrays, out=joined)


def _fill(arrays: Sequence[Array], rows: int, values: Sequence[tuple[int, Any]]) -> Array:
    """Arrays one below the other, padded to the longest, and the last row again up to `rows`."""
    first = arrays[0]
    joined = _empty((rows, *longest(arrays, values)), first.dtype)
    start = 0
    for array in arrays:
        end = start + len(array)
        place(array, joined[start:end], values)
        start = end
    joined[start:] = joined[start - 1]
    return joined


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """New memory that TensorFlow can share."""
    count = 1
    for size in shape:
        count *= size
    size = count * dtype.itemsize
    if dtype == STRING or size < _WORTH_ALIGNING:
        return np.empty(shape, dtype)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
