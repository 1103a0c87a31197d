"""Does padding change answers? Calls of different lengths are run padded together and each alone. Pure but
for `run`.

What is padded, and with what, is the owner's word (batching/padding.py); that the graph does not look at it
is the model's doing, and shows only when it is tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hotgraph_server.batching.comparing import alike
from hotgraph_server.batching.joining import is_whole
from hotgraph_server.batching.padding import Padding, cut_back, longest, place
from hotgraph_server.errors import RunFailed, first_line
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.row_comparison import Run
from hotgraph_server.warmup.synthetic_inputs import Kind, generate

_LENGTHS = (5, 9, 2)
"""Of the calls that are tried; neither the first nor the last is the longest."""


def why_not_padded(signature: Signature, padding: Padding, run: Run, kind: Kind | None) -> str | None:
    """Why padding changes answers of `signature`; None: calls of different lengths answered alike, padded
    together and each alone.

    Args:
        kind: generated input that the graph takes; None: it takes none.
    """
    if kind is None:
        return "the graph takes no generated input, so padding could not be tried"
    padded = [(index, axis) for index, values in enumerate(padding.values) for axis, _ in values]
    calls = [
        generate(signature, 1, kind, seed=seed, sizes=dict.fromkeys(padded, length))
        for seed, length in enumerate(_LENGTHS)
    ]
    for index, spec in enumerate(signature.inputs):
        if is_whole(spec):
            # Calls meet only where these are equal.
            for call in calls:
                call[index] = calls[0][index]
    try:
        together = run(_joined(signature, calls, padding))
        alone = [run(call) for call in calls]
    except RunFailed as error:
        return f"the graph refuses generated inputs, so padding could not be tried: {first_line(error)}"
    return _difference(signature, calls, together, alone, padding)


def _joined(signature: Signature, calls: Sequence[Sequence[Array]], padding: Padding) -> list[Array]:
    joined = []
    for spec, arrays, values in zip(signature.inputs, zip(*calls, strict=True), padding.values, strict=True):
        if is_whole(spec):
            joined.append(arrays[0])
            continue
        whole = np.empty((len(arrays), *longest(arrays, values)), arrays[0].dtype)
        for row, array in enumerate(arrays):
            place(array, whole[row : row + 1], values)
        joined.append(whole)
    return joined


def _difference(
    signature: Signature,
    calls: Sequence[Sequence[Array]],
    together: Sequence[Array],
    alone: Sequence[Sequence[Array]],
    padding: Padding,
) -> str | None:
    for index, spec in enumerate(signature.outputs):
        for row, (call, answer) in enumerate(zip(calls, alone, strict=True)):
            whole = together[index]
            if is_whole(spec):
                mine = whole
            elif whole.shape[:1] != (len(calls),):
                return f"output {spec.alias!r} does not have the rows that go in"
            else:
                (mine,) = cut_back((spec.alias,), call, [whole[row : row + 1]], padding)
            if mine.shape != answer[index].shape:
                return (
                    f"the shape of output {spec.alias!r} follows the longest call:"
                    f" {list(mine.shape)} for {list(answer[index].shape)} alone; unpad names its dimensions"
                )
            if not alike(mine, answer[index]):
                return f"output {spec.alias!r} changes when its call is padded"
    return None
