"""documents.py: one JSON value for all inputs."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.errors import InvalidCall
from hotgraph_client.predicting.documents import signature_of, take_apart, with_bytes

ONE = [TensorMetadata("x", "FP32", (-1, 2))]
TWO = [TensorMetadata("a", "INT64", (-1,)), TensorMetadata("b", "BYTES", (-1,))]
CALLED_INPUTS = [TensorMetadata("inputs", "FP32", (-1,))]

BOTH = {"a": [1, 2], "b": ["p", "q"]}
ROWS = [{"a": 1, "b": "p"}, {"a": 2, "b": "q"}]


@pytest.mark.parametrize(
    "value",
    [
        BOTH,
        {"inputs": BOTH},
        {"inputs": BOTH, "signature_name": "s"},
        {"instances": ROWS},
        ROWS,
        {
            "id": "1",
            "inputs": [
                {"name": "a", "shape": [2], "datatype": "INT64", "data": [1, 2]},
                {"name": "b", "shape": [2], "datatype": "BYTES", "data": ["p", "q"]},
            ],
        },
    ],
)
def test_every_form_gives_the_same_inputs(value: Any) -> None:
    assert take_apart(value, TWO, "m").inputs == BOTH


@pytest.mark.parametrize("value", [[[1, 2]], {"instances": [[1, 2]]}, {"inputs": [[1, 2]]}])
def test_what_has_no_names_is_the_only_inputs(value: Any) -> None:
    found = take_apart(value, ONE, "m")
    assert (found.inputs, found.only) == (None, [[1, 2]])


def test_flat_data_takes_the_shape_that_is_said() -> None:
    value = {"inputs": [{"name": "x", "shape": [2, 2], "data": [1, 2, 3, 4]}]}
    assert take_apart(value, ONE, "m").inputs == {"x": [[1, 2], [3, 4]]}
    with pytest.raises(ValueError, match="3 values do not fill"):
        take_apart({"inputs": [{"name": "x", "shape": [2, 2], "data": [1, 2, 3]}]}, ONE, "m")


def test_input_that_is_called_like_a_part_of_a_request_is_an_input() -> None:
    assert take_apart({"inputs": [1, 2]}, CALLED_INPUTS, "m").inputs == {"inputs": [1, 2]}
    assert take_apart({"inputs": {"inputs": [1]}}, CALLED_INPUTS, "m").inputs == {"inputs": [1]}


def test_bytes_are_no_object_of_inputs() -> None:
    assert take_apart({"b64": "AA=="}, TWO, "m").only == {"b64": "AA=="}
    assert take_apart({"instances": [{"b64": "AA=="}]}, TWO, "m").only == [{"b64": "AA=="}]
    assert with_bytes([{"b64": "AA=="}, "a"]) == [b"\0", "a"]


@pytest.mark.parametrize(
    "value", [{"a": [1], "bb": [2]}, {"inputs": {"bb": 1}}, {"instances": [{"bb": 1}]}, [{"a": 1, "bb": 1}]]
)
def test_name_that_is_no_inputs_is_told_with_those_that_are(value: Any) -> None:
    with pytest.raises(InvalidCall, match=r"no input 'bb'; the inputs of 'm': a \(INT64"):
        take_apart(value, TWO, "m")


def test_rows_need_the_same_inputs() -> None:
    with pytest.raises(ValueError, match="row 1 has a, and row 0 has a, b"):
        take_apart([{"a": 1, "b": "x"}, {"a": 2}], TWO, "m")


def test_signature_is_that_of_a_request_in_either_protocol() -> None:
    assert signature_of({"instances": [], "signature_name": "s"}) == "s"
    assert signature_of({"inputs": [], "parameters": {"signature_name": "s"}}) == "s"
    assert signature_of({"signature_name": "s"}) is None
    assert signature_of([1]) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "b", "b64", "inputs", "instances", "name", "data", "shape", "parameters"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(ANYTHING, st.sampled_from([ONE, TWO, CALLED_INPUTS]))
def test_whatever_json_holds_it_is_inputs_or_an_error_of_one_line(
    value: Any, tensors: list[TensorMetadata]
) -> None:
    signature_of(value)
    with contextlib.suppress(ValueError, InvalidCall):
        found = take_apart(value, tensors, "m")
        for one in (found.inputs or {"": found.only}).values():
            with_bytes(one)


@pytest.mark.parametrize("depth", [64, 65, 900])
def test_lists_deeper_than_arrays_go_are_told(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    if depth == 64:
        assert with_bytes(value) == value
    else:
        with pytest.raises(ValueError, match="lists within lists, more than 64 deep"):
            with_bytes(value)
