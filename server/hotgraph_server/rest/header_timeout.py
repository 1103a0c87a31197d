"""What one connection may ask of the REST port: time, and bytes that are no body.

uvicorn closes connections that have had an answer and say nothing more; for one that has sent half a head, or
nothing at all, it waits for ever, and keeps whatever comes of a head, however much. Here a head has so many
seconds and so many bytes; what else is no body (trailers, what chunks carry besides their bytes) has as many
bytes. Requests that come behind one another are read only as far as some of them wait. An answer
that is not taken is given up.

A request of HTTP/1.1 names its host, once (RFC 9112, section 3.2): two readers that differ about which of two
holds could be led to different sites.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hotgraph_server.rest.codes import error_body

HEAD_S = 30.0
"""For the head of a request to come, from the opening of the connection or its first byte, seconds."""

MAX_HEAD_BYTES = 64 * 1024
"""Of a head that is not complete, and of anything else between two bytes of a body."""

STUCK_S = 60.0
"""As long may a peer take nothing of its answer, seconds."""

# The parser is given so much at a time, and a limit looked at in between.
_PIECE_BYTES = 16 * 1024
# Of requests behind the one that is answered so many are parsed; one piece more can bring some hundreds.
_MAX_WAITING = 16
# Who is refused has so long, and so many bytes, to stop sending and hear of it: closed at once, a socket that
# still gets something takes its last words back.
_LINGER_S = 10.0
_LINGER_BYTES = 512 * 2**20


class _Wrong(Exception):
    """A head is refused."""


class _Flow(FlowControl):
    """uvicorn's. What it takes for room to read in holds only while nothing is held back here."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.holding = False

    def resume_reading(self) -> None:
        if not self.holding:
            super().resume_reading()


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """uvicorn's, with an end to its waiting."""

    flow: _Flow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._late: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._in_head = False
        self._bare_bytes = 0  # since something of a request was complete, or of its body came
        self._held: deque[bytes] = deque()  # have come, and are not parsed yet
        self._refusal: tuple[HTTPStatus, str] | None = None
        self._refused = False
        self._lingering_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._no_longer()
        self._flows()
        self._held.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._refused:
            self._lingering_bytes += len(data)
            if self._lingering_bytes > _LINGER_BYTES:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        self._held.append(data)
        self._parse()

    def on_message_begin(self) -> None:
        """See httptools: the first byte of a request is there."""
        super().on_message_begin()
        self._in_head = True
        self._wait_for_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Trailers come this way too, and are not asked for."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._bare_bytes = 0
        self._in_head = False
        self._no_longer()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._refusal = (HTTPStatus.BAD_REQUEST, f"the request names {hosts} hosts; it must name one")
            raise _Wrong
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._bare_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._bare_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """See RequestResponseCycle: the next request may be answered, and another one parsed."""
        super().on_response_complete()
        if self._held:
            self._parse()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        self._look_whether_it_flows(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        super().resume_writing()
        self._flows()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's: what has come is no request."""
        self._refuse(*(self._refusal or (HTTPStatus.BAD_REQUEST, msg)))

    def _parse(self) -> None:
        """What has come, as far as requests may wait."""
        while self._held and len(self.pipeline) <= _MAX_WAITING and not self._is_over():
            data = memoryview(self._held.popleft())
            while data:
                if self._bare_bytes >= MAX_HEAD_BYTES:
                    self._refuse(
                        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                        f"the head of the request is larger than {MAX_HEAD_BYTES} bytes",
                    )
                    return
                piece = data[: min(_PIECE_BYTES, MAX_HEAD_BYTES - self._bare_bytes)]
                data = data[len(piece) :]
                self._bare_bytes += len(piece)
                super().data_received(bytes(piece))
                if self._is_over():
                    return
                if data and len(self.pipeline) > _MAX_WAITING:
                    self._held.appendleft(bytes(data))
                    break
        self.flow.holding = bool(self._held)
        if self.flow.holding:
            self.flow.pause_reading()

    def _is_over(self) -> bool:
        return self._refused or self.transport.is_closing()

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """Answer what cannot be read further, and close once that was heard."""
        self._refused = True
        self._held.clear()
        self._no_longer()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                # Requests before it are answered in their order, and nothing behind them.
                cycle.keep_alive = False
                return
            if self.pipeline or cycle.response_started:
                self.transport.abort()
                return
            # It is the body of this one that breaks off.
            cycle.disconnected = True
            cycle.message_event.set()
        body = error_body(text)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.write_eof()
        self._late = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _wait_for_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.abort)

    def _no_longer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _look_whether_it_flows(self, waiting: int) -> None:
        """See in a while whether less than `waiting` bytes wait to be taken."""
        self._flows()

        def look() -> None:
            waits = self.transport.get_write_buffer_size()
            if waits >= waiting:
                self.transport.abort()
            else:
                self._look_whether_it_flows(waits)

        self._stuck = self.loop.call_later(STUCK_S, look)

    def _flows(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
