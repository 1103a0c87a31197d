"""Paths of /v2: what each asks for, and what is said of those that ask for nothing."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.rest.v2.paths import Target, What, read_path
from hotgraph_server.transport.http import HttpError

ENDPOINTS = [
    ("GET", "/v2", Target(What.SERVER_METADATA)),
    ("GET", "/v2/health/live", Target(What.SERVER_LIVE)),
    ("GET", "/v2/health/ready", Target(What.SERVER_READY)),
    ("GET", "/v2/models", Target(What.MODELS)),
    ("GET", "/v2/models/stats", Target(What.STATISTICS)),
    ("GET", "/v2/models/m", Target(What.MODEL_METADATA, "m")),
    ("GET", "/v2/models/m/versions/3", Target(What.MODEL_METADATA, "m", "3")),
    ("GET", "/v2/models/m/ready", Target(What.MODEL_READY, "m")),
    ("GET", "/v2/models/m/versions/3/ready", Target(What.MODEL_READY, "m", "3")),
    ("GET", "/v2/models/m/config", Target(What.MODEL_CONFIG, "m")),
    ("GET", "/v2/models/m/versions/3/config", Target(What.MODEL_CONFIG, "m", "3")),
    ("GET", "/v2/models/m/stats", Target(What.STATISTICS, "m")),
    ("GET", "/v2/models/m/versions/3/stats", Target(What.STATISTICS, "m", "3")),
    ("POST", "/v2/models/m/infer", Target(What.INFER, "m")),
    ("POST", "/v2/models/m/versions/3/infer", Target(What.INFER, "m", "3")),
    ("POST", "/v2/models/m/generate", Target(What.GENERATE, "m")),
    ("POST", "/v2/models/m/versions/3/generate", Target(What.GENERATE, "m", "3")),
    ("POST", "/v2/models/m/generate_stream", Target(What.GENERATE_STREAM, "m")),
    ("POST", "/v2/models/m/versions/3/generate_stream", Target(What.GENERATE_STREAM, "m", "3")),
    ("POST", "/v2/repository/index", Target(What.INDEX)),
    ("POST", "/v2/repository/r/index", Target(What.INDEX, repository="r")),
    ("POST", "/v2/repository/models/m/load", Target(What.LOAD, "m")),
    ("POST", "/v2/repository/r/models/m/load", Target(What.LOAD, "m", repository="r")),
    ("POST", "/v2/repository/models/m/unload", Target(What.UNLOAD, "m")),
    ("POST", "/v2/repository/r/models/m/unload", Target(What.UNLOAD, "m", repository="r")),
    ("GET", "/v2/systemsharedmemory/status", Target(What.SYSTEM_STATUS)),
    ("GET", "/v2/systemsharedmemory/region/a/status", Target(What.SYSTEM_STATUS, region="a")),
    ("POST", "/v2/systemsharedmemory/register", Target(What.SYSTEM_REGISTER)),
    ("POST", "/v2/systemsharedmemory/region/a/register", Target(What.SYSTEM_REGISTER, region="a")),
    ("POST", "/v2/systemsharedmemory/unregister", Target(What.SYSTEM_UNREGISTER)),
    ("POST", "/v2/systemsharedmemory/region/a/unregister", Target(What.SYSTEM_UNREGISTER, region="a")),
    ("GET", "/v2/cudasharedmemory/status", Target(What.CUDA_STATUS)),
    ("GET", "/v2/cudasharedmemory/region/a/status", Target(What.CUDA_STATUS, region="a")),
    ("POST", "/v2/cudasharedmemory/region/a/register", Target(What.CUDA_REGISTER, region="a")),
    ("POST", "/v2/cudasharedmemory/unregister", Target(What.CUDA_UNREGISTER)),
    ("POST", "/v2/cudasharedmemory/region/a/unregister", Target(What.CUDA_UNREGISTER, region="a")),
    ("GET", "/v2/trace/setting", Target(What.TRACE)),
    ("POST", "/v2/trace/setting", Target(What.TRACE_CHANGE)),
    ("GET", "/v2/models/m/trace/setting", Target(What.TRACE, "m")),
    ("POST", "/v2/models/m/trace/setting", Target(What.TRACE_CHANGE, "m")),
    ("GET", "/v2/logging", Target(What.LOGGING)),
    ("POST", "/v2/logging", Target(What.LOGGING_CHANGE)),
]


@pytest.mark.parametrize(("method", "path", "target"), ENDPOINTS)
def test_path_names_a_target(method: str, path: str, target: Target) -> None:
    assert read_path(method, path) == target


def test_everything_can_be_asked_for() -> None:
    assert {target.what for _, _, target in ENDPOINTS} == set(What)


@pytest.mark.parametrize(("method", "path", "target"), ENDPOINTS)
def test_head_asks_for_what_get_does_and_for_nothing_else(method: str, path: str, target: Target) -> None:
    if method == "GET":
        assert read_path("HEAD", path) == target
    elif target.what not in (What.TRACE_CHANGE, What.LOGGING_CHANGE):
        with pytest.raises(HttpError) as raised:
            read_path("HEAD", path)
        assert raised.value.http_status == 405


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/models/m/infer", "POST"),
        ("POST", "/v2/models/m", "GET, HEAD"),
        ("PUT", "/v2/logging", "GET, HEAD, POST"),
        ("DELETE", "/v2/models/m/trace/setting", "GET, HEAD, POST"),
        ("OPTIONS", "/v2", "GET, HEAD"),
        ("BREW", "/v2/repository/index", "POST"),
        ("get", "/v2", "GET, HEAD"),
    ],
)
def test_wrong_method_is_405_with_those_that_are_right(method: str, path: str, allowed: str) -> None:
    with pytest.raises(HttpError) as raised:
        read_path(method, path)
    assert raised.value.http_status == 405
    assert list(raised.value.headers) == [("allow", allowed)]
    assert str(raised.value) == f"Method Not Allowed: {method} {path}; it takes {allowed}"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        *((path, "letters and slashes must be as in ") for path in ("/v2/", "/v2/models/m/", "//v2", "/V2")),
        ("/v2/models//m", "letters and slashes must be as in /v2/models/{model}[/versions/{version}]"),
        ("/v2/models/m/Infer", "letters and slashes must be as in "),
        ("/v2/models/m/versions/x/infer", "a version is a number, got 'x'"),
        ("/v2/models/m/versions/-1", "a version is a number, got '-1'"),
        ("/v2/models/m/versions/%33", "a version is a number, got '%33'"),
        ("/v2/models/m/versions/\u0663", "a version is a number, got "),
        *(
            (path, "GET /v2/models lists the models")
            for path in (
                *("", "/", "/v1", "/v2/health", "/v2/models/m/explain", "/v2x", "/v2/models/m/versions"),
                *("/v2/models/m/versions/1/trace/setting", "/v2/repository", "/v2/a\nb"),
            )
        ),
    ],
)
def test_path_of_nothing_is_404_with_what_is_likely_meant(path: str, why: str) -> None:
    with pytest.raises(NotFound) as raised:
        read_path("GET", path)
    assert str(raised.value).startswith(f"Not Found: {path}; ")
    assert why in str(raised.value)


def test_no_more_of_a_path_is_shown_than_helps() -> None:
    for path in ("/v2/" + "x" * 60_000, "/" * 60_000, "/v2/models/m/versions/" + "x" * 60_000):
        with pytest.raises(NotFound) as raised:
            read_path("GET", path)
        assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("odd%2Bn%40me.1", "odd+n@me.1"),
        ("a%2Fb", "a/b"),
        ("%25%34%31", "%41"),
        ("%C3%A9", "é"),
        ("\xc3\xa9", "é"),
        ("a+b", "a+b"),
        ("%73tats", "stats"),
    ],
)
def test_names_are_percent_decoded_once(part: str, name: str) -> None:
    assert read_path("GET", f"/v2/models/{part}") == Target(What.MODEL_METADATA, name)
    assert read_path("POST", f"/v2/repository/models/{part}/load").model == name
    assert read_path("GET", f"/v2/systemsharedmemory/region/{part}/status").region == name


@pytest.mark.parametrize("part", ["%FF", "%", "a%", "%4", "%zz", "\xff", "%C3%28"])
def test_name_that_is_no_percent_encoded_utf8_is_refused(part: str) -> None:
    with pytest.raises(InvalidCall) as raised:
        read_path("GET", f"/v2/models/{part}/ready")
    assert str(raised.value) == f"the model '{part}' in the path is no percent-encoded UTF-8"


@given(st.text(min_size=1))
def test_every_name_can_be_asked_for(name: str) -> None:
    try:
        part = quote(name, safe="")
    except UnicodeEncodeError:
        return
    if part == "stats":
        return
    assert read_path("GET", f"/v2/models/{part}") == Target(What.MODEL_METADATA, name)
    assert read_path("POST", f"/v2/models/{part}/versions/7/infer") == Target(What.INFER, name, "7")


@given(st.sampled_from(["GET", "POST", "HEAD", "PUT"]), st.text() | st.text("/v2modelsrinf%0A"))
def test_no_path_raises_anything_else(method: str, path: str) -> None:
    for prefix in ("", "/v2/", "/v2/models/", "/v2/models/m/versions/"):
        with contextlib.suppress(CallError):
            assert isinstance(read_path(method, prefix + path), Target)
