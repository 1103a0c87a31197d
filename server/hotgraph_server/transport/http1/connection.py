"""One HTTP/1.1 connection without its socket: bytes in, requests and bytes out (RFC 9112).

* Requests are answered in their order, one after the other; those that come behind one another are read only
  as far as some of them wait (`holds`), so a caller who asks on waits for itself.
* A head has 30 seconds to come, and a caller that has had an answer may be silent for 75: longer than most
  proxies keep connections open, so that it is they who close, and no request meets a closing port.
* What cannot be read is refused behind the answers to what came before, and nothing more is heard.
* `receive` ends when its time is up, wherever it is (`unfinished`), so that other connections are served.

What is read, and how much of what is no body, is decided in request_reader.py.

Threads. None here: everything requires the server's connections_lock (sockets/server.py).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from hotgraph_server.errors import CallError
from hotgraph_server.transport.http import Content, HttpError, Request
from hotgraph_server.transport.http1 import heads
from hotgraph_server.transport.http1.exchange import Exchange
from hotgraph_server.transport.http1.incoming import Host, Http
from hotgraph_server.transport.http1.request_reader import Head, RequestReader
from hotgraph_server.transport.inflight import Held

HEAD_S = 30.0
"""For the head of a request to come, from its first byte, seconds."""

KEEP_ALIVE_S = 75.0
"""As long a connection may be silent between requests, seconds."""

MAX_WAITING = 16
"""So many requests behind the one that is answered are read; one piece more can bring some hundreds."""

MAX_UNSENT_BYTES = 256 * 1024
"""With more of its answers unsent nothing of a caller is begun: who asks and reads nothing gets nowhere."""

# What more than one piece may be joined of for one system call.
_WORTH_JOINING = 16 * 1024


class HttpConnection(RequestReader):
    """The peer's side of one connection.

    Args:
        peer: ``HOST:PORT`` of the caller.
        host: the server.
        http: what is answered, and in which time.
        on_output: called when `out` is no longer empty, or the connection `holds` or has `ended`.
        clock: monotonic seconds.

    Attributes:
        out, out_bytes, unsent_bytes, unfinished, holds, ended, crowded, peer, held_bytes, greeted, patient,
            refusal, calls, quiet: see Spoken (sockets/spoken.py).
    """

    greeted = patient = True

    def __init__(
        self, peer: str, host: Host, http: Http, on_output: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        super().__init__()
        self.out: list[bytes | memoryview] = []
        self.out_bytes = 0
        self.peer = peer
        self.held_bytes = 0
        self.unsent_bytes = 0
        self.unfinished = False
        self.crowded = False
        self._unsent = Held()  # what is said and not sent
        self.holds = False
        self.ended = False
        self.refusal: CallError | None = None
        self.calls = 0
        self._host = host
        self._http = http
        self._on_output = on_output
        self._clock = clock
        self._waiting: deque[Exchange] = deque()  # for their answers; the first one's turn it is
        self._coming: Exchange | None = None  # the last of them, while its body comes
        self._head_before: Head | None = None
        self._request = Request("", "", "", {}, peer)  # of that
        self._owes_continue = False  # the one that comes asks whether it may, and it is not its turn yet
        self._going_on = False
        self._going_away = False
        self._deaf = False  # nothing more is read
        self._due_at = clock() + HEAD_S  # for a head, or silence; infinite: something is being answered

    # Receiving

    def receive(self, data: memoryview, ends_at: float = math.inf) -> int:
        """Take in bytes. Returns how many were used; the rest is to be given again when `holds` is over or,
        if it does not hold, at once.

        Args:
            data: valid during the call only.
            ends_at: when to leave the rest for later, monotonic seconds.
        """
        at, end = 0, len(data)
        while at < end and not self.holds:
            at += self.read_some(data[at:])
            if at < end and self._clock() >= ends_at:
                break
        coming = self._coming
        if coming is not None and coming.deadline == math.inf and self._http.body_s != math.inf:
            coming.deadline = self._clock() + self._http.body_s
            self._host.expire_later(coming)
        self.unfinished = at < end
        return at

    def on_begin(self) -> None:
        """See RequestReader."""
        if not self._waiting:
            self._due_at = self._clock() + HEAD_S

    def on_request(self, head: Head) -> None:
        """See RequestReader."""
        if head is not self._head_before:
            self._head_before = head
            self._request = Request(head.method, head.path, head.query, head.headers, self.peer)
        request = self._request
        exchange = self._coming = Exchange(self, request, self._host, self._http)
        exchange.closes = not head.keeps_alive
        self._waiting.append(exchange)
        self.calls += 1
        self._due_at = math.inf
        self._owes_continue = False
        exchange.enter()
        if head.length == 0:
            return
        exchange.announce(head.length or 0)
        if self._coming is exchange and head.headers.get("expect", "").lower() == "100-continue":
            if exchange.refused:
                # Who hears no cannot be told from who sends its body all the same.
                self.give_up(exchange)
            else:
                self._owes_continue = True
                self._go_on()

    def on_piece(self, piece: bytes | memoryview) -> None:
        """See RequestReader."""
        self._owes_continue = False
        if self._coming is not None:
            self._coming.take(piece)

    def on_whole(self) -> None:
        """See RequestReader."""
        exchange, self._coming = self._coming, None
        if exchange is not None:
            exchange.complete = True
            exchange.deadline = math.inf
            self._go_on()

    def on_broken(self, error: HttpError | None) -> None:
        """See RequestReader."""
        exchange = self._coming
        if error is None and exchange is None:
            self._hear_no_more()
            return
        if exchange is None:
            request = Request("", "", "", {}, self.peer)
            exchange = Exchange(self, request, self._host, self._http)
            self._waiting.append(exchange)
            self._due_at = math.inf
        exchange.refuse(error or HttpError(400, "the request breaks off"))
        self.give_up(exchange)

    def give_up(self, exchange: Exchange) -> None:
        """See Connected."""
        if self._coming is exchange:
            self._coming = None
        exchange.complete = True
        self._hear_no_more()
        self._go_on()

    def _hear_no_more(self) -> None:
        """What comes from now on is not read; the connection is closed behind the last answer."""
        self._deaf = True
        self.stop()
        if self._waiting:
            self._waiting[-1].closes = True
            self.holds = True
            # Wherever this comes from, by a deadline too: who watches the socket has to know.
            self._on_output()
        else:
            self.end()

    def _go_on(self) -> None:
        """Begin the exchange whose turn it is; in a loop, since its answer may be there at once."""
        if self._going_on:
            return
        self._going_on = True
        waiting = self._waiting
        try:
            while waiting and waiting[0].complete and not waiting[0].begun:
                self.crowded = self.out_bytes + self.unsent_bytes > MAX_UNSENT_BYTES
                if self.crowded:
                    break
                waiting[0].begin()
        finally:
            self._going_on = False
        if self._owes_continue and waiting and waiting[0] is self._coming:
            self._owes_continue = False
            self._send(heads.CONTINUE)
        self.holds = len(waiting) > MAX_WAITING or (bool(waiting) and self._reads_no_more)

    @property
    def _reads_no_more(self) -> bool:
        """Who was asked to go elsewhere is answered what was read by then, and nothing more is."""
        return self._deaf or (self._going_away and self._coming is None)

    # Sending

    def answer(self, exchange: Exchange, content: Content, coding: str) -> None:
        """See Connected."""
        waiting = self._waiting
        assert waiting[0] is exchange
        # What was read before the caller was asked to go is answered still.
        closes = exchange.closes or (self._going_away and len(waiting) == 1)
        headers = (*content.headers, *exchange.extra_headers())
        if coding:
            headers += (("content-encoding", coding), ("vary", "Accept-Encoding"))
        nbytes = sum(map(len, content))
        head = heads.head(content.status, content.kind, nbytes, headers, closes=closes)
        if exchange.request.method == "HEAD":
            self._send(head)
        elif nbytes <= _WORTH_JOINING:
            self._send(b"".join([head, *content]))
        else:
            self._send(head)
            for piece in content:
                self._send(piece)
        waiting.popleft()
        exchange.over()
        if self.out_bytes + self.unsent_bytes > MAX_UNSENT_BYTES:
            # While it lies here others take in less; the caller itself gets no further.
            self.crowded = True
            self._host.inflight.settle(self._unsent, self, self.out_bytes + self.unsent_bytes)
        if closes:
            self.end()
            return
        if not waiting:
            self._due_at = self._clock() + (KEEP_ALIVE_S if self.between_requests else HEAD_S)
        self._go_on()

    def end(self) -> None:
        """See Connected."""
        self._deaf = self.ended = True
        self.stop()
        self._forget()
        self.holds = False
        if not self.out:
            self._on_output()

    def _send(self, data: bytes | memoryview) -> None:
        if not self.out:
            self._on_output()
        self.out.append(data)
        self.out_bytes += len(data)

    # Its life

    def on_sent(self) -> None:
        """See Spoken."""
        self.crowded = False
        self._host.inflight.settle(self._unsent, self, 0)
        self._go_on()

    def give_up_stalled(self, looks: int) -> bool:
        """See Spoken."""
        return self._clock() >= self._due_at

    @property
    def quiet(self) -> bool:
        """See Spoken."""
        return not self._waiting and self.between_requests

    def go_away(self, *, at_once: bool = True) -> bool:
        """See Spoken. One that waits for a request may as well go at once."""
        is_news = not self._going_away
        self._going_away = True
        if is_news and self._waiting and self._reads_no_more and not self.holds:
            self.holds = True
            self._on_output()
        if at_once and self.quiet and not self.ended:
            self.end()
        return is_news

    def say_goodbye(self) -> None:
        """See Spoken: HTTP/1.1 has no word for it."""

    def cancel(self, error: CallError | None = None) -> None:
        """See Spoken."""
        for exchange in list(self._waiting):
            exchange.cancel(error)

    def lose(self) -> None:
        """See Spoken."""
        self._forget()
        self._host.inflight.end(self._unsent, self)

    def _forget(self) -> None:
        self._coming = None
        while self._waiting:
            self._waiting.popleft().lose()
