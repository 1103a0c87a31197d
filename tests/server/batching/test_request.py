"""What shapes tell of a call before it is queued."""

from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.batching.lane_key import lane_key
from hotgraph_server.batching.request import QueueHints, hints_of
from hotgraph_server.tensors import Array

from ..fakes import signature

BOTH = signature(inputs={"x": (None, 2), "y": (None, 2)})
SCALED = signature(inputs={"x": (None, 2), "scale": ()})


def floats(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


def test_hints_tell_lane_rows_and_bytes_where_shapes_tell_them() -> None:
    hints = hints_of(BOTH, ("y",), [floats(3, 2), floats(3, 2)], ())
    assert hints == QueueHints(lane_key(BOTH, ("y",), [(3, 2), (3, 2)]), 3, 48)
    assert hints.lane is not None


def test_dimensions_that_are_filled_up_do_not_tell_calls_apart() -> None:
    ragged = signature(inputs={"x": (None, None)})
    short, long = (hints_of(ragged, ("y",), [floats(3, size)], {("x", 1)}) for size in (2, 5))
    assert short.lane == long.lane != hints_of(ragged, ("y",), [floats(3, 2)], ()).lane


@pytest.mark.parametrize(
    ("of", "inputs"),
    [
        (BOTH, [floats(3, 2), floats(2, 2)]),
        (BOTH, [floats(0, 2), floats(0, 2)]),
        (BOTH, [floats(), floats()]),
        (BOTH, [floats(3, 5), floats(3, 5)]),
        (SCALED, [floats(3, 2), floats()]),
        (SCALED, [floats(3, 2), floats(3)]),
    ],
)
def test_lane_is_left_open_where_more_than_shapes_counts(of: object, inputs: list[Array]) -> None:
    hints = hints_of(of, ("y",), inputs, ())  # type: ignore[arg-type]
    assert hints == QueueHints(nbytes=sum(array.nbytes for array in inputs))
