"""Calls past grpc's own server: sockets and time, that is who is served when.

A grpc server in Python hands every call to a thread and does some dozen steps under several locks for it;
even its completion queue alone costs more per call than all that is done with one here. So this server speaks
HTTP/2 itself, and does for many calls at once what can be done so: one read takes in what tens of callers
sent, one write takes away what tens of them get. The same services run on grpc's own server where it is
switched off (transport/grpcio/server.py), slower.

connections_lock
    One lock stands for everything that belongs to connections. The leader (threads/leadership.py) has it
    while it works and gives it up only to wait for sockets. An answer is put into `_outbox` by the thread
    that brings it, which then takes the lock if it is free, and sends what lies in the outbox: so an answer
    needs no other thread when there is little to do, and costs its bringer next to nothing when there is
    much. Only the leader waits for the lock, and the few that start and stop the server. A bringer that finds
    it taken can go, because who gives it back looks into the outbox once more. It is not reentrant on
    purpose: an answer that is brought while its bringer has it is sent by the one who has it already.

Guarantees
    * A call that was taken is counted as open until its answer is on its way or its caller has gone.
    * A caller that leaves is told to the call's owner at once, a deadline within a
      millisecond of it, or when a short run of the leader has ended.
    * What one connection does wrong costs that connection; an exception while it is served is logged, and
      closes it, never the loop.
    * Connections are served for some five milliseconds, all together, then answers are sent and those that
      were not served come first; a connection that has sent much is served for its share of that.
    * A peer that does not read, or does not speak, is cut off after a time; its calls are told. So is a
      stream on which nothing moves; its neighbours go on.
    * What all calls hold of their messages has a limit (transport/inflight.py).
"""

from __future__ import annotations

import contextlib
import logging
import math
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from hotgraph_server.errors import CallError
from hotgraph_server.threads.joining import join_within
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.threads.switch_interval import giving_way
from hotgraph_server.transport.deadlines import Alarm, Deadlines
from hotgraph_server.transport.http1.exchange import Exchange
from hotgraph_server.transport.http1.incoming import Http
from hotgraph_server.transport.http2.admission import Admission
from hotgraph_server.transport.http2.call import Call
from hotgraph_server.transport.http2.deflating import Deflater
from hotgraph_server.transport.http2.header_blocks import MAX_HEADER_LIST_BYTES
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.load_trailers import LoadTrailers
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import Admit, Service, Tell
from hotgraph_server.transport.sockets.acceptor import Acceptor
from hotgraph_server.transport.sockets.door import Door
from hotgraph_server.transport.sockets.handshakes import Handshakes
from hotgraph_server.transport.sockets.open_connections import OpenConnections
from hotgraph_server.transport.sockets.receive_coalescing import ReceiveCoalescer
from hotgraph_server.transport.sockets.self_pipe import SelfPipe
from hotgraph_server.transport.sockets.socket_io import SocketIO
from hotgraph_server.transport.sockets.speaking import Speaking
from hotgraph_server.transport.sockets.times import Times

_LOG = logging.getLogger(__name__)

# Streams of a connection beside its hot calls.
_SPARE_STREAMS = 128


class SocketServer:
    """Serves services, and what is answered over HTTP, on sockets that listen already; on each of them both.

    Args:
        doors: ways in; the server closes their listeners.
        services: whose methods it answers.
        http: what is answered over HTTP/1.1; None: that is not spoken.
        max_calls: hot calls that may be inside; further ones are refused.
        max_message_bytes: of a request.
        inflight: the budget for the messages of all calls that are inside.
        max_header_bytes: of a call's headers; see Connection.
        aside: has work done in the threads that large messages are decoded in.
        open_calls: counts the calls that a stop waits for.
        admit: says which calls may not be made; None: all may.
        coalescer, times: see ReceiveCoalescer and Times.
        leadership: takes turns here; to the end of its scope sending is postponed. None: its own.
        name: of the thread that serves.
        max_connections: see OpenConnections.

    Attributes:
        admission, inflight, arrived_at, sends_at, max_message_bytes, aside, deflater, load, tell: a Host's.
        connections: those that are open; `connections_lock` guards what belongs to them, see above.
    """

    deflater: Deflater | None = None
    load: LoadTrailers | None = None
    tell: Tell | None = None

    def __init__(
        self,
        doors: Sequence[Door],
        services: Sequence[Service],
        *,
        max_calls: int,
        max_message_bytes: int,
        inflight: Inflight,
        max_header_bytes: int = MAX_HEADER_LIST_BYTES,
        aside: Callable[[Callable[[], None]], object],
        open_calls: OpenCalls,
        admit: Admit | None = None,
        coalescer: ReceiveCoalescer | None = None,
        times: Times | None = None,
        leadership: Leadership | None = None,
        http: Http | None = None,
        name: str = "serving",
        max_connections: int | None = None,
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self.inflight, self.aside = inflight, aside
        self.arrived_at = self.sends_at = time.monotonic()
        self.connections_lock = threading.Lock()  # guards what follows; see above
        self.admission = Admission(
            services,
            self.connections_lock,
            max_calls=max_calls,
            open_calls=open_calls,
            max_header_bytes=max_header_bytes,
            admit=admit,
        )
        # Each call is an entry in some tables, so a peer may have many; hot ones alone are refused.
        speaking = Speaking(self, max_calls + _SPARE_STREAMS, max_header_bytes, http)
        self._selector, self._delay_selector = selectors.DefaultSelector(), selectors.DefaultSelector()
        self.connections = OpenConnections(
            *(self._selector, self.connections_lock, times or Times()),
            speaking.http2,
            speaking.http1,
            *(self.expire_later, max_connections),
        )
        self._ending_at: float | None = None  # when the server ends, whatever is left
        self._port_closed = False
        self._coalescer = coalescer or ReceiveCoalescer()
        self._leadership = leadership or Leadership()
        self._delays = self._gives_way = False  # are arrivals let lie; go others first?
        self._giving_way = contextlib.ExitStack()
        # Thread-safe by themselves.
        self._outbox: deque[Call | Exchange] = deque()
        self._deadlines: Deadlines[Call | Exchange | Alarm] = Deadlines()
        self._self_pipe = SelfPipe()
        # Of the leader alone, which is the serving thread or an executor (threads/leadership.py).
        self._due_at = math.inf  # when to look though no socket has anything, monotonic seconds
        self._delayed_since: float | None = None
        tls = any(door.tls is not None for door in doors)
        self._handshakes = Handshakes(self.wake, self.connections.times.handshake_s) if tls else None
        self._acceptor = Acceptor(doors, self._selector, self._handshakes)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self, refusal: CallError | None = None) -> None:
        """Take connections, and answer calls; with a `refusal`, only those of early methods, and others with
        it until `open`."""
        self.admission.not_yet = refusal
        self._selector.register(self._self_pipe, selectors.EVENT_READ)
        self._delay_selector.register(self._self_pipe, selectors.EVENT_READ)
        self._acceptor.open()
        if self._handshakes is not None:
            self._handshakes.start()
        self._thread.start()

    def open(self) -> None:
        """Answer every call that comes from now on."""
        self.admission.not_yet = None

    def refuse(self, refusal: CallError) -> None:
        """Answer every hot call that comes from now on with `refusal`."""
        self.admission.refusal = refusal

    def close_port(self) -> None:
        """Accept no connections any more, and ask callers to go elsewhere with their next calls."""
        with self.connections_lock:
            self.connections.go_away()
            self._port_closed = True
        self.wake()

    def stop(self, timeout_s: float) -> None:
        """Cancel what is still open, send the last bytes, close everything and end the thread.

        If it has not ended after `timeout_s` seconds more than those last bytes take, a warning names it.
        """
        self.close_port()
        if not self._thread.ident:
            self._close_everything()
            return
        last_words_s = self.connections.times.last_words_s
        with self.connections_lock:
            self._deliver()  # what was said before counts more than that we end
            for socket_io in self.connections.sockets:
                socket_io.connection.cancel()
            self.connections.say_goodbye()
            self._ending_at = time.monotonic() + last_words_s
        self.wake()
        join_within(self._thread, last_words_s + timeout_s)

    @property
    def shaking(self) -> bool:
        """Are handshakes under way?"""
        return self._handshakes is not None and not self._handshakes.is_empty

    def wake(self) -> None:
        """Let the serving thread look; any thread."""
        self._self_pipe.wake()

    # For calls (call.Host)

    def post(self, call: Call | Exchange) -> None:
        """See Host."""
        self._outbox.append(call)
        if not self._leadership.scope.postpone(self._flush):
            self._flush()

    def _flush(self) -> None:
        """Send what lies in the outbox, unless another thread is at it; any thread."""
        while self._outbox and self.connections_lock.acquire(blocking=False):
            try:
                self._deliver()
                # Only the serving thread touches the selector, and it waits without knowing. With an answer a
                # new run begins, and all calls that have come shall be found in the queue.
                news = bool(self.connections.changed) or self._delays
            finally:
                self.connections_lock.release()
            if news:
                self.wake()

    def expire_later(self, call: Call | Exchange | Alarm, *, in_order: bool = False) -> None:
        """See Host. `in_order`: it has as long as all that are noted so."""
        (self._deadlines.add_in_order if in_order else self._deadlines.add)(call)
        if not self._leadership.leads:
            self.wake()

    # The serving thread

    def _serve(self) -> None:
        try:
            self._leadership.serve(self._turn, self.wake)
        finally:
            self._close_everything()

    def _turn(self, timeout_s: float) -> bool:
        """Wait for sockets and do what has come; see leadership.Turn. The leader's, whoever that is."""
        left_s = min(timeout_s, self._due_at - time.monotonic())
        ready = self._selector.select(max(left_s, 0.0) if left_s != math.inf else None)
        self.arrived_at = time.monotonic() if self._delayed_since is None else self._delayed_since
        self._delayed_since, delay_s = None, 0.0
        with self.connections_lock:
            with self._leadership.scope:
                self._attend(ready)
            now = time.monotonic()
            for call in self._deadlines.due(now):
                call.expire()
            if self._outbox or self.connections.dirty:
                self._deliver()
            self._due_at = self._keep_house(now)
            if self._ending_at is not None and (now > self._ending_at or not self.connections.sockets):
                return True
            # An executor leads while it has nothing to run: then nothing is slowed by taking a call in.
            if threading.get_ident() == self._thread.ident:
                seen = self.admission
                delay_s = self._coalescer.delay_s(now, seen.inside, seen.arrived, seen.answered)
                delay_s = min(delay_s, self._due_at - now)
            self._delays = delay_s > 0.0
        if self._outbox:
            # Put in after our last look, by a thread that found the lock taken.
            self._due_at = now
        elif delay_s > 0.0:
            self._delayed_since = now
            self._delay_selector.select(delay_s)
        return False

    def _attend(self, ready: Sequence[tuple[selectors.SelectorKey, int]]) -> None:
        """Serve what is ready. Requires connections_lock."""
        sockets: list[SocketIO] = []
        for key, _ in ready:
            data = key.data
            if data.__class__ is SocketIO:
                sockets.append(data)
            elif data is None:
                self._self_pipe.drain()
            else:
                sock = self._acceptor.accept(data, time.monotonic())
                if sock is not None:
                    self.connections.add(sock, data.closed, grpc=data.grpc)
        for tls, door, refusal in self._acceptor.shaken():
            one = self.connections.add(tls, door.closed, grpc=door.grpc, refusal=refusal)
            if one is not None:
                sockets.append(one)
        gives_way = self.connections.attend(sockets)
        if gives_way is not self._gives_way:
            self._give_way(gives_way)

    def _give_way(self, gives_way: bool) -> None:
        """While there is always more to do, the threads that answer must not wait for the interpreter."""
        self._gives_way = gives_way
        if gives_way:
            self._giving_way.enter_context(giving_way())
        else:
            self._giving_way.close()

    def _deliver(self) -> None:
        """Send what lies in the outbox, and what connections have to say themselves. Requires
        connections_lock."""
        assert self.connections_lock.locked()
        outbox, self.sends_at = self._outbox, time.monotonic()
        while outbox:
            call = outbox.popleft()
            try:
                call.deliver()
            except Exception:
                # The thread that sends it, which may be any, has other calls to look after.
                _LOG.exception("an answer could not be sent")
        self.connections.write_dirty()

    def _keep_house(self, now: float) -> float:
        """What only the leader may do, and what is done now and then. Returns when something is due,
        monotonic seconds; infinite: nothing is. Requires connections_lock."""
        if self.connections.changed:
            self.connections.tidy()
        if self._port_closed:
            self._acceptor.close()
        elif self._acceptor.paused_until is not None and now >= self._acceptor.paused_until:
            self._acceptor.open()
        if now >= self.connections.next_look:
            self.connections.give_up_stuck(now)
        if self.connections.has_work:
            return now
        due = [self._deadlines.next, self.connections.next_look if self.connections.sockets else math.inf]
        due += [moment for moment in (self._acceptor.paused_until, self._ending_at) if moment is not None]
        earliest = min(due)
        return min(earliest, now + self.connections.times.looking_s) if earliest != math.inf else math.inf

    def _close_everything(self) -> None:
        """The end, in the serving thread or in place of it."""
        with self.connections_lock:
            self._give_way(False)
            self.connections.close()
            self._acceptor.close()
            if self._handshakes is not None:
                self._handshakes.stop(self.connections.times.last_words_s)
            self._selector.close()
            self._delay_selector.close()
            self._self_pipe.close()
