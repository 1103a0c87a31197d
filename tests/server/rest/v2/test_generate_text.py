from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import open_inference as pb
from hotgraph_protos import tensors as wire
from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.rest.v2.generate_text import (
    Field,
    as_event,
    read_generate,
    shape_of,
    write_generate,
)
from hotgraph_server.rest.v2.infer_answer import Head, Output

from ...protocols.fakes import strings

TEXT = Field("text_input", "BYTES", (None,))
NUMBERS = Field("n", "FP32", (None, 2))


def read(body: Any, *fields: Field, **named: tuple[Field, ...]) -> dict[str, tuple[list[int], Any]]:
    """The tensors of a request, by name: shape and values."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = read_generate(text, {"": fields, **named})
    request = pb.ModelInferRequest.FromString(found.request)
    tensors = {}
    for tensor, contents in zip(request.inputs, found.contents, strict=True):
        assert not isinstance(contents, int)
        raw = contents if isinstance(contents, bytes) else np.asarray(contents).tobytes()
        values = wire.decode_raw(tensor.datatype, list(tensor.shape), raw)
        tensors[tensor.name] = (list(tensor.shape), values.ravel().tolist())
    return tensors


def test_value_stands_for_a_tensor_of_one_and_a_list_for_its_values() -> None:
    assert read({"text_input": "hi"}, TEXT) == {"text_input": ([1], [b"hi"])}
    assert read({"text_input": ["hi", "ho"]}, TEXT) == {"text_input": ([2], [b"hi", b"ho"])}
    assert read({"text_input": {"b64": "/w=="}}, TEXT) == {"text_input": ([1], [b"\xff"])}
    assert read({"n": [1, 2, 3, 4]}, NUMBERS) == {"n": ([2, 2], [1, 2, 3, 4])}
    assert read({"x": 5}, Field("x", "INT64", ())) == {"x": ([], [5])}


@pytest.mark.parametrize(
    ("shape", "count", "found"),
    [
        ((), 1, ()),
        ((None,), 1, (1,)),
        ((None,), 3, (3,)),
        ((None, 1), 3, (3, 1)),
        ((None, None), 3, (1, 3)),
        ((None, None, 2), 6, (1, 3, 2)),
        ((1, 1), 1, (1, 1)),
        ((1, None), 4, (1, 4)),
        ((None, 0), 1, (1, 0)),
        (None, 3, (3,)),
        ((None,), 0, (0,)),
        ((None, 2), 1, (1, 2)),
    ],
)
def test_last_size_that_is_free_has_all_the_values(shape: Any, count: int, found: tuple[int, ...]) -> None:
    assert shape_of(shape, count) == found


@pytest.mark.parametrize("field", [NUMBERS, Field("n", "FP32", (2,)), Field("n", "FP32", ())])
def test_values_that_fit_no_shape_are_refused(field: Field) -> None:
    with pytest.raises(InvalidCall, match=r"Shape does not match true shape of 'data' field \(input 'n'"):
        read({"n": [1, 2, 3]}, field)


def test_members_that_are_no_inputs_are_passed_over_and_parameters_are_read() -> None:
    body = {"text_input": "a", "stream": False, "id": "i", "parameters": {"priority": 2, "temperature": 0.5}}
    found = read_generate(json.dumps(body).encode(), {"": [TEXT]})
    request = pb.ModelInferRequest.FromString(found.request)
    assert request.id == "i"
    assert request.parameters["priority"].int64_param == 2
    assert [tensor.name for tensor in request.inputs] == ["text_input"]


def test_signature_can_be_named() -> None:
    body = {"n": [1, 2], "parameters": {"signature_name": "other"}}
    assert read(body, TEXT, other=(NUMBERS,)) == {"n": ([1, 2], [1, 2])}
    assert read({**body, "parameters": {"signature_name": "none"}}, TEXT) == {}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "failed to parse the request JSON buffer"),
        ([], "Unable to parse 'text_input'"),
        ({"text_input": 5}, r"JSON non-string as string \(text_input.data has 5"),
        ({"text_input": None}, "JSON non-string as string"),
        ({"n": ["1", 2], "text_input": "a"}, "JSON non-number as double"),
        ({"id": 5}, "Unable to parse 'id'"),
        ({"parameters": {"foo": []}}, "parameter 'foo' has invalid type"),
    ],
)
def test_what_is_wrong_is_told_as_infer_tells_it(body: Any, text: str) -> None:
    with pytest.raises(InvalidCall, match=text):
        read(body, TEXT, NUMBERS)


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(["text_input", "n", "id", "parameters", "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
            ),
        ),
    ).map(lambda body: json.dumps(body).encode())
)
def test_any_bytes_are_tensors_or_a_call_error(body: bytes) -> None:
    with contextlib.suppress(CallError):
        read(body, TEXT, NUMBERS)


def test_output_of_one_value_stands_alone_and_others_are_flat() -> None:
    outputs = [
        Output("text_output", "BYTES", (1, 1), strings("é".encode()).reshape(1, 1), {}),
        Output("score", "FP32", (), np.array(0.1, np.float32), {}),
        Output("ids", "INT64", (1, 2), np.array([[1, 2**62]]), {}),
        Output("none", "FP32", (0,), np.zeros(0, np.float32), {}),
        Output("strange", "FP32", (2,), np.array([np.nan, 1], np.float32), {}),
    ]
    assert write_generate(Head("m", 3, "i"), outputs).decode() == (
        '{"id":"i","model_name":"m","model_version":"3","text_output":"é","score":0.1,'
        '"ids":[1,4611686018427387904],"none":[],"strange":["NaN",1.0]}'
    )


def test_event_is_one_line() -> None:
    text = write_generate(Head("m", 3, ""), [Output("t", "BYTES", (1,), strings(b"a\n\r\nb"), {})])
    event = as_event(text)
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert len(event.splitlines()) == 2
