"""Errors of /v2: one status each, JSON always, and what headers say of another try."""

from __future__ import annotations

import json

import grpc
import pytest

from hotgraph_server.errors import (
    AccessDenied,
    AlreadyExists,
    ApiRestricted,
    CallError,
    InternalError,
    InvalidCall,
    NotFound,
    NotReady,
    QueueFull,
    QueueTimedOut,
    Unauthenticated,
    Unsupported,
    WouldBeLate,
)
from hotgraph_server.rest.v2.errors import error_content
from hotgraph_server.transport.http import HttpError
from hotgraph_server.transport.status import details_of

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("status", "http"),
    [
        # Triton's.
        *((Code.INTERNAL, 500), (Code.NOT_FOUND, 404), (Code.UNAVAILABLE, 503), (Code.UNIMPLEMENTED, 501)),
        *((Code.INVALID_ARGUMENT, 400), (Code.ALREADY_EXISTS, 400), (Code.FAILED_PRECONDITION, 400)),
        *((Code.OUT_OF_RANGE, 400), (Code.ABORTED, 400)),
        # Where Triton says 400 too.
        *((Code.RESOURCE_EXHAUSTED, 429), (Code.DEADLINE_EXCEEDED, 504), (Code.CANCELLED, 499)),
        *((Code.UNAUTHENTICATED, 401), (Code.PERMISSION_DENIED, 403)),
        *((Code.UNKNOWN, 500), (Code.DATA_LOSS, 500)),
    ],
)
def test_status_of_grpc_has_one_of_http(status: grpc.StatusCode, http: int) -> None:
    error = CallError("why")
    error.status = status
    content = error_content(error)
    assert (content.status, content.kind, json.loads(b"".join(content))) == (
        http,
        "application/json",
        {"error": "why"},
    )


def test_every_status_has_one() -> None:
    for status in set(Code) - {Code.OK}:
        error = CallError()
        error.status = status
        assert 400 <= error_content(error).status <= 504


@pytest.mark.parametrize(
    ("error", "http", "headers"),
    [
        (InvalidCall("x"), 400, []),
        (NotFound("x"), 404, []),
        (AlreadyExists("x"), 400, []),
        (Unsupported("x"), 501, []),
        (NotReady("x"), 503, []),
        (InternalError(), 500, []),
        (Unauthenticated("infer", given=False), 401, [("www-authenticate", "Bearer")]),
        (AccessDenied("infer", closed=True), 403, []),
        (ApiRestricted("admin-key"), 403, []),
        (QueueFull("q", 1, 1), 429, [("retry-after", "1")]),
        (QueueTimedOut("q", 1.0), 503, [("retry-after", "1")]),
        (WouldBeLate("q", 1.0), 429, [("retry-after", "1")]),
        (WouldBeLate("q", 1.0001), 429, [("retry-after", "2")]),
        (HttpError(405, "x", [("allow", "POST")]), 405, [("allow", "POST")]),
        (HttpError(413, "x"), 413, []),
    ],
)
def test_error_has_its_status_its_headers_and_its_text(
    error: CallError, http: int, headers: list[tuple[str, str]]
) -> None:
    content = error_content(error)
    assert (content.status, list(content.headers)) == (http, headers)
    assert json.loads(b"".join(content)) == {"error": str(error)}


def test_text_that_no_utf8_has_is_sent_all_the_same() -> None:
    assert json.loads(b"".join(error_content(InvalidCall("half \ud800")))) == {"error": "half ?"}


def test_long_text_is_cut_as_over_grpc() -> None:
    error = InvalidCall("too long: " + "x" * 10_000)
    (text,) = json.loads(b"".join(error_content(error))).values()
    assert text == details_of(error)
    assert len(text) < 2000
    assert text.startswith("too long: x")
