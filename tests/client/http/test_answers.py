"""http/answers.py: responses as messages and errors."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client import Busy, HotgraphError, ServerFault, Unreachable, protocol
from hotgraph_client.http.answers import read_response
from hotgraph_client.protocol import Method, read_answer


def read(
    method: Method[Any, Any], body: Any = b"", status: int = 200, headers: dict[str, str] | None = None
) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_response(method, status, headers or {}, text, address="http://h:1", model="m")


def arrays(said: Any, tail: bytes = b"", **headers: str) -> dict[str, Any]:
    text = json.dumps(said).encode()
    if tail:
        headers["inference-header-content-length"] = str(len(text))
    answer = read(protocol.MODEL_INFER, text + tail, headers=headers)
    found: dict[str, Any] = read_answer(answer, single=False, address="http://h:1")
    return found


def output(datatype: str, shape: list[int], name: str = "y", **said: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, **said}


def test_tensors_behind_the_json_and_in_it_are_arrays() -> None:
    found = arrays(
        {
            "outputs": [
                output("FP32", [2], "a", parameters={"binary_data_size": 8}),
                output("INT64", [2, 1], "b", data=[[1], [-(2**63)]]),
                output("BYTES", [1], "c", parameters={"binary_data_size": 5}),
            ]
        },
        np.array([0.5, 2], np.float32).tobytes() + b"\1\0\0\0z",
    )
    assert found["a"].dtype == np.float32
    assert {name: array.tolist() for name, array in found.items()} == {
        "a": [0.5, 2],
        "b": [[1], [-(2**63)]],
        "c": [b"z"],
    }
    assert all(array.flags.writeable for array in found.values())


@pytest.mark.parametrize(
    ("datatype", "data", "values"),
    [
        ("BOOL", [True, False], [True, False]),
        ("UINT64", [2**64 - 1, 0], [2**64 - 1, 0]),
        ("FP32", [0.1, 3], [np.float32(0.1), 3.0]),
        ("FP64", [float("inf"), 1e300], [np.inf, 1e300]),
        ("FP16", [0.5, 1], [0.5, 1]),
        ("BYTES", ["\u00e9", {"b64": "//4="}], ["\u00e9".encode(), b"\xff\xfe"]),
    ],
)
def test_json_of_every_kind_is_read(datatype: str, data: list[Any], values: list[Any]) -> None:
    for shaped, shape in ((data, [2]), ([[one] for one in data], [2, 1])):
        assert arrays({"outputs": [output(datatype, shape, data=shaped)]})["y"].ravel().tolist() == values


def test_nothing_is_read_as_no_elements() -> None:
    assert arrays({"outputs": [output("FP32", [0, 3], data=[])]})["y"].shape == (0, 3)
    assert arrays({"outputs": []}) == {}


@pytest.mark.parametrize(
    ("said", "tail", "why"),
    [
        ([], b"", "expected an object of JSON, got a list"),
        ({}, b"", "outputs is a NoneType, not a list"),
        ({"outputs": [3]}, b"", "an output is a int"),
        ({"outputs": [{"name": "y"}]}, b"", "no name or datatype"),
        ({"outputs": [output("FP32", [1])]}, b"", "output 'y' has no data"),
        ({"outputs": [output("FP32", [2], data=[1])]}, b"", "expected 8 bytes, got 4"),
        ({"outputs": [output("FP32", [1], data=["1"])]}, b"", "FP32 cannot hold a str"),
        ({"outputs": [output("INT8", [1], data=[128])]}, b"", "out of range for INT8"),
        ({"outputs": [output("INT8", [1], data=[1.5])]}, b"", "INT8 cannot hold a float"),
        ({"outputs": [output("FP128", [1], data=[1])]}, b"", "FP128"),
        ({"outputs": [output("BYTES", [1], data=["\ud800"])]}, b"", "output 'y'"),
        ({"outputs": [output("BYTES", [1], data=[{"b64": "!"}])]}, b"", "b64"),
        ({"outputs": [output("FP32", [-1], data=[1])]}, b"", "a dimension of 'y' is -1"),
        ({"outputs": [output("FP32", [True], data=[1])]}, b"", "a dimension of 'y' is True"),
        ({"outputs": [output("INT8", [1], parameters={"binary_data_size": 2})]}, b"1", "1 are left"),
        (
            {"outputs": [output("INT8", [1], parameters={"binary_data_size": 1})]},
            b"12",
            "belong to no output",
        ),
        ({"outputs": [output("INT8", [1], parameters={"binary_data_size": "1"})]}, b"1", "binary_data_size"),
    ],
)
def test_answer_that_makes_no_sense_is_the_servers_fault(said: Any, tail: bytes, why: str) -> None:
    with pytest.raises(ServerFault, match=why) as caught:
        arrays(said, tail)
    assert "makes no sense" in caught.value.details


@pytest.mark.parametrize("length", ["-1", "3", "x", "", "9" * 30])
def test_header_of_another_length_is_the_servers_fault(length: str) -> None:
    with pytest.raises(ServerFault, match="inference-header-content-length"):
        read(protocol.MODEL_INFER, b"{}", headers={"inference-header-content-length": length})


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"\xff", b"[" * 100_000, b'{"outputs":' + b"[" * 100_000]
)
def test_success_that_is_no_json_is_the_servers_fault(body: bytes) -> None:
    for method in (protocol.MODEL_INFER, protocol.MODEL_METADATA, protocol.SERVER_METADATA):
        with pytest.raises(ServerFault, match="makes no sense"):
            read(method, body)


def test_index_is_the_answer_that_is_a_list() -> None:
    rows = [{"name": "a", "version": "1", "state": "READY"}, {"name": "b", "reason": "no such op"}]
    found = read(protocol.REPOSITORY_INDEX, json.dumps(rows).encode())
    assert [(one.name, one.version, one.state, one.reason) for one in found.models] == [
        ("a", "1", "READY", ""),
        ("b", "", "", "no such op"),
    ]
    for body in (b'{"models": []}', b"[1]", b'[{"name": 1}]', b"nothing"):
        with pytest.raises(ServerFault):
            read(protocol.REPOSITORY_INDEX, body)


def test_compressed_answer_that_nobody_asked_for_is_told() -> None:
    with pytest.raises(ServerFault, match="compressed"):
        read(protocol.MODEL_INFER, b"\x1f\x8b", headers={"content-encoding": "gzip"})


@given(body=st.binary(), length=st.none() | st.text(), status=st.integers(200, 599))
def test_whatever_comes_is_a_message_or_one_of_our_errors(
    body: bytes, length: str | None, status: int
) -> None:
    headers = {} if length is None else {"inference-header-content-length": length, "retry-after": length}
    for method in (*protocol.METHODS, *protocol.EXTENSIONS):
        # any other error would come out
        with contextlib.suppress(HotgraphError):
            read(method, body, status, headers)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "data", "shape", "b64"]), inner),
    max_leaves=8,
)


@given(
    outputs=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.just("y") | JSON,
                "datatype": st.sampled_from(["FP32", "INT8", "BYTES", "BF16"]) | JSON,
                "shape": st.lists(st.integers(-1, 3)) | JSON,
                "data": JSON,
                "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9)}) | JSON,
            },
        )
    )
    | JSON,
    tail=st.binary(max_size=9),
)
def test_whatever_outputs_are_said_to_be_they_are_arrays_or_the_servers_fault(
    outputs: Any, tail: bytes
) -> None:
    # any other error would come out
    with contextlib.suppress(ServerFault):
        arrays({"outputs": outputs}, tail)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.INVALID_ARGUMENT),
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        (404, grpc.StatusCode.NOT_FOUND),
        (408, grpc.StatusCode.DEADLINE_EXCEEDED),
        (413, grpc.StatusCode.INVALID_ARGUMENT),
        (418, grpc.StatusCode.UNKNOWN),
        (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (499, grpc.StatusCode.CANCELLED),
        (500, grpc.StatusCode.INTERNAL),
        (501, grpc.StatusCode.UNIMPLEMENTED),
        (502, grpc.StatusCode.UNAVAILABLE),
        (503, grpc.StatusCode.UNAVAILABLE),
        (504, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
def test_status_is_the_error_that_grpc_would_have_had(status: int, code: grpc.StatusCode) -> None:
    with pytest.raises(HotgraphError) as caught:
        read(protocol.MODEL_INFER, {"error": "because"}, status)
    error = caught.value
    assert (error.code, error.details, error.model, error.address) == (code, "because", "m", "http://h:1")


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"<html>no upstream</html>", "text/html", "HTTP 502 Bad Gateway"),
        (b"", "application/json", "HTTP 502 Bad Gateway"),
        (b'{"error": 3}', "application/json", "HTTP 502 Bad Gateway"),
        (b'["error"]', "application/json", "HTTP 502 Bad Gateway"),
        (b"[" * 100_000, "application/json", "HTTP 502 Bad Gateway"),
        (b"no\nhealthy \xff upstream", "text/plain; charset=utf-8", "no healthy \ufffd upstream"),
        (b"x" * 10_000, "text/plain", "x" * 200),
        (b'{"error": "said"}', "text/plain", "said"),
    ],
)
def test_error_in_no_form_of_the_protocol_is_told_as_well_as_it_can_be(
    body: bytes, kind: str, text: str
) -> None:
    with pytest.raises(Unreachable) as caught:
        read(protocol.MODEL_INFER, body, 502, {"content-type": kind})
    assert caught.value.details == text


def test_redirection_is_not_followed_and_says_where_to() -> None:
    with pytest.raises(ServerFault, match="HTTP 308 Permanent Redirect, to https://h/"):
        read(protocol.MODEL_INFER, b"", 308, {"location": "https://h/"})


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "pushback_ms"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2000),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "2", "grpc-retry-pushback-ms": "150"}, 150),
    ],
)
def test_busy_server_says_for_how_long(status: int, headers: dict[str, str], pushback_ms: int | None) -> None:
    with pytest.raises((Busy, Unreachable)) as caught:
        read(protocol.MODEL_INFER, {"error": "full"}, status, headers)
    assert isinstance(caught.value, (Busy, Unreachable))
    assert caught.value.pushback_ms == pushback_ms


@pytest.mark.parametrize(
    ("status", "body", "ready"),
    [
        (200, b"", True),
        (200, b'{"live": true, "ready": true}', True),
        (200, b'{"name": "m", "live": false, "ready": false}', False),
        (400, b"", False),
        (400, b'{"error": "Model version not ready"}', False),
        (503, b"", False),
    ],
)
def test_readiness_is_what_triton_and_kserve_say(status: int, body: bytes, ready: bool) -> None:
    assert read(protocol.SERVER_LIVE, body, status).live is ready
    assert read(protocol.SERVER_READY, body, status).ready is ready
    assert read(protocol.MODEL_READY, body, status).ready is ready


def test_readiness_that_is_refused_is_an_error() -> None:
    with pytest.raises(HotgraphError, match="who are you"):
        read(protocol.MODEL_READY, {"error": "who are you"}, 401)


def test_metadata_keep_the_properties_that_describe_signatures() -> None:
    message = read(
        protocol.MODEL_METADATA,
        {
            "name": "m",
            "versions": None,
            "platform": "p",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2], "parameters": {"of": "another"}}],
            "outputs": [],
            "properties": {"inputs.other": '[{"name": "z", "datatype": "UINT8", "shape": [-1]}]'},
        },
    )
    assert message.inputs[0].shape == [-1, 2]
    assert dict(message.properties)["inputs.other"].startswith("[{")


def test_statistics_are_read_with_numbers_beyond_a_double() -> None:
    message = read(
        protocol.MODEL_STATISTICS,
        {
            "model_stats": [
                {
                    "name": "m",
                    "version": "1",
                    "inference_count": 2**63 + 1,
                    "inference_stats": {"success": {"count": 1, "ns": 2}},
                    "response_stats": {},
                    "memory_usage": [],
                    "new_in_a_later_version": 1,
                }
            ]
        },
    )
    assert message.model_stats[0].inference_count == 2**63 + 1
    assert message.model_stats[0].inference_stats.success.ns == 2


def test_error_can_be_printed_whatever_it_says() -> None:
    with pytest.raises(HotgraphError) as raised:
        read(protocol.MODEL_INFER, b'{"error": "half of a pair: \\ud800"}', 400)
    assert "half of a pair: ?" in str(raised.value)
    str(raised.value).encode()
