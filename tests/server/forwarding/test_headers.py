"""What goes on with a call, and comes back: keys do, what is about one connection or one server does not."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.forwarding.headers import FORWARDED, of_answer, over_grpc, over_http

MARK = (FORWARDED, "1")


def test_keys_and_traces_go_on_and_what_is_about_the_connection_does_not() -> None:
    said = {
        ":path": "/a/b",
        ":authority": "here",
        "content-type": "application/grpc",
        "te": "trailers",
        "grpc-timeout": "1S",
        "grpc-encoding": "gzip",
        "user-agent": "tritonclient",
        "authorization": "Bearer key",
        "traceparent": "00-1-2-01",
        "x-hotgraph-model": "m",
        "endpoint-load-metrics-format": "bin",
        "some-bin": "AAE",
    }
    assert over_grpc(said) == (
        ("authorization", "Bearer key"),
        ("traceparent", "00-1-2-01"),
        ("x-hotgraph-model", "m"),
        ("some-bin", b"\x00\x01"),
        MARK,
    )


def test_the_mark_is_there_once() -> None:
    assert over_grpc({FORWARDED: "0"}) == (MARK,)
    assert over_http({FORWARDED: "0"}) == [MARK]


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8)), st.text(max_size=8))
def test_grpc_takes_whatever_goes_on(said: dict[str, str], binary: str) -> None:
    """An invalid name or value would fail the call where it is made, by an exception of grpc's."""
    sent = over_grpc({**said, "x-bin": binary})
    for name, value in sent:
        assert name == name.lower()
        assert name.isascii()
        assert isinstance(value, bytes) == name.endswith("-bin")
        if isinstance(value, str):
            assert all(" " <= char <= "~" for char in value)


def test_grpc_itself_takes_it() -> None:
    sent = over_grpc({"a b": "1", "é": "1", "x": "é", "y": "a\r\nb: c", "-": " 1 ", "x-bin": "!"})
    assert sent == (("-", "1"), MARK)
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        call: Any = channel.unary_unary("/a/b")
        with pytest.raises(grpc.RpcError):
            call(b"", metadata=sent, timeout=0.01)


def test_a_request_goes_on_with_what_says_what_its_body_is() -> None:
    said = {
        "host": "here:1",
        "connection": "keep-alive, X-Own",
        "x-own": "1",
        "content-length": "3",
        "content-encoding": "gzip",
        "content-type": "application/octet-stream",
        "inference-header-content-length": "2",
        "accept-encoding": "gzip",
        "authorization": "Bearer key",
        "x-evil": "a\r\nb: c",
    }
    assert over_http(said) == [
        ("content-type", "application/octet-stream"),
        ("inference-header-content-length", "2"),
        ("accept-encoding", "gzip"),
        ("authorization", "Bearer key"),
        MARK,
    ]


def test_an_answer_comes_back_with_what_says_what_its_body_is() -> None:
    told = [
        ("Date", "now"),
        ("Content-Length", "3"),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
        ("Inference-Header-Content-Length", "2"),
        ("WWW-Authenticate", "Bearer"),
        ("Access-Control-Allow-Origin", "*"),
        ("endpoint-load-metrics", "TEXT x=1"),
        ("Connection", "close"),
    ]
    assert of_answer(told) == [
        ("content-encoding", "gzip"),
        ("inference-header-content-length", "2"),
        ("www-authenticate", "Bearer"),
    ]
