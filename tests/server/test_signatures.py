from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.signatures import Shape, TensorSpec, default_signature

from .fakes import signature


@pytest.mark.parametrize(
    ("shape", "free"),
    [((None,), True), ((None, 3), True), ((1, None), False), ((0,), False), ((), False), (None, False)],
)
def test_rows_are_free_only_where_dimension_0_is_there_and_open(shape: Shape | None, free: bool) -> None:
    assert TensorSpec("x", "x:0", np.dtype(np.float32), shape).free_rows is free


def test_inputs_and_outputs_are_found_by_alias_in_their_order() -> None:
    one = signature(inputs={"b": (None,), "a": ()}, outputs={"z": (), "y": (None,)})
    assert list(one.inputs_by_alias) == ["b", "a"]
    assert one.inputs_by_alias["a"].shape == ()
    assert one.output_aliases == ("z", "y")
    assert one.outputs_by_alias["y"] is one.outputs[1]


def test_call_that_names_no_signature_means_serving_default_or_the_only_one() -> None:
    default, serve, other = signature(), signature("serve"), signature("other")
    assert default_signature({"serve": serve, "serving_default": default}) is default
    assert default_signature({"serve": serve}) is serve
    assert default_signature({"serve": serve, "other": other}) is None
    assert default_signature({}) is None
