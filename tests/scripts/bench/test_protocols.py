"""Requests as servers want them, and answers that cannot pass for right ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.calls import compare
from bench.protocols import (
    JSON,
    PREDICT,
    RAW,
    V2,
    V2_BINARY,
    V2_JSON,
    BadAnswer,
    Protocol,
    grpc_frame,
    v2_response,
)
from hotgraph_protos.open_inference import ModelInferRequest, ModelInferResponse
from hotgraph_server.protocols.tfs import decode

ROWS = np.array([[0.1, 2.0, 1e-7], [3.5, -4.0, 1e9]], np.float32)


def test_grpc_frame_is_a_flag_a_length_and_the_message() -> None:
    assert grpc_frame(b"abc") == b"\0\0\0\0\3abc"
    assert grpc_frame(b"x" * 70_000)[:5] == b"\0\0\1\x11\x70"


def test_v2_body_holds_the_array_raw() -> None:
    request = ModelInferRequest.FromString(V2.body("m", ROWS)[5:])
    assert request.model_name == "m"
    assert list(request.inputs[0].shape) == [2, 3]
    assert request.raw_input_contents[0] == ROWS.tobytes()


def test_v2_answer_comes_back_as_it_was_sent() -> None:
    message = v2_response("m", ROWS).SerializeToString()
    np.testing.assert_array_equal(V2.decode(message, ROWS.shape), ROWS)


def test_v2_answer_with_another_output_is_refused() -> None:
    response = ModelInferResponse(raw_output_contents=[b""])
    response.outputs.add(name="other", datatype="FP32", shape=[0])
    with pytest.raises(BadAnswer, match="other"):
        V2.decode(response.SerializeToString(), (0,))


def test_predict_body_is_read_by_the_server_as_the_same_array() -> None:
    request = decode.parse_request(PREDICT.encode("m", ROWS))
    assert request.model_spec.name == "m"
    assert request.inputs["inputs"].tensor_content == ROWS.tobytes()


def test_json_body_gives_the_same_floats_back() -> None:
    body = json.loads(JSON.body("m", ROWS))
    np.testing.assert_array_equal(np.array(body["inputs"], np.float32), ROWS)


@pytest.mark.parametrize("form", ['{"outputs": %s}', "%s"])
def test_json_answer_is_read_with_and_without_its_name(form: str) -> None:
    answer = JSON.decode((form % ROWS.tolist()).encode(), ROWS.shape)
    np.testing.assert_array_equal(answer, ROWS)


def test_binary_body_is_json_of_the_length_that_a_header_tells_and_the_array() -> None:
    body = V2_BINARY.body("m", ROWS)
    name, _, length = V2_BINARY.headers_of("m", ROWS)[-1].partition(": ")
    assert name == "inference-header-content-length"
    head = json.loads(body[: int(length)])
    assert body[int(length) :] == ROWS.tobytes()
    assert head["inputs"] == [
        {"name": "inputs", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}}
    ]
    assert head["outputs"] == [{"name": "outputs", "parameters": {"binary_data": True}}]


def test_other_bodies_need_no_such_header() -> None:
    for protocol in (V2, V2_JSON, JSON):
        assert protocol.headers_of("m", ROWS) == protocol.headers


def test_model_is_in_the_path_of_http_alone() -> None:
    assert V2_BINARY.path_of("m") == V2_JSON.path_of("m") == "/v2/models/m/infer"
    assert V2.path_of("m") == "/inference.GRPCInferenceService/ModelInfer"


def v2_answer(**more: object) -> bytes:
    output = {"name": "outputs", "datatype": "FP32", "shape": [2, 3], **more}
    return json.dumps({"model_name": "m", "model_version": "1", "outputs": [output]}).encode()


def test_binary_answer_is_what_lies_behind_its_json() -> None:
    body = v2_answer(parameters={"binary_data_size": 24}) + ROWS.tobytes()
    np.testing.assert_array_equal(V2_BINARY.decode(body, ROWS.shape), ROWS)


def test_json_answer_where_bytes_were_asked_for_is_refused() -> None:
    body = v2_answer(data=ROWS.ravel().tolist())
    with pytest.raises((BadAnswer, ValueError)):
        V2_BINARY.decode(body, ROWS.shape)
    with pytest.raises(BadAnswer, match="in place of 24 bytes"):
        V2_BINARY.decode(body + ROWS.tobytes(), ROWS.shape)


def test_v2_json_body_gives_the_same_floats_back() -> None:
    given = json.loads(V2_JSON.body("m", ROWS))["inputs"][0]
    assert {**given, "data": None} == {"name": "inputs", "shape": [2, 3], "datatype": "FP32", "data": None}
    np.testing.assert_array_equal(np.array(given["data"], np.float32), ROWS.ravel())


@pytest.mark.parametrize("data", [ROWS.tolist(), ROWS.ravel().tolist()])
def test_v2_json_answer_is_read_flat_and_nested(data: object) -> None:
    np.testing.assert_array_equal(V2_JSON.decode(v2_answer(data=data), ROWS.shape), ROWS)


@pytest.mark.parametrize("protocol", [V2_BINARY, V2_JSON])
@pytest.mark.parametrize("wrong", [{"name": "other"}, {"datatype": "FP64"}])
def test_v2_answer_over_http_with_another_output_is_refused(
    protocol: Protocol, wrong: dict[str, str]
) -> None:
    binary = protocol is V2_BINARY
    more = {"parameters": {"binary_data_size": 24}} if binary else {"data": ROWS.tolist()}
    with pytest.raises(BadAnswer, match="outputs"):
        protocol.decode(v2_answer(**{**more, **wrong}) + ROWS.tobytes() * binary, ROWS.shape)


def test_raw_answer_of_another_length_is_refused() -> None:
    np.testing.assert_array_equal(RAW.decode(ROWS.tobytes(), ROWS.shape), ROWS)
    with pytest.raises(BadAnswer, match="20 bytes"):
        RAW.decode(ROWS.tobytes()[:20], ROWS.shape)


def test_answer_within_rounding_is_right() -> None:
    compare(ROWS * np.float32(1.00001), ROWS)


def test_neighbours_rows_are_no_answer() -> None:
    with pytest.raises(BadAnswer, match="off by"):
        compare(ROWS[::-1].copy(), ROWS)


def test_answer_of_another_shape_is_wrong() -> None:
    with pytest.raises(BadAnswer, match="shape"):
        compare(ROWS[:1], ROWS)
