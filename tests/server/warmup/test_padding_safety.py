"""Padding that changes answers is found before a version is live."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hotgraph_server.batching.padding import padding_of
from hotgraph_server.errors import RunFailed
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.padding_safety import why_not_padded
from hotgraph_server.warmup.synthetic_inputs import Kind

from ..probed import kind_of

FLOAT32, INT32 = np.dtype(np.float32), np.dtype(np.int32)

TEXT = Signature(
    "text",
    (
        TensorSpec("ids", "i:0", INT32, (None, None)),
        TensorSpec("mask", "m:0", FLOAT32, (None, None)),
    ),
    (TensorSpec("mean", "y:0", FLOAT32, (None,)), TensorSpec("each", "z:0", FLOAT32, (None, None))),
)
CUT = {"each.1": "ids.1"}


Compute = Callable[[Array, Array], Sequence[Array]]


def masked(ids: Array, mask: Array) -> list[Array]:
    on = (mask != 0).astype(np.float32)
    return [(ids * on).sum(axis=1) / np.maximum(on.sum(axis=1), 1), (ids * 2).astype(np.float32)]


def verdict(compute: Compute, cut: dict[str, str] | None = None) -> str | None:
    kind = kind_of(TEXT, lambda inputs: compute(*inputs), rows=1)
    taken = kind if isinstance(kind, Kind) else None
    padding = padding_of(TEXT, {"ids.1": -1, "mask.1": 0.0}, CUT if cut is None else cut)
    assert padding is not None
    return why_not_padded(TEXT, padding, lambda inputs: compute(*inputs), taken)


def test_graph_that_looks_at_its_mask_may_be_padded() -> None:
    assert verdict(masked) is None


def test_graph_that_does_not_look_at_its_mask_is_found() -> None:
    reason = verdict(lambda ids, mask: [ids.mean(axis=1).astype(np.float32), masked(ids, mask)[1]])
    assert reason == "output 'mean' changes when its call is padded"


def test_output_that_nobody_said_to_cut_is_found() -> None:
    reason = verdict(masked, cut={})
    assert reason is not None
    assert "shape of output 'each' follows the longest call" in reason


def test_output_without_the_rows_is_found() -> None:
    assert "rows" in (verdict(lambda ids, mask: [np.zeros(()), masked(ids, mask)[1]]) or "")


def test_graph_that_takes_nothing_generated_is_not_padded_and_says_why() -> None:
    def refuse(_: Array, __: Array) -> Sequence[Array]:
        raise RunFailed(3, "no such id\nat node 7")

    reason = verdict(refuse)
    assert reason == "the graph takes no generated input, so padding could not be tried"


def test_graph_that_does_not_take_the_lengths_that_are_tried_is_not_padded_and_says_why() -> None:
    def only_eight(ids: Array, mask: Array) -> Sequence[Array]:
        if ids.shape[1] != 8:
            raise RunFailed(3, "eight at a time\nat node 7")
        return masked(ids, mask)

    reason = verdict(only_eight)
    assert reason is not None
    assert reason.endswith("eight at a time")


def test_calls_that_are_padded_together_share_their_scalars() -> None:
    """As they would in service, or it blames the padding for what the scalar does."""
    one = Signature(
        "s",
        (TensorSpec("x", "x", FLOAT32, (None, None)), TensorSpec("factor", "f", FLOAT32, ())),
        (TensorSpec("total", "y", FLOAT32, (None,)),),
    )
    found = padding_of(one, {"x.1": 0}, {})
    assert found is not None
    kind = Kind(8, 1000)
    assert why_not_padded(one, found, lambda inputs: [inputs[0].sum(axis=1) * inputs[1]], kind) is None
