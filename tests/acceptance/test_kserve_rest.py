"""KServe's InferenceRESTClient, unchanged, against the server; kserve_rest_calls.py makes the calls."""

from __future__ import annotations

from typing import Any

import pytest

from .http_server import HttpServer
from .test_kserve import run


@pytest.fixture(scope="module")
def found(http_server: HttpServer) -> Any:
    return run("kserve_rest_calls.py", f"http://{http_server.url}")


def test_server_and_model_are_ready(found: Any) -> None:
    said = found["v2"]
    assert (said["live"], said["ready"], said["model ready"]) == (True, True, True)
    assert said["unknown model ready"] is False


def test_numbers_go_both_ways_as_bytes_and_as_json(found: Any) -> None:
    assert found["v2"]["sums"] == [{"sum": [[5, 7, 9]], "product": [[4, 10, 18]]}] * 8
    assert found["v2"]["id"] == "an id"
    assert found["v2"]["model"] == "simple"


def test_strings_and_half_floats_too(found: Any) -> None:
    assert found["v2"]["strings"] == [["ABC", ""]] * 2
    assert found["v2"]["half"] == ["FP16", [[0.5, 1]]]


def test_a_request_may_be_a_dictionary(found: Any) -> None:
    assert found["v2"]["dictionary"] == [[1.5] * 3, [2.5] * 3]


def test_many_calls_at_once(found: Any) -> None:
    assert found["v2"]["many"] == 30


def test_errors_are_read(found: Any) -> None:
    status, text = found["v2"]["unknown model"]
    assert (status, "Request for unknown model: 'nobody' is not found" in text) == (404, True), text
    status, text = found["v2"]["wrong inputs"]
    assert (status, "expected 2 inputs but got 1 inputs for model 'simple'" in text) == (400, True), text


def test_its_first_protocol_is_answered_beside(found: Any) -> None:
    assert found["v1"]["predictions"] == [
        {"sum": [5, 7, 9], "product": [4, 10, 18]},
        {"sum": [1, 1, 1], "product": [0, 0, 0]},
    ]
    assert found["v1"]["unknown model"][0] == 404
    status, text = found["v1"]["wrong inputs"]
    assert (status, "b" in text) == (400, True)
