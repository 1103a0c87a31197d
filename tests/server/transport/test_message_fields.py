"""Large fields cut out without copies: what is read is what protobuf would read, and no byte more."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.protocols.tfs import decode as tfs
from hotgraph_server.protocols.v2 import codec as v2
from hotgraph_server.tensors import Array
from hotgraph_server.transport import message_fields
from hotgraph_server.transport.service import joined

from ..protocols.fakes import float_signature
from ..protocols.tfs.tensor_protos import requests as predict_requests
from ..protocols.tfs.tensor_protos import same
from ..protocols.v2.test_codec import SIGNATURES, outcome
from ..protocols.v2.test_codec import requests as infer_requests

ANY = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=300,
)


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test of few bytes goes the way of many."""
    monkeypatch.setattr(v2, "WORTH_CUTTING", 0)
    monkeypatch.setattr(tfs, "WORTH_CUTTING", 0)


def infer(message: bytes, signature: Any) -> list[Array] | CallError:
    try:
        request, raw = v2.read_request(message)
        return v2.decode_inputs(request, signature, "m", batched=False, raw=raw)
    except CallError as error:
        return error


def predict(message: bytes, *, cut: bool) -> dict[str, Array | str] | CallError:
    """Each input of a PredictRequest, or what is wrong with it."""
    try:
        request, large = tfs.read_request(message) if cut else (tfs.parse_request(message), {})
    except CallError as error:
        return error
    found: dict[str, Array | str] = {}
    for alias, tensor in request.inputs.items():
        try:
            found[alias] = tfs.decode_tensor(alias, tensor, large.get(alias))
        except CallError as error:
            found[alias] = str(error)
    return found


@pytest.mark.usefixtures("everything_is_large")
class TestSameAsProtobuf:
    @ANY
    @given(st.data())
    def test_infer(self, data: st.DataObject) -> None:
        signature, _ = data.draw(SIGNATURES)
        request = data.draw(infer_requests(signature))
        message = request.SerializeToString()
        asked_without_outputs = pb.ModelInferRequest.FromString(message)
        del asked_without_outputs.outputs[:]
        expected = outcome(asked_without_outputs.SerializeToString(), signature)
        found = infer(message, signature)
        if isinstance(expected, CallError) or isinstance(found, CallError):
            assert str(found) == str(expected)
        else:
            assert all(same(one, other) for one, other in zip(found, expected, strict=True))

    @ANY
    @given(predict_requests())
    def test_predict(self, request: Any) -> None:
        message = request.SerializeToString()
        expected, found = predict(message, cut=False), predict(message, cut=True)
        assert isinstance(expected, dict)
        assert isinstance(found, dict)
        assert expected.keys() == found.keys()
        for alias, one in expected.items():
            other = found[alias]
            if isinstance(one, str) or isinstance(other, str):
                assert one == other
            else:
                assert same(one, other)

    @ANY
    @given(predict_requests(), predict_requests())
    def test_alias_that_comes_twice(self, first: Any, second: Any) -> None:
        message = first.SerializeToString() + second.SerializeToString()
        expected, found = predict(message, cut=False), predict(message, cut=True)
        assert isinstance(expected, dict)
        assert isinstance(found, dict)
        assert expected.keys() == found.keys()
        assert all(
            one == other if isinstance(one, str) or isinstance(other, str) else same(one, other)
            for one, other in ((expected[alias], found[alias]) for alias in expected)
        )


@pytest.mark.usefixtures("everything_is_large")
class TestOnlyCallErrors:
    @ANY
    @given(st.binary(max_size=300))
    def test_any_bytes(self, message: bytes) -> None:
        infer(message, float_signature())
        predict(message, cut=True)

    @ANY
    @given(predict_requests(), st.data())
    def test_any_message_overwritten_anywhere(self, request: Any, data: st.DataObject) -> None:
        message = bytearray(request.SerializeToString())
        at = data.draw(st.integers(0, len(message)))
        message[at : at + 4] = data.draw(st.binary(max_size=6))
        predict(bytes(message), cut=True)
        infer(bytes(message), float_signature())


def test_large_values_are_views_of_the_message() -> None:
    """The promise is at most two copies: none may happen here."""
    values = np.arange(50_000).astype(np.float32)
    request = pb.ModelInferRequest(raw_input_contents=[values.tobytes()])
    message = request.SerializeToString()
    rest, (view,) = message_fields.cut_out(message, 7)
    assert rest == b""
    assert view.obj is message
    assert bytes(view) == values.tobytes()


@pytest.mark.parametrize("content", [True, False], ids=["tensor_content", "typed field"])
def test_large_values_of_a_predict_request_are_views_of_the_message(content: bool) -> None:
    values = np.arange(50_000).astype(np.float32)
    request = tfs.parse_request(b"")
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=50_000)
    if content:
        tensor.tensor_content = values.tobytes()
    else:
        tensor.float_val.extend(values.tolist())
    message = request.SerializeToString()
    request, large = tfs.read_request(message)
    array = tfs.decode_tensor("x", request.inputs["x"], large["x"])
    assert large["x"].memory.obj is message
    assert np.shares_memory(array, np.frombuffer(large["x"].memory, np.uint8))
    assert np.array_equal(array, values)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63])
def test_numbers_survive(value: int) -> None:
    message = (
        message_fields.varint(1 << 3) + message_fields.varint(value) + message_fields.header(2, 1) + b"x"
    )
    assert [(number, end) for number, _, _, _, end in message_fields.fields(memoryview(message))] == [
        (1, len(message) - 3),
        (2, len(message)),
    ]


@pytest.mark.parametrize(
    "message",
    [
        b"\x3a",
        b"\x3a\x05ab",
        b"\x08",
        b"\x08" + b"\xff" * 11,
        b"\x09\0\0",
        b"\x0b",
        b"\x02\x00",
        b"\xff" * 20,
    ],
)
def test_bytes_that_are_no_message_are_one_kind_of_error(message: bytes) -> None:
    with pytest.raises(message_fields.MalformedMessage):
        message_fields.cut_out(message, 7)


def test_error_reaches_the_caller_as_his(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2, "WORTH_CUTTING", 0)
    with pytest.raises(InvalidCall, match="the message is no ModelInferRequest"):
        v2.read_request(b"\x3a\x05ab")


def test_one_value_for_a_large_shape_takes_no_memory_while_the_call_waits() -> None:
    tensor = tfs.parse_request(b"").inputs["x"]
    tensor.dtype = 1
    tensor.float_val.append(7)
    for _ in range(2):
        tensor.tensor_shape.dim.add(size=4096)
    array = tfs.decode_tensor("x", tensor)
    assert array.shape == (4096, 4096)
    assert array.strides == (0, 0)
    assert array[-1, -1] == 7


@pytest.mark.parametrize("rows", [1, 8_000])
@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.complex64, ml_dtypes.bfloat16])
def test_answer_has_the_same_bytes_joined_and_in_pieces(rows: int, dtype: Any) -> None:
    array = np.arange(rows * 3).reshape(rows, 3).astype(dtype)
    parts = [b"head", array, b"", array[0]]
    answer = message_fields.whole_or_pieces(parts)
    assert isinstance(answer, bytes) == (rows == 1)
    assert joined(answer) == b"".join((b"head", array.tobytes(), array[0].tobytes()))


def test_large_answer_is_not_copied() -> None:
    array = np.zeros(100_000, np.float32)
    pieces = message_fields.whole_or_pieces([b"head", array])
    array[0] = 1.0
    assert isinstance(pieces, list)
    assert bytes(pieces[1][:4]) == array[:1].tobytes()
