"""Join the inputs of several calls, and cut their outputs apart again. Pure.

Dimension 0 is the only one ever joined or cut; who may be joined at all is decided in rules.py and by
the trial (trial.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hotgraph_server.batching.call import Call
from hotgraph_server.tensors import Array


def join(calls: Sequence[Call]) -> list[Array]:
    """The inputs of a run: those of the only call as they are, or all calls' one below the other."""
    if len(calls) == 1:
        return list(calls[0].inputs)
    return [np.concatenate(arrays) for arrays in zip(*(call.inputs for call in calls), strict=True)]


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
