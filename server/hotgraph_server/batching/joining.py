"""Join the inputs of several calls, and cut their outputs apart again. Pure.

Dimension 0 is the only one ever joined or cut; who may be joined at all is decided in rules.py and by
the trial (trial.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hotgraph_server.batching.call import Call
from hotgraph_server.tensors import STRING, Array

# TensorFlow shares an array's memory if it begins at a multiple of this, and copies it if not: 38 MB cost
# 10 ms then, and nothing otherwise. numpy itself begins at multiples of 16.
_ALIGNMENT = 64
_WORTH_ALIGNING = 16 * 1024


def join(calls: Sequence[Call]) -> list[Array]:
    """The inputs of a run: those of the only call as they are, or all calls' one below the other."""
    if len(calls) == 1:
        return list(calls[0].inputs)
    return [_concatenate(arrays) for arrays in zip(*(call.inputs for call in calls), strict=True)]


def _concatenate(arrays: Sequence[Array]) -> Array:
    size = sum(array.nbytes for array in arrays)
    if size < _WORTH_ALIGNING or arrays[0].dtype == STRING:
        return np.concatenate(arrays)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT
    shape = (sum(len(array) for array in arrays), *arrays[0].shape[1:])
    joined = memory[start : start + size].view(arrays[0].dtype).reshape(shape)
    return np.concatenate(arrays, out=joined)


def cut(calls: Sequence[Call], outputs: Sequence[Array]) -> list[Sequence[Array]]:
    """Each call's rows of each output, as views.

    Raises:
        ValueError: an output does not have the rows that went in, so that nobody can say whose they
            are. The signature said otherwise.
    """
    if len(calls) == 1:
        return [outputs]
    rows_in = sum(call.rows for call in calls)
    for output in outputs:
        if output.ndim == 0 or output.shape[0] != rows_in:
            raise ValueError(f"{rows_in} rows went in, an output has shape {list(output.shape)}")
    answers: list[Sequence[Array]] = []
    start = 0
    for call in calls:
        answers.append([output[start : start + call.rows] for output in outputs])
        start += call.rows
    return answers
