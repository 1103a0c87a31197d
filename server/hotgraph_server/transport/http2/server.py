"""The fast lane: gRPC's calls past grpc's own server.

A grpc server in Python hands every call to a thread and does some dozen steps under several locks for it;
even its completion queue alone costs more per call than all that we do with one. So the lane speaks HTTP/2
itself, and does for many calls at once what can be done so: one read takes in what tens of callers sent,
one write takes away what tens of them get.

    server.py           sockets and time: who is served when            (this file)
    acceptor.py          the sockets that connections come in through
    transport/deadlines.py      whose time is up                                 pure
    receive_coalescing.py          when arrivals may lie for a moment               pure
    socket_io.py           one connection's socket: read, write, TLS
    connection.py     one connection's protocol: what comes in         pure
    request_headers.py       of that: header blocks                           pure
    control_frames.py        of that: what is neither headers nor data        pure
    send_side.py        its other half: answers, and windows             pure
    stream.py         one stream of it                                 pure
    hpack_decoder.py  HPACK's reading side                             pure
    header_blocks.py  HPACK, and what headers say                      pure
    field_rules.py    which fields there can be                        pure
    stream_ids.py        which streams may still say something            pure
    flood_limits.py           what may be asked that is no call                pure
    messages.py       gRPC's messages in a stream's bytes              pure
    calls.py          what happens on a stream, by the kind of method

The same services run on grpc's own server when the lane is off (transport/grpcio/server.py), slower.

The turn
    One lock, `_turn`, stands for everything that belongs to connections. The serving thread has it while it
    works and gives it up only to wait for sockets. An answer is put into `_outbox` by whoever brings it,
    who then takes the turn if it is free, and sends what lies in the outbox: so an answer needs no other
    thread when there is little to do, and costs its bringer next to nothing when there is much.
    Nobody but the serving thread waits for the turn, except the few who start and stop the lane. A bringer
    that finds it taken can go, because whoever gives the turn back looks into the outbox once more
    afterwards.

Guarantees
    * A call that was taken is counted as open until its answer is on its way or its caller has gone.
    * A caller that leaves, or whose deadline comes, is told to the call's owner at once (a deadline within
      a millisecond of it).
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
import functools
import logging
import math
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from hotgraph_server.errors import CallError, QueueFull, Unsupported
from hotgraph_server.threads.coalescing import at_the_end, together
from hotgraph_server.threads.switch_interval import giving_way
from hotgraph_server.transport.deadlines import Alarm, Deadlines
from hotgraph_server.transport.http2.acceptor import Doors
from hotgraph_server.transport.http2.calls import Call, HeadersTooLarge, HotCall, RefusedCall, StreamingCall
from hotgraph_server.transport.http2.connection import MAX_UNUSED_BYTES, Connection
from hotgraph_server.transport.http2.header_blocks import MAX_HEADER_LIST_BYTES, Head
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.http2.receive_coalescing import ReceiveCoalescer
from hotgraph_server.transport.http2.socket_io import RECEIVE_BYTES, LinkLost, SocketIO
from hotgraph_server.transport.http2.stream import Stream
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import HotMethod, Service, StreamingMethod, as_hot

_LOG = logging.getLogger(__name__)

# A peer that says nothing at first, or does not take what it is sent, is cut off after so long.
_STUCK_S = 60.0
_LOOKING_S = 10.0  # how often that is looked at

# What connections that have more to be looked at share, before those that have come meanwhile have their
# turn.
_TURN_S = 0.002

# All connections that have come; so many callers with a call each are served at once.
_WHOLE_TURN_S = 0.005

# For a peer that broke the protocol to hear of it.
_LINGER_S = 0.5

# For the last bytes of a lane that ends.
_LAST_WORDS_S = 1.0

# Streams of a connection beside its hot calls.
_SPARE_STREAMS = 128


class Http2Server:
    """Serves services on sockets that listen already.

    Args:
        sockets: bound and listening; the lane closes them.
        services: whose methods it answers.
        tls: wraps every connection; None: no TLS.
        max_calls: hot calls that may be inside; further ones are refused.
        max_message_bytes: of a request.
        inflight: the budget for the messages of all calls that are inside.
        max_header_bytes: of a call's headers; see Connection.
        decoders: the threads that large messages are decoded in.
        open_calls: counts the calls that a stop waits for.

    Attributes:
        refusal: what hot calls that come from now on are refused with; None: they are taken.
        arrived_at: the earliest moment at which what is read now can have come, monotonic seconds.
        inflight: the bytes of calls that are inside.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        services: Sequence[Service],
        tls: ssl.SSLContext | None,
        *,
        max_calls: int,
        max_message_bytes: int,
        inflight: Inflight,
        max_header_bytes: int = MAX_HEADER_LIST_BYTES,
        decoders: ThreadPoolExecutor,
        open_calls: OpenCalls,
    ) -> None:
        self.refusal: CallError | None = None
        self.max_message_bytes = max_message_bytes
        self.inflight = inflight
        self.arrived_at = time.monotonic()
        self.decoders = decoders
        self._max_header_bytes = max_header_bytes
        self._max_calls = max_calls
        self._open_calls = open_calls
        self._hot: dict[str, tuple[HotMethod, bool]] = {}
        self._streaming: dict[str, StreamingMethod] = {}
        for service in services:
            self._add(service)
        # While the lane is not open: what those are refused with that are not early.
        self._not_yet: CallError | None = None
        self._late = frozenset[str]().union(*(service.late_paths for service in services))
        # Each call is an entry in some tables, so a peer may have many; refused in kind are only hot ones.
        self._max_streams = max_calls + _SPARE_STREAMS
        self._turn = threading.Lock()  # guards what follows; see above
        self._links: set[SocketIO] = set()
        self._open_hot = 0
        self._ending_at: float | None = None  # when the lane ends, whatever is left
        self._port_closed = False
        self._crowd = ReceiveCoalescer()
        self._naps = False  # the serving thread lets arrivals lie
        self._dirty: list[SocketIO] = []  # have something new to write
        self._changed: list[SocketIO] = []  # wait for something else than the selector was told
        self._gone: list[SocketIO] = []  # for the selector to forget
        self._unfinished: dict[SocketIO, None] = {}  # there was no time for all that they have received
        self._passed_over: list[SocketIO] = []  # they were ready, and there was no time for them at all
        self._share_s = _TURN_S  # of each connection, when they take turns
        self._gives_way = False
        self._giving_way = contextlib.ExitStack()
        # Thread-safe by themselves.
        self._outbox: deque[Call] = deque()
        self._deadlines: Deadlines[Call | Alarm] = Deadlines()
        # Of the serving thread alone.
        self._selector = selectors.DefaultSelector()
        self._doors = Doors(sockets, tls, self._selector)
        self._buffer = bytearray(RECEIVE_BYTES + MAX_UNUSED_BYTES)
        self._view = memoryview(self._buffer)
        self._look_at = 0.0
        self._alarm, self._bell = socket.socketpair()
        self._alarm.setblocking(False)
        self._bell.setblocking(False)
        self._nap_selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._serve, name="serving", daemon=True)

    def start(self, refusal: CallError | None = None) -> None:
        """Take connections, and answer calls; with a `refusal`, only those of early methods, and others with
        it until `open`."""
        self._not_yet = refusal
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._nap_selector.register(self._alarm, selectors.EVENT_READ)
        self._doors.open()
        self._thread.start()

    def open(self) -> None:
        """Answer every call that comes from now on."""
        self._not_yet = None

    def refuse(self, refusal: CallError) -> None:
        """Answer every hot call that comes from now on with `refusal`."""
        self.refusal = refusal

    def close_port(self) -> None:
        """Accept no connections any more, and ask callers to go elsewhere with their next calls."""
        with self._turn:
            for link in self._links:
                link.connection.go_away()
            self._port_closed = True
        self._ring()

    def stop(self, timeout_s: float) -> None:
        """Cancel what is still open, send the last bytes, close everything and end the thread.

        If it has not ended after `timeout_s` seconds more than those last bytes take, a warning names it.
        """
        self.close_port()
        if not self._thread.ident:
            self._close_everything()
            return
        with self._turn:
            # What was said before counts more than that we end.
            self._deliver()
            for link in self._links:
                for stream in list(link.connection.streams.values()):
                    if isinstance(stream, Call):
                        stream.cancel()
                link.connection.say_goodbye()
                link.closing = True
                self._dirty.append(link)
            self._ending_at = time.monotonic() + _LAST_WORDS_S
        self._ring()
        self._thread.join(_LAST_WORDS_S + timeout_s)
        if self._thread.is_alive():
            _LOG.warning("thread %r has not ended", self._thread.name)

    # For calls (calls.py)

    def post(self, call: Call) -> None:
        """A call has something to send; any thread."""
        self._outbox.append(call)
        if not at_the_end(self._flush):
            self._flush()

    def _flush(self) -> None:
        """Send what lies in the outbox, unless somebody is at it; any thread."""
        while self._outbox and self._turn.acquire(blocking=False):
            try:
                self._deliver()
                # Only the serving thread touches the selector, and it waits without knowing. With an answer a
                # new run begins, and whoever has come shall be found in the queue.
                news = bool(self._changed) or self._naps
            finally:
                self._turn.release()
            if news:
                self._ring()

    def expire_later(self, call: Call | Alarm) -> None:
        """Tell a call when its deadline comes; any thread."""
        self._deadlines.add(call)
        if threading.get_ident() != self._thread.ident:
            self._ring()

    def take(self, call: HotCall) -> CallError | None:
        """A call's message has come. Returns why it is refused, or None. Requires the turn."""
        self._open_calls.enter()
        self._open_hot += call.limited
        if call.limited:
            self._crowd.arrived()
        if call.limited and self._open_hot > self._max_calls:
            return QueueFull("the server", self._open_hot - 1, self._max_calls)
        return None

    def answered(self, call: HotCall) -> None:
        """A call gets what it came for. Requires the turn."""
        self._crowd.answers += call.limited

    def let_go(self, call: HotCall) -> None:
        """A call that was taken is over. Requires the turn."""
        self._open_hot -= call.limited
        self._open_calls.leave()

    def take_part(self) -> CallError | None:
        """A stream has brought a call. Returns why it is refused, or None; any thread."""
        refusal = self.refusal
        if refusal is None:
            self._open_calls.enter()
        return refusal

    def let_part_go(self) -> None:
        """Such a call is over; any thread."""
        self._open_calls.leave()

    # The serving thread

    def _serve(self) -> None:
        timeout_s: float | None = None
        asleep_at: float | None = None
        try:
            while True:
                ready = self._selector.select(timeout_s)
                # What lay during a nap came at its beginning, for all that we know.
                self.arrived_at = time.monotonic() if asleep_at is None else asleep_at
                asleep_at = None
                with self._turn:
                    with together():
                        self._attend_all(ready)
                    now = time.monotonic()
                    for call in self._deadlines.due(now):
                        call.expire()
                    self._deliver()
                    self._keep_house(now)
                    if self._ending_at is not None and (now > self._ending_at or not self._links):
                        return
                    timeout_s = self._time_to_wait(now)
                    nap_s = self._crowd.nap_s(now, self._open_hot)
                    if timeout_s is not None:
                        nap_s = min(nap_s, timeout_s)
                    self._naps = nap_s > 0.0
                if self._outbox:
                    # Put in after our last look, by somebody who found the turn taken.
                    timeout_s = 0.0
                elif nap_s > 0.0:
                    asleep_at = now
                    self._nap_selector.select(nap_s)
                    timeout_s = max(timeout_s - nap_s, 0.0) if timeout_s is not None else None
        finally:
            self._close_everything()

    def _attend_all(self, ready: Sequence[tuple[selectors.SelectorKey, int]]) -> None:
        """Every connection that has something is served once, as far as there is time: those that were passed
        over the last time, those that have just come, then those that had more than there was time for.
        Requires the turn."""
        late, self._unfinished = self._unfinished, {}
        come, self._passed_over = dict.fromkeys(self._passed_over), []
        for key, _ in ready:
            if key.data is not None:
                come[key.data] = None
            else:
                self._attend_others(key)
        now = time.monotonic()
        ends_at = now + _WHOLE_TURN_S
        self._share_s = min(_TURN_S / max(len(late), 1), _WHOLE_TURN_S / max(len(come), 1))
        turns = [*come, *(link for link in late if link not in come)]
        for index, link in enumerate(turns):
            if index and time.monotonic() >= ends_at:
                self._pass_over(turns[index:], late)
                break
            if link.reads and link in self._links:
                self._take_turn(link)
            if link in come:
                # That it can be written to is all that a link with output waits for.
                self._write(link)
        self._give_way(bool(self._unfinished or self._passed_over))

    def _pass_over(self, links: Sequence[SocketIO], late: dict[SocketIO, None]) -> None:
        """Leave some for the next time, and have them first then. Requires the turn."""
        self._passed_over = [link for link in links if link not in late]
        self._unfinished = dict.fromkeys(link for link in links if link in late) | self._unfinished

    def _give_way(self, gives_way: bool) -> None:
        """While there is always more to do, the threads that answer must not wait for the interpreter."""
        if gives_way is not self._gives_way:
            self._gives_way = gives_way
            if gives_way:
                self._giving_way.enter_context(giving_way())
            else:
                self._giving_way.close()

    def _take_turn(self, link: SocketIO) -> None:
        self._guard(link, self._read)
        if link.unfinished:
            self._unfinished[link] = None

    def _attend_others(self, key: selectors.SelectorKey) -> None:
        """A socket that is ready, and no connection's. Requires the turn."""
        if key.fileobj is self._alarm:
            with contextlib.suppress(BlockingIOError):
                self._alarm.recv(4096)
        else:
            self._accept(key.fileobj)  # type: ignore[arg-type]

    def _accept(self, listener: socket.socket) -> None:
        sock = self._doors.accept(listener, time.monotonic())
        if sock is not None:
            link = SocketIO(sock, self._open_stream, self._max_streams, self._dirty, self._max_header_bytes)
            self._links.add(link)
            self._selector.register(sock, link.registered, link)

    def _open_stream(self, connection: Connection, number: int, head: Head) -> Stream:
        if head.too_large:
            error = HeadersTooLarge(head.too_large, self._max_header_bytes)
            return RefusedCall(connection, number, head, self, error)
        if head.http_status == 200:
            not_yet = self._not_yet
            if not_yet is not None and head.path in self._late:
                return RefusedCall(connection, number, head, self, not_yet)
            hot = self._hot.get(head.path)
            if hot is not None:
                return HotCall(connection, number, head, self, *hot)
            streaming = self._streaming.get(head.path)
            if streaming is not None:
                return StreamingCall(connection, number, head, self, streaming)
        return RefusedCall(connection, number, head, self, Unsupported("Method not found!"))

    def _read(self, link: SocketIO) -> None:
        link.read(self._buffer, self._view, time.monotonic() + self._share_s)

    def _deliver(self) -> None:
        """Send what lies in the outbox, and what connections have to say themselves. Requires the turn."""
        outbox, dirty = self._outbox, self._dirty
        while outbox:
            call = outbox.popleft()
            try:
                call.deliver()
            except Exception:
                # Whose thread this is has other calls to look after.
                _LOG.exception("an answer could not be sent")
        while dirty:
            self._write(dirty.pop())

    def _write(self, link: SocketIO) -> None:
        """Write what goes, and see what the link waits for then. Requires the turn."""
        if link not in self._links:
            return
        self._guard(link, SocketIO.write)
        if link not in self._links:
            return
        if link.unfinished and link.reads:
            # It was not served while it took nothing.
            self._unfinished[link] = None
        if link.closing and not link.has_output:
            self._see_out(link)
        if link in self._links and link.interest != link.registered:
            self._changed.append(link)

    def _see_out(self, link: SocketIO) -> None:
        """Be done with a link that has said all, at once or after a moment. Requires the turn."""
        if not link.has_ended and link.lingers:
            self.expire_later(Alarm(time.monotonic() + _LINGER_S, functools.partial(self._drop, link)))
        if not link.lingers or not link.pass_over(self._view):
            self._drop(link)

    def _guard(self, link: SocketIO, act: Callable[[SocketIO], None]) -> None:
        """Do something with a link; what goes wrong closes it. Requires the turn."""
        try:
            act(link)
        except ConnectionBroken as error:
            _LOG.debug("a connection is closed: %s", error)
            link.closing = link.lingers = True
            self._dirty.append(link)
        except LinkLost as error:
            _LOG.debug("a connection is gone: %s", error)
            self._drop(link)
        except Exception:
            _LOG.exception("a connection is closed after an unexpected error")
            self._drop(link)

    def _drop(self, link: SocketIO) -> None:
        """Be done with a link, if that is not so already. Requires the turn."""
        if link not in self._links:
            return
        self._links.discard(link)
        self._gone.append(link)
        # Whose thread this is may hold locks that those who are told need.
        self._changed.append(link)

    def _keep_house(self, now: float) -> None:
        """What only this thread may do, and what is done now and then. Requires the turn."""
        while self._changed:
            link = self._changed.pop()
            if link in self._links and link.interest != link.registered:
                link.registered = link.interest
                self._selector.modify(link.sock, link.registered, link)
        while self._gone:
            link = self._gone.pop()
            # The selector must forget it before its number can be another's.
            self._forget(link.sock)
            link.connection.lose()
        if self._port_closed:
            self._doors.close()
        elif self._doors.paused_until is not None and now >= self._doors.paused_until:
            self._doors.open()
        if now >= self._look_at:
            self._look_at = now + _LOOKING_S
            for link in list(self._links):
                if link.stuck_since < now - _STUCK_S:
                    _LOG.debug("a connection is cut off: its peer does nothing")
                    self._drop(link)
                elif link.connection.give_up_stalled(int(_STUCK_S // _LOOKING_S)):
                    _LOG.debug("a connection is closed: nothing moves on it")
                    link.connection.say_goodbye()
                    link.closing = True
                    self._dirty.append(link)

    def _time_to_wait(self, now: float) -> float | None:
        """Seconds until something is due; None: nothing is. Requires the turn."""
        if self._dirty or self._gone or self._unfinished or self._passed_over:
            return 0.0
        due = [self._deadlines.next, self._look_at if self._links else math.inf]
        due += [moment for moment in (self._doors.paused_until, self._ending_at) if moment is not None]
        earliest = min(due)
        if earliest == math.inf:
            return None
        # A caller may have set a deadline of years, which is more than a selector can wait.
        return min(max(earliest - now, 0.0), _LOOKING_S)

    def _forget(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        sock.close()

    def _close_everything(self) -> None:
        """The end, in the serving thread or in place of it."""
        with self._turn:
            self._give_way(False)
            for link in list(self._links):
                self._drop(link)
            for link in self._gone:
                link.sock.close()
                link.connection.lose()
            self._gone.clear()
            self._doors.close()
            self._selector.close()
            self._nap_selector.close()
            self._alarm.close()
            self._bell.close()

    def _ring(self) -> None:
        """Let the serving thread look; any thread."""
        # Full: it rings already. Closed: there is nobody to hear it.
        with contextlib.suppress(OSError):
            self._bell.send(b"\0")

    def _add(self, service: Service) -> None:
        for name, method in service.hot.items():
            self._hot[f"/{service.name}/{name}"] = (method, True)
        for name, plain in service.plain.items():
            # In the serving thread: they are quick, and so a caller who opens a call and never sends its
            # message holds no thread.
            self._hot[f"/{service.name}/{name}"] = (as_hot(plain), False)
        for name, streaming in service.streaming.items():
            self._streaming[f"/{service.name}/{name}"] = streaming
