"""What calls must have in common to share a batch."""

from __future__ import annotations

import numpy as np

from hotgraph_server.batching.lane_key import joins_by_values, lane_key, with_scalars

from ..fakes import call, signature


def test_lane_is_the_one_that_its_shapes_foretell() -> None:
    free = signature(inputs={"x": (None, None), "z": (None,)})
    arrays = [np.zeros((3, 5), np.float32), np.zeros(3, np.float32)]
    assert call(arrays, free).lane == lane_key(free, ("y",), [(1, 5), (1,)])
    assert lane_key(free, ("y",), [(1, 5), (1, 1)]) is None


def test_padded_dimensions_do_not_tell_calls_apart_but_must_fit_the_signature() -> None:
    free = signature(inputs={"x": (None, None, 4)})
    padded = {("x", 1)}
    one, other = (lane_key(free, ("y",), [(1, length, 4)], padded) for length in (5, 9))
    assert one == other is not None
    assert one != lane_key(free, ("y",), [(1, 5, 4)])
    assert lane_key(free, ("y",), [(1, 5, 3)], {("x", 1), ("x", 2)}) is None


def test_call_that_contradicts_the_signature_has_no_key() -> None:
    fixed = signature(inputs={"x": (None, 4)})
    assert lane_key(fixed, ("y",), [(1, 4)]) is not None
    assert lane_key(fixed, ("y",), [(1, 3)]) is None
    assert lane_key(fixed, ("y",), [(1, 4, 1)]) is None
    assert lane_key(signature(inputs={"x": None}), ("y",), [(1, 4)]) is None


def test_scalars_join_by_their_values() -> None:
    scaled = signature(inputs={"x": (None, 2), "scale": ()})
    assert joins_by_values(scaled)
    assert not joins_by_values(signature())
    key = lane_key(scaled, ("y",), [(1, 2), ()])
    inputs = np.zeros((1, 2), np.float32)
    keys = [with_scalars(key, [inputs, np.array(value)]) for value in (1.0, 1.0, 2.0, 0.0, -0.0)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert with_scalars(key, [inputs]) == key
