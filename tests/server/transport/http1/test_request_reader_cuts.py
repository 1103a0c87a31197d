"""Requests in a connection's bytes, however those are cut."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.http import HttpError
from hotgraph_server.transport.http1.request_reader import Head, RequestReader


class Heard(NamedTuple):
    """A request as it was read."""

    method: str
    path: str
    body: bytes


class Listener(RequestReader):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Heard] = []
        self.broken: list[str | None] = []
        self.statuses: list[int] = []
        self._coming = Head("", "", "", {}, True, 0)
        self._pieces: list[bytes] = []

    def on_begin(self) -> None:
        """See RequestReader."""

    def on_request(self, head: Head) -> None:
        """See RequestReader."""
        self._coming, self._pieces = head, []

    def on_piece(self, piece: bytes | memoryview) -> None:
        """See RequestReader."""
        self._pieces.append(bytes(piece))

    def on_whole(self) -> None:
        """See RequestReader."""
        self.heard.append(Heard(self._coming.method, self._coming.path, b"".join(self._pieces)))

    def on_broken(self, error: HttpError | None) -> None:
        """See RequestReader."""
        self.broken.append(None if error is None else str(error))
        self.statuses += [] if error is None else [error.http_status]


def read(*received: bytes) -> Listener:
    """What is heard of bytes that are received in these pieces."""
    listener = Listener()
    for data in received:
        at = 0
        while at < len(data):
            used = listener.read_some(memoryview(data)[at:])
            assert used > 0
            at += used
    return listener


def get(path: str, *lines: str) -> bytes:
    """A request without a body."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def post(path: str, body: bytes, *lines: str) -> bytes:
    """A request with a body whose length is known."""
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def chunked(path: str, body: bytes) -> bytes:
    """A request with a body in chunks."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = [b"%x\r\n%b\r\n" % (len(one), one) for one in (body[:3], body[3:]) if one]
    return head + b"".join(chunks) + b"0\r\n\r\n"


PATHS = st.sampled_from(["/a", "/b", "/c"])
BODIES = st.sampled_from([b"", b"0123", b"GET /z HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n"])
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMA", "Upgrade: h2c")


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Heard]:
    """A request, and how it is to be heard."""
    path, kind = draw(PATHS), draw(st.sampled_from(["get", "post", "chunked", "upgrade", "upgrade post"]))
    body = draw(BODIES) if "post" in kind or kind == "chunked" else b""
    sent = {
        "get": get(path),
        "post": post(path, body),
        "chunked": chunked(path, body),
        "upgrade": get(path, *UPGRADE),
        "upgrade post": post(path, body, *UPGRADE),
    }[kind]
    blank = draw(st.sampled_from([b"", b"", b"\r\n", b"\n\r\n\r\n"]))
    return blank + sent, Heard("GET" if kind in ("get", "upgrade") else "POST", path, body)


@given(st.lists(requests(), max_size=8), st.lists(st.integers(0, 600), max_size=6))
def test_requests_are_the_same_wherever_their_bytes_are_cut(
    sent: list[tuple[bytes, Heard]], cuts: list[int]
) -> None:
    text = b"".join(data for data, _ in sent)
    ends = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    listener = read(*(text[begin:end] for begin, end in itertools.pairwise(ends)))
    assert listener.heard == [heard for _, heard in sent]
    assert listener.broken == []
    assert listener.between_requests


def test_a_head_that_comes_again_means_what_it_did_though_another_came_with_it() -> None:
    assert [one.path for one in read(get("/a") + get("/b"), get("/a")).heard] == ["/a", "/b", "/a"]


def test_the_bodies_of_heads_that_come_again_have_their_own_lengths() -> None:
    both = post("/a", b"abc") + post("/b", b"defgh")
    assert read(both, both).heard == [Heard("POST", "/a", b"abc"), Heard("POST", "/b", b"defgh")] * 2


def test_blank_lines_are_no_head() -> None:
    assert [one.path for one in read(b"\n\r\n\r\n" + get("/a"), b"\n\r\n\r\n").heard] == ["/a"]


def test_a_head_within_another_ones_header_is_no_request() -> None:
    inner = get("/a")
    listener = read(inner, chunked("/b", b"x") + b"GET /c HTTP/1.1\r\nX: ", inner)
    assert [one.path for one in listener.heard] == ["/a", "/b", "/c"]


def test_what_has_begun_behind_a_body_in_chunks_is_not_between_requests() -> None:
    assert not read(chunked("/a", b"x") + b"GET /b").between_requests


def test_an_upgrade_is_passed_over_and_the_body_read() -> None:
    # As Java's HttpClient sends its first request.
    listener = read(post("/a", b"abc", *UPGRADE) + get("/b"))
    assert listener.heard == [Heard("POST", "/a", b"abc"), Heard("GET", "/b", b"")]


def test_behind_connect_nothing_is_read() -> None:
    listener = read(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n" + get("/a"))
    assert [one.method for one in listener.heard] == ["CONNECT"]
    assert listener.broken == [None]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(head: bytes) -> None:
    listener = read(head + get("/a"))
    assert listener.heard == []
    assert len(listener.broken) == 1


def test_values_of_one_name_are_joined() -> None:
    class Names(Listener):
        def on_request(self, head: Head) -> None:
            super().on_request(head)
            self.values = head.headers["x"]

    names = Names()
    names.read_some(memoryview(get("/", "X: a", "x: b", "X: c")))
    assert names.values == "a, b, c"


def test_nothing_follows_chunks_of_http_1_0() -> None:
    class Keeping(Listener):
        def on_request(self, head: Head) -> None:
            super().on_request(head)
            self.keeps_alive = head.keeps_alive

    sent = chunked("/", b"x").replace(b"HTTP/1.1", b"HTTP/1.0\r\nConnection: keep-alive")
    old, new = Keeping(), Keeping()
    old.read_some(memoryview(sent))
    new.read_some(memoryview(chunked("/", b"x")))
    assert (old.keeps_alive, new.keeps_alive) == (False, True)


@pytest.mark.parametrize("version", ["0.9", "2.0", "3.0"])
def test_other_versions_of_http_are_refused_by_their_number(version: str) -> None:
    listener = read(f"GET / HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    assert listener.heard == []
    assert listener.statuses in ([505], [400]), "the parser itself refuses some"
    assert version != "2.0" or listener.statuses == [505]
