from __future__ import annotations

from http import HTTPStatus

import pytest

from hotgraph_server.access.groups import Group
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import AccessDenied, CallError, Unauthenticated
from hotgraph_server.observability.admin.guard import Admit, guarded
from hotgraph_server.observability.admin.http import Request, Response, text

SAVE = "/api/state/m/latest/save"


def asked(request: Request, admit: Admit | None = None, *, loopback: bool = True) -> Response:
    answer = guarded(lambda _: text(HTTPStatus.OK, "ok"), admit, loopback=loopback)(request)
    assert isinstance(answer, Response)
    return answer


def keys(group: Group, header: Header) -> CallError | None:
    """Each group has its name as key."""
    given = header("authorization")
    if given is None:
        return Unauthenticated(group.value, given=False)
    return None if given == group.value else AccessDenied(group.value, closed=False)


@pytest.mark.parametrize(
    ("request_", "group"),
    [
        (Request("GET", "/metrics"), "admin"),
        (Request("GET", "/"), "admin"),
        (Request("GET", "/live/main.js"), "admin"),
        (Request("GET", "/api/status"), "admin"),
        (Request("GET", "/nothing"), "admin"),
        (Request("GET", "/api/state"), "state"),
        (Request("POST", SAVE), "state"),
    ],
)
def test_page_needs_the_key_of_its_group(request_: Request, group: str) -> None:
    answer = asked(request_, keys)
    assert answer.status == HTTPStatus.UNAUTHORIZED
    assert answer.headers == {"WWW-Authenticate": "Bearer"}
    assert group in answer.body.decode()
    other = Request(request_.method, request_.path, {"authorization": "infer"})
    assert asked(other, keys).status == HTTPStatus.FORBIDDEN
    own = Request(request_.method, request_.path, {"authorization": group})
    assert asked(own, keys).status == HTTPStatus.OK


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_nothing(path: str) -> None:
    assert asked(Request("GET", path, {"host": "evil.example"}), keys).status == HTTPStatus.OK


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:8501", "null"])
@pytest.mark.parametrize("loopback", [True, False])
def test_no_page_may_post(origin: str, loopback: bool) -> None:
    request = Request("POST", SAVE, {"host": "localhost:8501", "origin": origin})
    assert asked(request, loopback=loopback).status == HTTPStatus.FORBIDDEN
    # With a key it is no page that a stranger has made, but it still is none of ours.
    known = Request("POST", SAVE, {**request.headers, "authorization": "state"})
    assert asked(known, keys, loopback=loopback).status == HTTPStatus.FORBIDDEN
    reading = Request("GET", "/metrics", request.headers)
    assert asked(reading, loopback=loopback).status == HTTPStatus.OK


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8501",
        "LocalHost:1",
        "127.0.0.1:8501",
        "127.0.0.1",
        "[::1]:8501",
        "[::1]",
        "10.0.0.1",
    ],
)
def test_names_of_this_machine_are_answered(host: str) -> None:
    for request in (Request("GET", "/metrics", {"host": host}), Request("POST", SAVE, {"host": host})):
        assert asked(request).status == HTTPStatus.OK


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "[",
        "a, b",
    ],
)
def test_other_names_are_answered_where_other_machines_call(host: str) -> None:
    for request in (Request("GET", "/metrics", {"host": host}), Request("POST", SAVE, {"host": host})):
        assert asked(request).status == HTTPStatus.MISDIRECTED_REQUEST
        assert asked(request, loopback=False).status == HTTPStatus.OK


def test_request_without_a_host_is_an_old_clients() -> None:
    assert asked(Request("GET", "/metrics")).status == HTTPStatus.OK
