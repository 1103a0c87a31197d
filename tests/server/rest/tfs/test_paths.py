from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.rest.tfs.paths import Target, What, read_path


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("POST", "/v1/models/m:predict", Target(What.PREDICT, "m")),
        ("POST", "/v1/models/m:classify", Target(What.CLASSIFY, "m")),
        ("POST", "/v1/models/m:regress", Target(What.REGRESS, "m")),
        ("POST", "/v1/models/m/versions/7:predict", Target(What.PREDICT, "m", 7)),
        ("POST", "/v1/models/m/versions/007:predict", Target(What.PREDICT, "m", 7)),
        ("POST", "/v1/models/m/versions/0:predict", Target(What.PREDICT, "m", 0)),
        ("POST", "/v1/models/m/labels/stable:predict", Target(What.PREDICT, "m", None, "stable")),
        ("POST", "/V1/Models/M/Versions/1:Predict", Target(What.PREDICT, "M", 1)),
        ("POST", "/v1/models/a%2Fb%3A%20c:predict", Target(What.PREDICT, "a/b: c")),
        ("POST", "/v1/models/m/labels/%C3%A9:predict", Target(What.PREDICT, "m", None, "é")),
        ("GET", "/v1/models", Target(What.MODELS, "")),
        ("GET", "/v1/models/m", Target(What.STATUS, "m")),
        ("GET", "/v1/models/m/versions/7", Target(What.STATUS, "m", 7)),
        ("GET", "/v1/models/m/labels/stable", Target(What.STATUS, "m", None, "stable")),
        ("GET", "/v1/models/m/metadata", Target(What.METADATA, "m")),
        ("GET", "/v1/models/m/versions/7/metadata", Target(What.METADATA, "m", 7)),
        ("GET", f"/v1/models/m/versions/{2**63 - 1}", Target(What.STATUS, "m", 2**63 - 1)),
    ],
)
def test_path_names_a_target(method: str, path: str, target: Target) -> None:
    assert read_path(method, path) == target


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/m:predict"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:explain"),
        ("POST", "/v1/models/m/versions/1/labels/a:predict"),
        ("POST", "/v1/models/m/versions/-1:predict"),
        ("POST", "/v1/models/m/versions/x:predict"),
        ("POST", "/v1/models/:predict"),
        ("POST", "/v1/models/a:b:predict"),
        ("PUT", "/v1/models/m:predict"),
        ("OPTIONS", "/v1/models/m:predict"),
        ("GET", "/v1/"),
        ("GET", "/v1/models/m/other"),
        ("GET", "/v1/models/m/"),
    ],
)
def test_what_is_no_target_is_malformed(method: str, path: str) -> None:
    with pytest.raises(InvalidCall) as error:
        read_path(method, path)
    assert str(error.value) == f"Malformed request: {method} {path}"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v1/models/versions/1", "Missing model name in request."),
        (
            "/v1/models/metadata/metadata/metadata",
            "Malformed request: GET /v1/models/metadata/metadata/metadata",
        ),
        (
            f"/v1/models/m/versions/{2**63}",
            f"Failed to convert version: {2**63} to numeric.",
        ),
        ("/v1/models/%FF", "Failed to decode model name:%FF"),
        ("/v1/models/m/labels/%FF", "Failed to decode model version label:%FF"),
    ],
)
def test_target_that_cannot_be_is_told_apart(path: str, text: str) -> None:
    with pytest.raises(InvalidCall) as error:
        read_path("GET", path)
    assert str(error.value) == text


def test_path_of_something_else_is_not_found() -> None:
    with pytest.raises(NotFound):
        read_path("GET", "/metrics")


@given(st.sampled_from(["GET", "POST", "HEAD"]), st.text())
def test_no_path_raises_anything_else(method: str, path: str) -> None:
    for prefix in ("", "/v1/", "/v1/models/"):
        with contextlib.suppress(CallError):
            assert isinstance(read_path(method, prefix + path), Target)
