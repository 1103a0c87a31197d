"""Calls over HTTP/1.1 on one connection, one after the other. Pure: bytes in, bytes out.

Requests are written by hand, for they are always the same; answers are read by llhttp, by its binding
httptools.
"""

from __future__ import annotations

from collections.abc import Iterable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from . import statuses
from .calls import Call, Ended, Reply, WireError

# With the longest piece that is read at once.
_MAX_HEAD_BYTES = 2**21


class HttpRequest:
    """A request as its bytes.

    Args:
        headers: names in lower case; host and content-length are added.
    """

    __slots__ = ("data",)

    def __init__(
        self,
        authority: str,
        path: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        method: str = "POST",
    ) -> None:
        lines = [f"{method} {path} HTTP/1.1", f"host: {authority}"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines += [f"content-length: {len(body)}", "", ""]
        self.data = "\r\n".join(lines).encode("latin-1") + body


class HttpConversation:
    """One connection, and the call that is on it. Used by one thread."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._call: Call | None = None
        self._unsent = b""
        self._closing = False
        self._headers: list[tuple[str, str]] = []
        self._parts: list[bytes] = []
        self._status = 0
        self._in_body = False
        self._sized = False
        self._whole = False
        # Since the last answer: headers, and what came in one piece with them.
        self._head_bytes = 0

    @property
    def calls(self) -> list[Call]:
        """That have no answer: one at most."""
        return [] if self._call is None else [self._call]

    @property
    def takes_more(self) -> bool:
        """Whether another call may be sent."""
        return self._call is None and not self._closing

    @property
    def has_begun(self) -> bool:
        """Whether the server has said what it must before the first call: in HTTP/1.1 nothing."""
        return True

    @property
    def is_over(self) -> bool:
        """Whether it is of no more use: the server keeps it for no other call, or one was given up."""
        return self._call is None and self._closing

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no more calls, ever."""
        return self._closing

    @property
    def goodbye(self) -> str:
        """Why the connection is over, where it is."""
        return "the server closed the connection"

    def start(self, call: Call, request: HttpRequest, left_s: float | None) -> None:
        """Send a call; of HTTP's deadlines the server hears nothing.

        Raises:
            WireError: there is one on its way; see `takes_more`.
        """
        if not self.takes_more:
            raise WireError("there is a call on its way")
        self._call = call
        self._unsent = request.data

    def cancel(self, call: Call) -> None:
        """Give up on it, and with it on the connection: what comes next would be its answer."""
        if call is self._call:
            self._call = None
            self._closing = True

    def to_send(self) -> bytes:
        """What is to be written to the socket now; each byte is given once."""
        data, self._unsent = self._unsent, b""
        return data

    def receive(self, data: bytes | memoryview, ended: Ended) -> None:
        """Add the call that is over with these bytes.

        Raises:
            WireError: that is no HTTP/1.1, or more than was asked for.
        """
        if self._call is None:
            raise WireError("the server sends what nobody asked for")
        if not self._in_body:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                raise WireError(f"the headers of an answer are more than {_MAX_HEAD_BYTES >> 10} KiB")
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise WireError("the server wants to speak another protocol") from None
        except HttpParserError as error:
            raise WireError(f"that is no HTTP/1.1: {error}") from None
        self._take(ended)

    def receive_end(self, ended: Ended) -> None:
        """Add the call whose answer says no length, and is whole because the connection is closed."""
        self._closing = True
        if self._call is not None and self._in_body and not self._sized:
            self._status = self._parser.get_status_code()
            self._whole = True
        self._take(ended)

    def _take(self, ended: Ended) -> None:
        if not self._whole or self._call is None:
            return
        call, self._call = self._call, None
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        headers, status = tuple(self._headers), self._status
        self._reset()
        if status == 200:
            ended.append((call, Reply(statuses.GOOD, body, headers)))
        else:
            ended.append((call, Reply(f"HTTP {status}", statuses.http_text(body).encode(), headers)))

    def _reset(self) -> None:
        self._headers, self._parts, self._status = [], [], 0
        self._in_body = self._sized = self._whole = False
        self._head_bytes = 0

    # What the parser tells of; its names.

    def on_message_begin(self) -> None:
        """The beginning of an answer."""
        if self._whole:
            raise WireError("a second answer to one call")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of the headers."""
        key = name.decode("latin-1").lower()
        self._sized |= key in ("content-length", "transfer-encoding")
        self._headers.append((key, value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """All of them."""
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The end of an answer, or of one that says that the answer is still to come (100)."""
        status = self._parser.get_status_code()
        if status < 200:
            self._reset()
            return
        self._status = status
        self._whole = True
        self._closing |= not self._parser.should_keep_alive()
