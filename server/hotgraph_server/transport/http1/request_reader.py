"""Requests of HTTP/1.1 in a connection's bytes: heads, bodies, and what is neither. Pure.

httptools (llhttp, which node is built on) reads heads and chunks. What is decided here:

* What is no body is bounded: a head, and whatever else lies between two bytes of a body (trailers, what
  chunks carry besides their bytes), has 64 KiB.
* A request of HTTP/1.1 names its host, once (RFC 9112, section 3.2): two readers that differ about which of
  two holds could be led to different sites. What else could be read in two ways (lengths, odd field names,
  lines that go on) the parser refuses.
* A body whose length is known goes past the parser, from the memory that it was received in to its own.
* Callers say the same head again and again. One that is byte by byte the last one of its connection means the
  same, for a parser begins every head in the same state; it goes past the parser as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import httptools

from hotgraph_server.transport.http import HttpError

MAX_HEAD_BYTES = 64 * 1024
"""Of a head that is not complete, and of anything else between two bytes of a body."""

# The parser is given so much at a time, and limits and the clock are looked at in between.
_PIECE_BYTES = 16 * 1024
# A head of more bytes is not worth keeping, and comparing.
_MAX_KEPT_BYTES = 2048


class Head(NamedTuple):
    """What stands before a body.

    Attributes:
        method: in capitals, as sent.
        path, query: of the target, as sent.
        headers: by their names in lower case.
        keeps_alive: the connection may go on behind the answer.
        length: of the body, bytes; None: its end is told by its last chunk.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    keeps_alive: bool
    length: int | None


class _Refused(Exception):
    """A head is refused: raised through the parser."""


class RequestReader:
    """A subclass is told what has come: by `on_request`, `on_piece` any number of times, and `on_whole`; and
    by `on_broken`, once, of what cannot be read, behind which nothing is. It may say itself that it wants to
    hear no more (`stop`).

    Attributes:
        between_requests: nothing of a request has come that is not complete.
    """

    def __init__(self) -> None:
        self._parser: httptools.HttpRequestParser | None = None
        self._stopped = False
        self._bare_bytes = 0  # since something of a request was complete, or of its body came
        self._in_head = True
        self._body_left = 0  # of a body that goes past the parser
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head: Head | None = None  # the last one
        self._text = b""  # of it, if it is kept

    @property
    def between_requests(self) -> bool:
        """See the class."""
        return self._in_head and not self._bare_bytes

    def stop(self) -> None:
        """Nothing of what comes from now on is read."""
        self._stopped = True
        self._parser = None
        self._body_left = 0

    def read_some(self, data: memoryview) -> int:
        """Take in some bytes, one at least. Returns how many were used."""
        if self._stopped:
            return len(data)
        if self._in_head and not self._bare_bytes:
            kept = len(self._text)
            if kept and data[:kept] == self._text:
                self._say_again()
                return kept
        if self._body_left:
            piece = data[: self._body_left]
            self._body_left -= len(piece)
            self.on_piece(piece)
            if not self._body_left and not self._stopped:
                self._in_head = True
                self.on_whole()
            return len(piece)
        piece = data[: min(_PIECE_BYTES, MAX_HEAD_BYTES - self._bare_bytes)]
        begins = self._in_head and not self._bare_bytes
        end = _end_of_head(piece) if begins else 0
        if end and len(data) > _PIECE_BYTES:
            # What is behind a head may be a large body.
            piece = piece[:end]
        if begins:
            self._text, self._head = b"", None
        self._parse(piece)
        head = self._head
        if 0 < end <= _MAX_KEPT_BYTES and head is not None and head.keeps_alive and head.length is not None:
            self._text = bytes(piece[:end])
        return len(piece)

    def _say_again(self) -> None:
        """The last head has come again."""
        head = self._head
        assert head is not None
        self.on_begin()
        self._in_head = False
        self._body_left = head.length or 0
        self.on_request(head)
        if not head.length and not self._stopped:
            self._in_head = True
            self.on_whole()

    # For the subclass

    def on_begin(self) -> None:
        """The first byte of a request is there."""
        raise NotImplementedError

    def on_request(self, head: Head) -> None:
        """A head is there."""
        raise NotImplementedError

    def on_piece(self, piece: bytes | memoryview) -> None:
        """Some of the body; a view is valid during the call only."""
        raise NotImplementedError

    def on_whole(self) -> None:
        """All of the request is there."""
        raise NotImplementedError

    def on_broken(self, error: HttpError | None) -> None:
        """What has come cannot be read further; None: by the peer's wish it is no HTTP/1.1 any more."""
        raise NotImplementedError

    # What the parser calls

    def on_message_begin(self) -> None:
        """See httptools."""
        self._url = b""
        self._fields = []
        self._in_head = True
        self.on_begin()

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Trailers come this way too, and nobody asks for them."""
        if self._in_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """See httptools."""
        parser = self._parser
        if parser is None:
            return  # what comes is not read any more
        self._in_head = False
        self._bare_bytes = 0
        hosts = sum(name.lower() == b"host" for name, _ in self._fields)
        if hosts > 1 or (not hosts and parser.get_http_version() == "1.1"):
            raise _Refused(f"the request names {hosts} hosts; it must name one")
        headers = _headers(self._fields)
        path, _, query = self._url.partition(b"?")
        length = None if "transfer-encoding" in headers else int(headers.get("content-length", "0"))
        head = Head(
            parser.get_method().decode("latin-1"),
            path.decode("latin-1"),
            query.partition(b"#")[0].decode("latin-1"),
            headers,
            parser.should_keep_alive(),
            length,
        )
        # Unless the parser has been given some of it already, which `on_body` tells.
        self._body_left = -(length or 0)
        self._head = head
        self.on_request(head)

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._bare_bytes = 0
        self._body_left = 0
        if not self._stopped:
            self.on_piece(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._bare_bytes = 0
        self._body_left = 0
        self._in_head = True
        if not self._stopped:
            self.on_whole()

    def _parse(self, piece: memoryview) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        self._bare_bytes += len(piece)
        try:
            parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # Nothing else is spoken here: the request is answered, and what follows it is not ours.
            self._break(None)
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
            if cause is not None and not isinstance(cause, _Refused):
                raise cause from None
            self._break(HttpError(400, str(cause) if cause else f"the request is no HTTP/1.1: {error}"))
        else:
            if self._body_left < 0:
                # The parser has been given nothing of the body, and need not be.
                self._body_left = -self._body_left
                self._parser = None
            elif self._bare_bytes >= MAX_HEAD_BYTES:
                text = f"the head of the request is larger than {MAX_HEAD_BYTES} bytes"
                self._break(HttpError(431, text))

    def _break(self, error: HttpError | None) -> None:
        if not self._stopped:
            self.stop()
            self.on_broken(error)


def _end_of_head(piece: memoryview) -> int:
    """Where a head ends; 0: not in this piece."""
    at = bytes(piece).find(b"\r\n\r\n")
    return at + 4 if at > 0 else 0


def _headers(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """By their names in lower case; of one that comes again the values are joined (RFC 9110, section 5.2)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.lower().decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
