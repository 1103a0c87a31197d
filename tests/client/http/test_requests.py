"""http/requests.py: messages as requests, against the protocol's text and the fake server's reading."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client import protocol
from hotgraph_client.http.requests import HttpRequest, http_request
from hotgraph_client.protocol import InferRequest, Method, infer_request
from hotgraph_protos import open_inference as oip

from ..fake_http_server import read_request


@pytest.mark.parametrize(
    ("method", "fields", "path"),
    [
        (protocol.SERVER_LIVE, {}, "/v2/health/live"),
        (protocol.SERVER_READY, {}, "/v2/health/ready"),
        (protocol.SERVER_METADATA, {}, "/v2"),
        (protocol.MODEL_READY, {"name": "m"}, "/v2/models/m/ready"),
        (protocol.MODEL_READY, {"name": "m", "version": "3"}, "/v2/models/m/versions/3/ready"),
        (protocol.MODEL_METADATA, {"name": "m"}, "/v2/models/m"),
        (
            protocol.MODEL_METADATA,
            {"name": "a/b c?%", "version": "1"},
            "/v2/models/a%2Fb%20c%3F%25/versions/1",
        ),
        (protocol.MODEL_METADATA, {"name": "\u00fc"}, "/v2/models/%C3%BC"),
        (protocol.MODEL_METADATA, {"name": "odd+n@me.1"}, "/v2/models/odd+n@me.1"),
        (protocol.MODEL_METADATA, {"name": "stats"}, "/v2/models/%73tats"),
        (protocol.MODEL_METADATA, {"name": "stats", "version": "1"}, "/v2/models/stats/versions/1"),
        (protocol.MODEL_STATISTICS, {}, "/v2/models/stats"),
        (protocol.MODEL_STATISTICS, {"name": "m"}, "/v2/models/m/stats"),
        (protocol.MODEL_STATISTICS, {"name": "m", "version": "3"}, "/v2/models/m/versions/3/stats"),
    ],
)
def test_questions_are_paths(method: Method[Any, Any], fields: dict[str, str], path: str) -> None:
    assert http_request(method, method.request(**fields)) == HttpRequest("GET", path)


def test_index_is_asked_for_with_a_body() -> None:
    request = http_request(protocol.REPOSITORY_INDEX, protocol.REPOSITORY_INDEX.request())
    assert (request.verb, request.path, request.body) == ("POST", "/v2/repository/index", (b"{}",))


def test_parameters_of_outputs_stand_beside_the_binary_form() -> None:
    message = infer_request(
        "m", {"a": np.ones(1)}, metadata=None, outputs={"y": {"classification": 2}, "z": {}}
    )
    text, *_ = http_request(protocol.MODEL_INFER, message).body
    assert json.loads(bytes(text))["outputs"] == [
        {"name": "y", "parameters": {"classification": 2, "binary_data": True}},
        {"name": "z", "parameters": {"binary_data": True}},
    ]


def test_every_method_has_a_form() -> None:
    for method in (*protocol.METHODS, *protocol.EXTENSIONS):
        message = method.request()
        asked = InferRequest(message, []) if method is protocol.MODEL_INFER else message
        assert http_request(method, asked).path.startswith("/v2")


def test_tensors_follow_the_json_and_the_header_says_where() -> None:
    message = infer_request("m", {"a": np.array([1, 2], np.int16), "b": np.array(["é"])}, metadata=None)
    request = http_request(protocol.MODEL_INFER, message)
    text, *tails = request.body
    assert [bytes(tail) for tail in tails] == [b"\1\0\2\0", b"\2\0\0\0\xc3\xa9"]
    assert request.headers == (
        ("content-type", "application/octet-stream"),
        ("inference-header-content-length", str(len(text))),
    )
    assert request.body_bytes == len(text) + 4 + 6
    assert (request.verb, request.path) == ("POST", "/v2/models/m/infer")
    assert json.loads(bytes(text)) == {
        "parameters": {"binary_data_output": True},
        "inputs": [
            {"name": "a", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}},
            {"name": "b", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
        ],
    }


def test_outputs_that_are_listed_say_each_how_they_want_to_come() -> None:
    message = infer_request("m", {}, metadata=None, outputs=["y", "z"], version=7)
    request = http_request(protocol.MODEL_INFER, message)
    assert request.path == "/v2/models/m/versions/7/infer"
    # nothing follows the JSON: a length of zero would mean that all is a tensor
    assert request.headers == (("content-type", "application/json"),)
    assert json.loads(bytes(request.body[0])) == {
        "inputs": [],
        "outputs": [
            {"name": "y", "parameters": {"binary_data": True}},
            {"name": "z", "parameters": {"binary_data": True}},
        ],
    }


@given(
    name=st.text(min_size=1).filter(lambda name: name.isprintable()),
    version=st.text("0123456789"),
    request_id=st.text(),
    parameters=st.dictionaries(
        st.text(min_size=1).filter(lambda key: key not in ("binary_data_output", "signature_name")),
        st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    ),
    inputs=st.dictionaries(st.text(), st.lists(st.integers(0, 255))),
    outputs=st.lists(st.text(min_size=1)),
)
def test_what_a_server_reads_is_what_was_meant(
    name: str,
    version: str,
    request_id: str,
    parameters: dict[str, Any],
    inputs: dict[str, list[int]],
    outputs: list[str],
) -> None:
    message = infer_request(
        name,
        {key: np.array(value, np.uint8) for key, value in inputs.items()},
        metadata=None,
        version=version,
        outputs=outputs,
        parameters=parameters,
        request_id=request_id,
    )
    request = http_request(protocol.MODEL_INFER, message)
    assert request.path.isascii()
    method, read = read_request(request.verb, request.path, dict(request.headers), b"".join(request.body))
    # where a float is whole, JSON's reader in the fake may have it as it likes
    assert method == "ModelInfer"
    assert isinstance(read, oip.ModelInferRequest)
    assert read == message.whole()
