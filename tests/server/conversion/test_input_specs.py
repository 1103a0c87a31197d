from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.conversion.input_specs import InputSpec, input_spec, input_specs
from hotgraph_server.conversion.request import Refused


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("x=float32[?,224,224,3]", InputSpec("x", "float32", (None, 224, 224, 3))),
        ("float32[None, 4]", InputSpec("", "float32", (None, 4))),
        ("a.b-c=string[]", InputSpec("a.b-c", "string", ())),
        ("x=int64[-1]", InputSpec("x", "int64", (None,))),
    ],
)
def test_a_spec_is_name_dtype_and_shape(text: str, spec: InputSpec) -> None:
    assert input_spec(text) == spec


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x", "not like"),
        ("x=float33[?]", "no dtype 'float33'; there are bool"),
        ("x=float32[?,four]", "'four' is no size"),
        ("x=float32[99999999999]", "is no size"),
        ("x=float32[1,2", "not like"),
    ],
)
def test_what_is_none_is_told_with_what_one_looks_like(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        input_spec(text)


def test_two_inputs_of_one_name_are_refused() -> None:
    with pytest.raises(Refused, match="two inputs have one name"):
        input_specs(["x=float32[?]", "x=int32[?]"])


@given(st.text(max_size=60))
def test_any_text_is_a_spec_or_refused(text: str) -> None:
    try:
        spec = input_spec(text)
    except Refused:
        return
    assert all(size is None or size >= 0 for size in spec.shape)
