"""protocol.py: calls as messages, answers as arrays, without a server."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client import InvalidCall, ModelMetadata, NotFound, ServerFault, TensorMetadata, protocol
from hotgraph_client.protocol import checked_headers, probe_pauses_s, read_answer
from hotgraph_protos import open_inference as oip


def infer_request(*arguments: Any, **settings: Any) -> oip.ModelInferRequest:
    return protocol.infer_request(*arguments, **settings).whole()


def described(*inputs: TensorMetadata) -> ModelMetadata:
    return ModelMetadata("m", ("1",), "p", inputs, ())


ONE = described(TensorMetadata("x", "FP32", (-1,)))
TWO = described(TensorMetadata("a", "FP32", (-1,)), TensorMetadata("b", "BYTES", ()))


def test_array_goes_raw_with_its_own_dtype_and_shape() -> None:
    request = infer_request("m", {"x": np.array([[1, 2]], ">i2")}, metadata=None)
    (tensor,) = request.inputs
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("x", "INT16", [1, 2])
    assert request.raw_input_contents == [b"\1\0\2\0"]
    assert not tensor.HasField("contents")


def test_array_that_is_not_contiguous_goes_in_row_major_order() -> None:
    request = infer_request("m", {"x": np.arange(6, dtype=np.uint8).reshape(2, 3).T}, metadata=None)
    assert request.raw_input_contents == [bytes([0, 3, 1, 4, 2, 5])]


def test_numpy_scalar_is_an_array_without_dimensions() -> None:
    (tensor,) = infer_request("m", np.float32(1), metadata=ONE).inputs
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("x", "FP32", [])


@pytest.mark.parametrize(
    ("array", "datatype", "sent"),
    [
        (np.array([0.5, np.inf], np.float64), "FP32", "FP32"),
        (np.array([1, -2], np.int64), "INT32", "INT32"),
        (np.array([1], np.int64), "FP16", "FP16"),
        # what is no number is for the server to refuse
        (np.array(["1"]), "FP32", "BYTES"),
        (np.array([1], np.float32), "BYTES", "FP32"),
        (np.array([1], np.float32), "<invalid>", "FP32"),
    ],
)
def test_array_takes_the_datatype_that_is_known_where_it_loses_nothing(
    array: Any, datatype: str, sent: str
) -> None:
    metadata = described(TensorMetadata("x", datatype, (-1,)))
    (tensor,) = infer_request("m", {"x": array}, metadata=metadata).inputs
    assert tensor.datatype == sent


@pytest.mark.parametrize(
    ("array", "datatype", "cast"),
    [
        (np.array([0.1], np.float64), "FP32", "x.astype(np.float32)"),
        (np.array([1], np.float64), "INT32", "x.astype(np.int32)"),
        (np.array([2**40], np.int64), "INT32", "x.astype(np.int32)"),
        (np.array([True]), "FP32", "x.astype(np.float32)"),
        (np.array([1], np.int8), "BOOL", "x.astype(np.bool)"),
        (np.array([0.1], np.float32), "BF16", "x.astype(ml_dtypes.bfloat16)"),
    ],
)
def test_array_that_would_lose_something_is_told_how_to_cast(array: Any, datatype: str, cast: str) -> None:
    with pytest.raises(InvalidCall) as refused:
        infer_request("m", {"x": array}, metadata=described(TensorMetadata("x", datatype, (-1,))))
    assert f"takes {datatype}, and as such its values would not be the same: send {cast}" in str(
        refused.value
    )


SIGNATURES = {"first": (TensorMetadata("x", "FP32", (-1,)),), "second": ()}


@pytest.mark.parametrize(
    ("properties", "signatures", "signature", "why"),
    [
        (
            {"signatures": "first,second"},
            SIGNATURES,
            None,
            "'m' has no default signature: choose one of first, second",
        ),
        (
            {"signatures": "first,second", "default_signature": "first"},
            SIGNATURES,
            "typo",
            "'m' has no signature 'typo'; there are first, second",
        ),
        ({"signatures": ""}, {}, None, "'m' has no signature that can be called"),
    ],
)
def test_signature_that_is_not_there_is_told_which_there_are(
    properties: dict[str, str],
    signatures: dict[str, tuple[TensorMetadata, ...]],
    signature: str | None,
    why: str,
) -> None:
    metadata = ModelMetadata("m", ("1",), "p", (), (), properties, signatures)
    with pytest.raises(NotFound, match=why):
        infer_request("m", [1], metadata=metadata, signature=signature)


def test_one_output_may_be_named_without_a_list() -> None:
    request = infer_request("m", {}, metadata=None, outputs="whole")
    assert [output.name for output in request.outputs] == ["whole"]


@pytest.mark.parametrize(
    ("inputs", "metadata", "why"),
    [
        (np.ones(1), TWO, r"one input; the inputs of 'm': a \(FP32 \[-1\]\), b \(BYTES \[\]\)"),
        (np.ones(1), described(), "the inputs of 'm': none"),
        ({"y": [1]}, ONE, r"no input 'y'; the inputs of 'm': x \(FP32 \[-1\]\)"),
        ({"x": [[1], [2, 3]]}, ONE, "input 'x': .* unequal length"),
        ({"x": np.array([1j])}, None, "input 'x': .* no datatype for complex128"),
        ({"x": np.array([1, None], object)}, None, "input 'x': strings must be str or bytes"),
        ({1: np.ones(1)}, None, "names are strings"),
    ],
)
def test_senseless_inputs_are_refused_with_a_reason(
    inputs: Any, metadata: ModelMetadata | None, why: str
) -> None:
    with pytest.raises(InvalidCall, match=why) as caught:
        infer_request("m", inputs, metadata=metadata)
    assert (caught.value.code, caught.value.model) == (None, "m")


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, None, [1]])
def test_parameter_that_the_protocol_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidCall, match="parameter 'p'"):
        infer_request("m", {}, metadata=None, parameters={"p": value})


def test_call_larger_than_a_message_is_refused_here() -> None:
    # a view of one byte: the size is computed before anything is copied
    too_large = np.broadcast_to(np.uint8(0), (2**31,))
    with pytest.raises(InvalidCall, match="2 GiB"):
        infer_request("m", {"x": too_large}, metadata=None)


def answer(*raw: bytes, shape: tuple[int, ...] = (1,), datatype: str = "UINT8") -> oip.ModelInferResponse:
    tensor = oip.ModelInferResponse.InferOutputTensor(name="y", datatype=datatype, shape=shape)
    return oip.ModelInferResponse(model_name="m", outputs=[tensor], raw_output_contents=raw)


def test_single_answer_comes_bare_only_where_it_was_asked_for() -> None:
    assert read_answer(answer(b"\5"), single=True, address="").tolist() == [5]
    assert read_answer(answer(b"\5"), single=False, address="").keys() == {"y"}


def test_typed_contents_are_read_where_nothing_is_raw() -> None:
    response = oip.ModelInferResponse()
    response.outputs.add(name="y", datatype="FP32", shape=[2]).contents.fp32_contents.extend([1, 2])
    np.testing.assert_array_equal(
        read_answer(response, single=True, address=""), np.array([1, 2], np.float32)
    )


@pytest.mark.parametrize(
    "response",
    [
        answer(b"\5\6"),
        answer(b"\5", b"\6"),
        answer(b"\5", datatype="X"),
        answer(b"\5", shape=(-1,)),
        answer(),
    ],
)
def test_contradictory_answer_is_the_servers_fault(response: oip.ModelInferResponse) -> None:
    with pytest.raises(ServerFault, match="makes no sense") as caught:
        read_answer(response, single=True, address="h:1")
    assert (caught.value.address, caught.value.model) == ("h:1", "m")


@given(st.binary(max_size=200))
def test_any_answer_gives_arrays_or_the_servers_fault(data: bytes) -> None:
    try:
        response = oip.ModelInferResponse.FromString(data)
    except DecodeError:
        # no message at all: gRPC makes a status of it
        return
    try:
        arrays = read_answer(response, single=False, address="")
    except ServerFault:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


def test_probes_are_quick_at_first_and_never_far_apart() -> None:
    pauses = list(islice(probe_pauses_s(), 20))
    assert pauses[0] <= 0.05
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.5


def test_key_is_sent_as_a_bearer_token() -> None:
    assert checked_headers({"X-A": "b"}, "key-1=") == (("x-a", "b"), ("authorization", "Bearer key-1="))
    assert checked_headers(None, None) == ()


@pytest.mark.parametrize("key", ["", "a b", "secret\n", "sécret", b"secret", 7])
def test_key_that_no_header_can_have_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ValueError, match="a key is a str of letters") as error:
        checked_headers(None, key)
    assert "cret" not in str(error.value)


def test_key_and_header_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="but not both"):
        checked_headers({"Authorization": "Bearer a"}, "b")
