"""Bytes become requests, whatever pieces they come in, and what is no request is refused."""

from __future__ import annotations

import itertools
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.http import HttpError
from hotgraph_server.transport.http1 import request_reader
from hotgraph_server.transport.http1.request_reader import MAX_HEAD_BYTES, Head, RequestReader

from .host import chunked, post

HEAD = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
SHORT = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Heard(RequestReader):
    """Keeps what it is told, and checks the order of it.

    Attributes:
        requests: head, body, and whether it is whole.
        error: what could not be read; False: nothing was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[Head, bytes, bool]] = []
        self.begun = 0
        self.error: HttpError | bool | None = False
        self.pieces: list[type] = []

    def on_begin(self) -> None:
        assert self.begun == len(self.requests)
        self.begun += 1

    def on_request(self, head: Head) -> None:
        assert self.begun == len(self.requests) + 1
        assert not self.requests or self.requests[-1][2]
        self.requests.append((head, b"", False))

    def on_piece(self, piece: Any) -> None:
        assert len(piece)
        self.pieces.append(type(piece))
        head, body, whole = self.requests[-1]
        assert not whole
        self.requests[-1] = (head, body + bytes(piece), False)

    def on_whole(self) -> None:
        head, body, whole = self.requests[-1]
        assert not whole
        assert head.length in (None, len(body)) or head.method == "CONNECT"
        self.requests[-1] = (head, body, True)

    def on_broken(self, error: HttpError | None) -> None:
        assert self.error is False
        self.error = error

    def feed(self, *pieces: bytes) -> Heard:
        for piece in pieces:
            buffer = bytearray(piece)
            view = memoryview(buffer)
            at = 0
            while at < len(view):
                used = self.read_some(view[at:])
                assert 0 < used <= len(view) - at
                at += used
            buffer[:] = b"\xee" * len(buffer)
        return self

    @property
    def outcome(self) -> tuple[Any, Any]:
        """What pieces may not change."""
        error = self.error
        return self.requests, (error.http_status, str(error)) if isinstance(error, HttpError) else error


class Parsed(Heard):
    """The same with no head going past the parser."""

    def read_some(self, data: memoryview) -> int:
        self._text = b""
        return super().read_some(data)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


NAMES = st.sampled_from(["X-A", "x-b", "Accept", "traceparent", "Content-Type"])
VALUES = st.text("abc ,;=/\t", max_size=12).map(str.strip)
EXTRA = st.lists(st.tuples(NAMES, VALUES), max_size=3)
PATHS = st.sampled_from(["/", "/v2/models/m/infer", "/a?b=c", "/a%20b?x#y", "http://h/b?c", "*"])
BODIES = st.binary(max_size=40) | st.sampled_from([SHORT, HEAD, b"\r\n\r\n", b"\n\r\n\r\n", b"0\r\n\r\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    lines = [f"{name}: {value}" for name, value in draw(EXTRA)]
    lines += draw(st.sampled_from([[], [], [], ["Connection: Upgrade", "Upgrade: h2c"]]))
    path, body = draw(PATHS), draw(BODIES)
    kind = draw(st.sampled_from(["get", "post", "post", "chunked"]))
    if kind == "get":
        wire = "\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *lines]).encode() + b"\r\n\r\n"
    elif kind == "post":
        wire = post(path, body, *lines)
    else:
        cut = draw(st.integers(0, len(body)))
        wire = chunked(path, *(part for part in (body[:cut], body[cut:]) if part), lines=lines)
    return draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\n\r\n\r\n"])) + wire


SEQUENCES = st.lists(requests(), min_size=1, max_size=3).flatmap(
    lambda few: st.lists(st.sampled_from(few), min_size=1, max_size=6)
)
CUTS = st.lists(st.integers(0, 10_000), max_size=8)


class TestPieces:
    @given(SEQUENCES, CUTS)
    def test_any_pieces_of_any_requests_are_the_requests_one_by_one(
        self, sent: list[bytes], cuts: list[int]
    ) -> None:
        """Also where heads come again, and where each head is parsed."""
        one_by_one = [Heard().feed(wire).outcome for wire in sent]
        expected = [request for (whole,), error in one_by_one for request in [whole] if error is False]
        assert len(expected) == len(sent)
        data = b"".join(sent)
        for reader in (Heard(), Parsed()):
            reader.feed(*in_pieces(data, cuts))
            assert reader.requests == expected
            assert reader.error is False
            assert reader.between_requests

    @given(SEQUENCES)
    def test_bytes_one_by_one_are_the_requests(self, sent: list[bytes]) -> None:
        data = b"".join(sent)
        assert (
            Heard().feed(*(data[at : at + 1] for at in range(len(data)))).requests
            == Heard().feed(data).requests
        )

    @given(SEQUENCES, st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=6)), max_size=4), CUTS)
    def test_what_is_spoiled_is_the_same_in_any_pieces(
        self, sent: list[bytes], spoiled: list[tuple[int, bytes]], cuts: list[int]
    ) -> None:
        data = b"".join(sent)
        for at, other in spoiled:
            at %= len(data) + 1
            data = data[:at] + other + data[at + len(other) :]
        whole = Heard().feed(data)
        for reader in (Heard().feed(*in_pieces(data, cuts)), Parsed().feed(data)):
            assert [one for one in reader.requests if one[2]] == [one for one in whole.requests if one[2]]
            assert reader.error is False if whole.error is False else reader.error is not False

    @given(SEQUENCES, CUTS)
    def test_another_reader_finds_the_same_requests(self, sent: list[bytes], cuts: list[int]) -> None:
        ours = Heard().feed(*in_pieces(b"".join(sent), cuts))
        # It takes no blank lines before a request.
        theirs = by_h11(b"".join(wire.lstrip() for wire in sent))
        assert [(head.method, body) for head, body, _ in ours.requests] == theirs


def by_h11(data: bytes) -> list[tuple[str, bytes]]:
    """Requests as h11 reads them, which are all answered."""
    found: list[tuple[str, bytes]] = []
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    method, body = "", b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            return found
        if isinstance(event, h11.Request):
            method, body = event.method.decode(), b""
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            assert event is h11.PAUSED or isinstance(event, h11.EndOfMessage)
            if isinstance(event, h11.EndOfMessage):
                found.append((method, body))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()


def heads_of(reader: Heard) -> list[Head]:
    return [head for head, _, _ in reader.requests]


class TestHead:
    def test_head_is_read_as_it_was_sent(self) -> None:
        (head,) = heads_of(
            Heard().feed(
                b"PUT /a%20b?x=1&y HTTP/1.1\r\nHOST: h\r\nX-Y:  z \r\nx-y: w\r\nContent-Length: 3\r\n\r\n"
            )
        )
        assert head[:3] == ("PUT", "/a%20b", "x=1&y")
        assert head.headers == {"host": "h", "x-y": "z, w", "content-length": "3"}
        assert head.keeps_alive
        assert head.length == 3

    @pytest.mark.parametrize(
        ("target", "path", "query"),
        [
            ("/", "/", ""),
            ("/a?b?c", "/a", "b?c"),
            ("/a#b?c", "/a", ""),
            ("/a?b#c", "/a", "b"),
            ("http://h:1/a?b=http://c/", "/a", "b=http://c/"),
            ("HTTPS://h", "/", ""),
            ("http://h?b/c", "/", "b/c"),
            ("*", "*", ""),
            ("/a?b=http://c/d", "/a", "b=http://c/d"),
        ],
    )
    def test_target_may_name_the_whole_address(self, target: str, path: str, query: str) -> None:
        (head,) = heads_of(Heard().feed(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()))
        assert (head.path, head.query) == (path, query)

    @pytest.mark.parametrize(
        ("first", "keeps"),
        [
            ("GET / HTTP/1.1\r\nHost: h", True),
            ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close", False),
            ("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close", False),
            ("GET / HTTP/1.0", False),
            ("GET / HTTP/1.0\r\nConnection: keep-alive", False),
        ],
    )
    def test_which_connections_are_kept(self, first: str, keeps: bool) -> None:
        (head,) = heads_of(Heard().feed(first.encode() + b"\r\n\r\n"))
        assert head.keeps_alive is keeps

    def test_older_http_needs_no_host_and_expects_nothing(self) -> None:
        reader = Heard().feed(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na")
        ((head, body, whole),) = reader.requests
        assert (reader.error, body, whole) == (False, b"a", True)
        assert "expect" not in head.headers

    def test_length_is_that_of_the_body_or_told_by_chunks(self) -> None:
        assert [head.length for head in heads_of(Heard().feed(SHORT + HEAD + b"abcd"))] == [0, 4]
        assert heads_of(Heard().feed(chunked("/", b"a")))[0].length is None


class TestTheSameAgain:
    def test_head_that_comes_again_is_not_parsed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reader = Heard().feed(HEAD + b"abcd")
        monkeypatch.setattr(
            "hotgraph_server.transport.http1.request_reader.httptools.HttpRequestParser", None
        )
        reader.feed(HEAD + b"efgh" + HEAD, b"i", b"jkl")
        assert [body for _, body, _ in reader.requests] == [b"abcd", b"efgh", b"ijkl"]
        assert len(set(map(id, heads_of(reader)))) == 1
        assert reader.begun == 3

    def test_of_two_heads_in_one_piece_each_means_itself(self) -> None:
        """The bytes of one are not taken for what the other says."""
        a, b = SHORT.replace(b"/", b"/a", 1), SHORT.replace(b"/", b"/b", 1)
        reader = Heard().feed(a + b, a, b + a)
        assert [head.path for head in heads_of(reader)] == ["/a", "/b", "/a", "/b", "/a"]

    def test_blank_lines_are_no_request_whatever_came_behind_them(self) -> None:
        blank = b"\n\r\n\r\n"
        reader = Heard().feed(blank + SHORT, blank, blank, SHORT)
        assert len(reader.requests) == 2

    def test_head_within_a_head_is_none(self) -> None:
        """The rest of one that has begun in the same piece as the end of the last."""
        reader = Heard().feed(chunked("/", b"a"), SHORT + b"GET /x HTTP/1.1\r\nX: ", SHORT)
        assert not reader.between_requests or len(reader.requests) == 3
        assert heads_of(reader)[2].headers == {"x": "GET / HTTP/1.1", "host": "h"}

    def test_head_behind_chunks_that_ended_in_its_piece_is_not_between_requests(self) -> None:
        reader = Heard().feed(chunked("/", b"a") + b"GET /x HTTP/1.1\r\nX: ")
        assert not reader.between_requests
        reader.feed(b"y\r\nHost: h\r\n\r\n")
        assert reader.between_requests
        assert heads_of(reader)[1].headers == {"x": "y", "host": "h"}

    @pytest.mark.parametrize("long", [request_reader.MAX_KEPT_BYTES - 100, 3000, 30_000])
    def test_head_of_any_length_means_the_same_again(self, long: int) -> None:
        head = b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * long + b"\r\n\r\n"
        reader = Heard().feed(head, head, head + SHORT + head)
        assert len(reader.requests) == 5
        assert len({head for _, _, _ in reader.requests}) == 1

    def test_head_that_ends_the_connection_is_not_said_again(self) -> None:
        closing = SHORT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        reader = Heard().feed(closing, closing)
        assert len(reader.requests) == 1
        assert isinstance(reader.error, HttpError)

    def test_reader_that_is_stopped_by_a_head_that_came_again_reads_no_more(self) -> None:
        class Stops(Heard):
            def on_request(self, head: Head) -> None:
                super().on_request(head)
                if len(self.requests) == 2:
                    self.stop()

        for wire in (HEAD + b"abcd", SHORT):
            reader = Stops().feed(wire, wire, wire)
            assert [whole for _, _, whole in reader.requests] == [True, False]


class TestPastTheParser:
    def test_body_of_known_length_comes_as_views_of_what_was_received(self) -> None:
        reader = Heard().feed(HEAD + b"abcd", HEAD, b"ab", b"cd")
        assert set(reader.pieces) == {memoryview}

    @pytest.mark.parametrize("nbytes", [1, 16 * 1024 - 1, 16 * 1024, 400_000])
    @pytest.mark.parametrize("behind", [b"", SHORT, HEAD + b"abcd"])
    def test_body_may_be_as_large_as_it_likes_and_ends_where_it_must(
        self, nbytes: int, behind: bytes
    ) -> None:
        body = bytes(range(251)) * (nbytes // 251 + 1)
        sent = post("/", body[:nbytes]) + behind
        for size in (len(sent), 100_000, 1009):
            reader = Heard().feed(*(sent[at : at + size] for at in range(0, len(sent), size)))
            assert reader.requests[0][1:] == (body[:nbytes], True)
            assert len(reader.requests) == 1 + bool(behind)
            assert reader.error is False

    def test_head_in_pieces_has_its_body_too(self) -> None:
        for cut in range(1, len(HEAD)):
            reader = Heard().feed(HEAD[:cut], HEAD[cut:] + b"ab", b"cd" + SHORT)
            assert [body for _, body, _ in reader.requests] == [b"abcd", b""]


class TestOtherProtocols:
    OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")

    def test_offer_of_another_protocol_is_passed_over_and_the_body_read(self) -> None:
        """Java's client sends such a head with its first request."""
        sent = post("/a", b"body", *self.OFFER) + SHORT
        for cut in range(len(sent) + 1):
            reader = Heard().feed(sent[:cut], sent[cut:])
            assert [(body, whole) for _, body, whole in reader.requests] == [(b"body", True), (b"", True)]
            assert all(head.keeps_alive for head in heads_of(reader))
            assert reader.error is False

    def test_offer_with_chunks(self) -> None:
        sent = chunked("/a", b"bo", b"dy", lines=self.OFFER) + SHORT + HEAD + b"abcd"
        for cut in range(len(sent) + 1):
            reader = Heard().feed(sent[:cut], sent[cut:])
            assert [body for _, body, whole in reader.requests if whole] == [b"body", b"", b"abcd"]
            assert [head.path for head in heads_of(reader)] == ["/a", "/", "/v1/models/m:predict"]

    def test_websocket_gets_an_answer_and_the_connection_goes_on(self) -> None:
        wire = b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        reader = Heard().feed(wire + SHORT, wire, wire)
        assert [head.path for head in heads_of(reader)] == ["/chat", "/", "/chat", "/chat"]
        assert reader.error is False

    def test_nothing_is_read_behind_connect(self) -> None:
        reader = Heard().feed(b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n" + SHORT, SHORT)
        assert [head.method for head in heads_of(reader)] == ["CONNECT"]
        assert not heads_of(reader)[0].keeps_alive
        assert reader.error is None

    @pytest.mark.parametrize(
        "wire",
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x00\xa5",
            b"\xff" * 20,
            b"\0",
            b"nonsense\r\n\r\n",
        ],
    )
    def test_what_is_no_request_is_refused(self, wire: bytes) -> None:
        reader = Heard().feed(wire, SHORT)
        assert isinstance(reader.error, HttpError)
        assert reader.error.http_status == 400
        assert not reader.requests


FIELD = b"X-%d: " + b"a" * 1000 + b"\r\n"
START = b"GET /v1/models/m HTTP/1.1\r\nHost: h\r\n"
CHUNKED = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def refusal(reader: Heard, *sent: bytes) -> int:
    """The status with which the last piece is refused, and none before."""
    for data in sent:
        assert reader.error is False, "refused too early"
        reader.feed(data)
    assert isinstance(reader.error, HttpError)
    return reader.error.http_status


class TestLimits:
    @pytest.mark.parametrize("size", [1, 1000, 16384, 65536, 2**20])
    @pytest.mark.parametrize("begin", [START, START + b"X: ", b"GET /", b"\r\n", b""])
    @pytest.mark.parametrize("before", [b"", HEAD + b"abcd"])
    def test_head_without_an_end_is_refused_at_its_limit(
        self, begin: bytes, size: int, before: bytes
    ) -> None:
        fill = b"\r\n" * (2**16) if begin.strip() == b"" else b"x" * (2**17)
        if begin == START:
            fill = b"".join(FIELD % number for number in range(130))
        whole = (begin + fill)[:MAX_HEAD_BYTES]
        reader = Heard().feed(before)
        assert refusal(reader, *(whole[at : at + size] for at in range(0, len(whole), size))) == 431

    def test_head_just_within_the_limit_is_read(self) -> None:
        head = START + b"X: "
        head += b"a" * (MAX_HEAD_BYTES - len(head) - 4) + b"\r\n\r\n"
        for pieces in ([head], [head[:40000], head[40000:]], [head, head]):
            reader = Heard().feed(*pieces)
            assert reader.error is False
            assert all(whole for _, _, whole in reader.requests)

    @pytest.mark.parametrize("size", [1000, 16384, 2**20])
    @pytest.mark.parametrize(
        "endless",
        [
            b"0\r\n" + b"".join(FIELD % number for number in range(200)),
            b"0\r\nX: " + b"a" * 200_000,
            b"1;" + b"a" * 200_000,
            b"0" * 200_000,
        ],
        ids=["trailers", "one trailer", "chunk extension", "a chunk's length"],
    )
    def test_what_is_neither_head_nor_body_has_the_same_limit(self, endless: bytes, size: int) -> None:
        reader = Heard().feed(CHUNKED + b"1\r\na\r\n")
        read = 0
        while reader.error is False:
            assert read < MAX_HEAD_BYTES + size
            reader.feed(endless[read : read + size])
            read += size
        assert isinstance(reader.error, HttpError)
        assert reader.error.http_status == 431

        assert reader.requests[0][1:] == (b"a", False)

    def test_chunks_of_one_byte_are_read_however_many(self) -> None:
        reader = Heard().feed(CHUNKED)
        many = b"1\r\na\r\n" * 1000
        for _ in range(20):
            reader.feed(many)
        reader.feed(b"0\r\nX-Trailer: y\r\n\r\n" + SHORT)
        assert [len(body) for _, body, _ in reader.requests] == [20_000, 0]
        assert "x-trailer" not in heads_of(reader)[0].headers
        assert "x-trailer" not in heads_of(reader)[1].headers


class TestRefusals:
    @pytest.mark.parametrize(
        "fields", [b"", b"Host: a\r\nHost: a\r\n", b"host: a\r\nX: y\r\nHOST: b\r\n", b"Hosts: a\r\n"]
    )
    def test_request_without_one_host_is_refused(self, fields: bytes) -> None:
        reader = Heard()
        assert refusal(reader, b"GET / HTTP/1.1\r\n" + fields + b"\r\n" + SHORT) == 400
        assert "it must name one" in str(reader.error)
        assert not reader.requests

    @pytest.mark.parametrize(
        "fields",
        [
            b"Content-Length: 1\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 1",
            b"Content-Length: 1\r\nContent-Length: 2",
            b"Content-Length: 1\r\nContent-Length: 1",
            b"Content-Length: 1, 1",
            b"Content-Length: +1",
            b"Content-Length: -1",
            b"Content-Length: 0x1",
            b"Content-Length: 1_0",
            b"Content-Length: ",
            b"Content-Length: 99999999999999999999999",
            b"Content-Length : 1",
            b"Transfer-Encoding: chunked, gzip",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: gzip",
            b"Transfer-Encoding: gzip, chunked",
            b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: ",
            b"Transfer-Encoding: identity",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"X: y\r\n continued",
            b"X: y\r\n\tcontinued",
            b"X: y\rZ: w",
            b"X: y\nZ: w",
            b"X: \0",
            b"X\0: y",
            b": nameless",
            b"no colon",
        ],
    )
    def test_request_that_two_readers_could_read_differently_is_refused(self, fields: bytes) -> None:
        wire = b"POST / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n\r\n"
        assert refusal(Heard(), wire) == 400
        # Behind others too, and in pieces.
        reader = Heard().feed(SHORT, *(wire[at : at + 7] for at in range(0, len(wire), 7)), SHORT)
        assert isinstance(reader.error, HttpError)
        assert len(reader.requests) == 1

    @pytest.mark.parametrize(
        "chunk", [b"nonsense\r\n", b"1\na\r\n", b"1\r\nab\r\n", b"-1\r\n", b"0x1\r\na\r\n", b"f" * 17]
    )
    def test_chunks_that_two_readers_could_read_differently_are_refused(self, chunk: bytes) -> None:
        reader = Heard().feed(CHUNKED + b"1\r\na\r\n")
        assert refusal(reader, chunk) == 400
        assert not reader.requests[0][2]

    def test_nothing_is_read_behind_what_is_refused(self) -> None:
        reader = Heard().feed(SHORT + b"nonsense\r\n\r\n" + SHORT, SHORT, bytes(100_000))
        assert len(reader.requests) == 1
        assert isinstance(reader.error, HttpError)

    def test_bug_of_ours_is_not_the_callers(self) -> None:
        class Buggy(Heard):
            def on_request(self, head: Head) -> None:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            Buggy().feed(SHORT)
