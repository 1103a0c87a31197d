from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.observability.admin.http import (
    BadRequest,
    Request,
    Response,
    read_request,
    text,
    write_response,
)

HEAD = b"GET /metrics?name=x HTTP/1.1\r\nHost: localhost:8501\r\nACCEPT:  text/plain \r\n\r\n"
HEADERS = {"host": "localhost:8501", "accept": "text/plain"}


@pytest.mark.parametrize(
    ("head", "request_"),
    [
        (HEAD, Request("GET", "/metrics", HEADERS)),
        (b"HEAD / HTTP/1.0\r\n\r\n", Request("HEAD", "/")),
        (b"GET http://localhost:8501/readyz HTTP/1.1\r\n\r\n", Request("GET", "/readyz")),
        (b"GET /a%20b#c HTTP/1.1\r\n\r\n", Request("GET", "/a b")),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", Request("POST", "/", {"content-length": "5"})),
        (
            b"GET / HTTP/1.1\r\nAccept: a\r\nEmpty:\r\naccept: b\r\n\r\n",
            Request("GET", "/", {"accept": "a, b", "empty": ""}),
        ),
    ],
)
def test_request_is_read(head: bytes, request_: Request) -> None:
    assert read_request(head) == request_


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"G(T / HTTP/1.1\r\n\r\n",
        b"GET //[ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequest):
        read_request(head)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda cut: HEAD[: len(cut)] + cut + b"\r\n\r\n"))
def test_garbage_is_read_or_refused_and_nothing_else(head: bytes) -> None:
    try:
        found = read_request(head)
    except BadRequest:
        return
    assert found.method
    assert " " not in found.method


def test_response_closes_its_connection_and_says_how_long_it_is() -> None:
    sent = write_response(Response(HTTPStatus.OK, b"abc", "text/x", {"Allow": "GET"}))
    head, _, body = sent.partition(b"\r\n\r\n")
    assert body == b"abc"
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"Content-Type: text/x",
        b"Content-Length: 3",
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
        b"Allow: GET",
        b"Connection: close",
    ]


def test_head_gets_all_but_the_body() -> None:
    response = text(HTTPStatus.NOT_FOUND, "gone")
    whole, head = write_response(response), write_response(response, with_body=False)
    assert whole == head + b"gone\n"
    assert b"Content-Length: 5\r\n" in head
