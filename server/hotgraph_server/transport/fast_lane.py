"""The fast lane: unary calls past grpc's per-call Python.

A grpc server in Python hands every call to a thread and does some dozen steps under several locks for
it. The lane takes over the serving loop of a grpc server that is otherwise used through its public API,
and treats two events itself: a new call of a unary method of ours, and the operations of such a call.
Every other event goes to grpc's own processing untouched, so streams (health watchers, reflection) are
served as before. The methods are registered as ordinary handlers as well: with the lane off, the same
server answers the same, slower.

All that is private to grpc and that we use is in this module: ``grpc._server``'s state and functions,
and ``grpc._cython.cygrpc``'s operations. `missing_pieces` looks for each of them before the lane is
used; a contract test pins how they behave; pyproject.toml holds grpcio to the minor releases that were
tested.

The life of a call, in operations on the completion queue:

    new call      -> start receiving the message
    message       -> decode, hand in             (in the serving thread)
    50 ms later   -> start waiting for the call's end, if there is no answer yet
    outcome       -> encode, send all in one, and wait for the call's end, unless that is under way
                                                 (in the thread that finished the call)
    sent, ended   -> forget the call             (in the serving thread)

Each operation that comes back is an event more for the serving thread, so a call that is answered at once
gets by with as few as can be: its end is awaited together with its answer. One that takes longer is
watched, so that its caller's leaving or deadline is noticed at once.

What keeps it sound:

* A call is known to grpc (in ``rpc_states``) until its last operation has come back, so that grpc's own
  ``stop`` waits for it, cancels it after its grace, and does not destroy what the call still needs.
* ``_ending`` orders the end of a call (serving thread) against the sending of its answer (any thread):
  either the send is counted first, and then the call is not over before it has come back, or the call is
  gone, and nothing is started on it. It is held only to look and count. Starting an operation lets go of
  the interpreter, and the operation can come back before it returns: a serving thread that then had to
  wait for the lock would make the two threads change places for every answer.
* An operation object belongs to one batch of one call; none is reused.
* An exception while a call is handled ends that call, never the loop.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from grpc import _server as grpc_server
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from hotgraph_server.errors import CallError, QueueFull, Unsupported, forget_traceback
from hotgraph_server.transport.handlers import Pools, as_hot, monotonic_deadline
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import HotMethod, Service
from hotgraph_server.transport.status import as_call_error, code_of, details_of, trailers_of

_LOG = logging.getLogger(__name__)

# How many new calls the C core may hand over before we answer with another place for one. With a single
# one, the next call would wait for the serving thread each time.
_POSTED_CALLS = 64

# A call without an answer after so long is watched for its caller's leaving. Long enough that calls to quick
# models are spared it, short enough that nobody runs much for a caller who has gone.
_WATCH_AFTER_S = 0.050

# From this size on decoding is left to other threads: that of many strings can take seconds, in which the
# serving thread would answer nobody. A guess.
_LARGE_MESSAGE = 256 * 1024

# A deadline that has always passed: a poll that does not wait.
_AT_ONCE = 0.0

_NO_FLAGS = 0
_NO_DETAILS = b""

# Private names that the lane leans on, by owner.
_NEEDED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (
        grpc_server,
        (
            "_Server",
            "_ServerStage",
            "_GenericMethod",
            "_handle_call",
            "_process_event_and_continue",
            "_request_registered_call",
            "_on_call_completed",
            "_stop_serving",
            "_begin_shutdown_once",
            "_DEALLOCATED_SERVER_CHECK_PERIOD_S",
        ),
    ),
    (
        cygrpc,
        (
            "CompletionType",
            "ReceiveCloseOnServerOperation",
            "ReceiveMessageOperation",
            "SendInitialMetadataOperation",
            "SendMessageOperation",
            "SendStatusFromServerOperation",
        ),
    ),
)
_NEEDED_STATE = (
    "lock",
    "completion_queue",
    "server",
    "generic_handlers",
    "interceptor_pipeline",
    "thread_pool",
    "stage",
    "maximum_concurrent_rpcs",
    "active_rpc_count",
    "registered_method_handlers",
    "rpc_states",
    "due",
    "server_deallocated",
)


def missing_pieces(server: grpc.Server) -> list[str]:
    """What the lane needs and this version of grpc does not have; empty: the lane can be used."""
    missing = [
        f"{owner.__name__}.{name}" for owner, names in _NEEDED for name in names if not hasattr(owner, name)
    ]
    state = getattr(server, "_state", None)
    return missing + [f"_ServerState.{name}" for name in _NEEDED_STATE if not hasattr(state, name)]


class FastLane:
    """Serves a grpc server that was not started yet.

    Args:
        server: made by ``grpc.server``, with every handler added.
        pools: the threads that large messages are decoded in, and the limit of hot calls.
        calls: counts the calls that a stop waits for.
    """

    def __init__(self, server: grpc.Server, pools: Pools, calls: OpenCalls) -> None:
        self.decoders = pools.decoders
        self._state: Any = server._state  # type: ignore[attr-defined]
        self._calls = calls
        self._max_calls = pools.max_calls
        self._methods: dict[bytes, HotMethod] = {}
        self._limited: set[bytes] = set()
        self._open_hot = 0  # only the serving thread counts
        self._closed: CallError | None = None
        # Answers to send: by the serving thread while it is busy, by whoever brings them while it waits.
        self._outbox: collections.deque[tuple[_HotCall, Callable[[], bytes]]] = collections.deque()
        self._waits = False
        # Calls not watched yet and when they shall be, oldest first; the serving thread's alone. Those that
        # have ended meanwhile are passed over.
        self._unwatched: collections.deque[tuple[float, _HotCall]] = collections.deque()
        self._thread = threading.Thread(target=self._serve, name="serving", daemon=True)

    def add(self, service: Service) -> None:
        """Take over a service's methods; before `start`.

        Plain ones as well, answered in the serving thread: they are quick, and so a caller who opens a
        call and never sends its message holds no thread (a few of them would make the server look dead).
        """
        for name, method in service.hot.items():
            path = f"/{service.name}/{name}".encode()
            self._methods[path] = method
            self._limited.add(path)
        for name, plain in service.plain.items():
            self._methods[f"/{service.name}/{name}".encode()] = as_hot(plain)

    def start(self) -> None:
        """In place of ``grpc.Server.start``; ``grpc.Server.stop`` ends it."""
        state = self._state
        with state.lock:
            state.server.start()
            state.stage = grpc_server._ServerStage.STARTED
            for method in state.registered_method_handlers:
                grpc_server._request_registered_call(state, method)
            for _ in range(_POSTED_CALLS):
                self._post()
        self._thread.start()

    def close(self, refusal: CallError) -> None:
        """Answer every hot call that comes from now on with `refusal`."""
        self._closed = refusal

    def _post(self) -> None:
        """Let the core hand over one more call. Requires ``state.lock``."""
        posted = _PostedCall()
        self._state.server.request_call(self._state.completion_queue, self._state.completion_queue, posted)
        # What is due keeps grpc from destroying the server; each place is due by itself.
        self._state.due.add(posted)

    def _serve(self) -> None:
        """The serving loop; ends when grpc's shutdown is complete."""
        state = self._state
        poll = state.completion_queue.poll
        timed_out = cygrpc.CompletionType.queue_timeout
        while True:
            self._send_answers()
            wait_s = self._watch()
            event = poll(_AT_ONCE)
            if event.completion_type == timed_out:
                self._waits = True
                if self._outbox:
                    # Brought just before, by someone who saw us busy.
                    self._waits = False
                    continue
                event = poll(time.time() + wait_s)
                self._waits = False
            if state.server_deallocated:
                grpc_server._begin_shutdown_once(state)
            if event.completion_type == timed_out:
                continue
            try:
                go_on = self._process(event)
            except Exception:
                # Whoever's fault it is, the other calls need this thread.
                _LOG.exception("an event of grpc's could not be processed")
                go_on = True
            if not go_on:
                # What is brought from now on is for calls that are gone, and is dropped by whoever brings it.
                self._waits = True
                self._send_answers()
                return
            # The last event may hold the last reference to a call that is shut down; polling with it alive
            # makes the core spin.
            del event

    def answer(self, call: _HotCall, encode: Callable[[], bytes]) -> None:
        """Send an answer soon; any thread.

        Sending lets go of the interpreter. Were an executor to send a batch of answers while the serving
        thread has events to process, the two would take it from each other once per answer, which costs
        more than the sending. Whichever of the two comes second, to say that it waits or to bring an
        answer, sees what the other has done: no answer is left lying.
        """
        self._outbox.append((call, encode))
        if self._waits:
            self._send_answers()

    def _send_answers(self) -> None:
        while self._outbox:
            try:
                call, encode = self._outbox.popleft()
            except IndexError:
                # Another thread took the last one.
                return
            try:
                call.send(encode)
            except Exception:
                # Whose thread it is has other calls to look after.
                _LOG.exception("an answer could not be sent")

    def _watch(self) -> float:
        """Watch the calls whose time has come. Returns the seconds until the next one's has."""
        while self._unwatched:
            due, call = self._unwatched[0]
            remaining_s = due - time.monotonic()
            if remaining_s > 0 and not call.over:
                return remaining_s
            self._unwatched.popleft()
            try:
                call.watch()
            except Exception:
                _LOG.exception("a call could not be watched")
        return float(grpc_server._DEALLOCATED_SERVER_CHECK_PERIOD_S)

    def _process(self, event: Any) -> bool:
        """One event. Returns whether to go on; False: shutdown is complete."""
        tag = event.tag
        if type(tag) is _Operation:
            try:
                tag.done(event)
            finally:
                ended = tag.call.over and self._forget(tag.call)
            return not ended
        if type(tag) is _PostedCall:
            return self._new_call(event, tag)
        return bool(grpc_server._process_event_and_continue(self._state, event))

    def _new_call(self, event: Any, posted: _PostedCall) -> bool:
        """A posted place was used, or given back by shutdown. Returns whether to go on."""
        state = self._state
        path = event.call_details.method if event.success else None
        method = self._methods.get(path) if path else None
        with state.lock:
            state.due.remove(posted)
            if state.stage is grpc_server._ServerStage.STARTED:
                self._post()
            if method is None:
                self._hand_to_grpc(event)
                if state.stage is not grpc_server._ServerStage.STARTED:
                    return not grpc_server._stop_serving(state)
                return True
            call = _HotCall(event, method, path in self._limited, self)
            state.rpc_states.add(call)
        try:
            call.begin(self._closed if call.limited else None)
        except Exception:
            _LOG.exception("a call could not be begun")
        self._unwatched.append((time.monotonic() + _WATCH_AFTER_S, call))
        return not (call.over and self._forget(call))

    def take(self, call: _HotCall) -> CallError | None:
        """A call's message has come: from here on an answer is owed, and the call counts. A caller who opens
        calls and sends nothing is owed none, and keeps nobody out. Returns why it is refused, or None."""
        self._calls.enter()
        self._open_hot += call.limited
        if call.limited and self._open_hot > self._max_calls:
            return QueueFull("the server", self._open_hot - 1, self._max_calls)
        return None

    def let_go(self, call: _HotCall) -> None:
        """A call that was taken is over."""
        self._open_hot -= call.limited
        self._calls.leave()

    def _hand_to_grpc(self, event: Any) -> None:
        """What grpc does with a new call. Requires ``state.lock``."""
        state = self._state
        limit = state.maximum_concurrent_rpcs
        rpc_state, future = grpc_server._handle_call(
            event,
            grpc_server._GenericMethod(state.generic_handlers),
            state.interceptor_pipeline,
            state.thread_pool,
            limit is not None and state.active_rpc_count >= limit,
        )
        if rpc_state is not None:
            state.rpc_states.add(rpc_state)
        if future is not None:
            state.active_rpc_count += 1
            future.add_done_callback(lambda _: grpc_server._on_call_completed(state))

    def _forget(self, call: _HotCall) -> bool:
        """A call's last operation has come back. Returns whether that was the end of the server."""
        with self._state.lock:
            self._state.rpc_states.discard(call)
            ended = bool(grpc_server._stop_serving(self._state))
        call.forgotten()
        return ended


class _PostedCall:
    """The tag of a place for one new call; a tag of its own for each, so that each can be due."""

    __slots__ = ()


class _Operation:
    """The tag of a batch of operations that is under way: whose it is, and what to do when it is done."""

    __slots__ = ("call", "done")

    def __init__(self, call: _HotCall, done: Callable[[Any], None]) -> None:
        self.call = call
        self.done = done


class _HotCall:
    """One call of a hot method, and the Reply that the method gets (transport/service.py).

    `begin` and everything that starts with ``_on_`` runs in the serving thread; `finish` and `when_gone`
    in any.

    Attributes:
        deadline: monotonic seconds.
        limited: counts towards the limit of hot calls.
    """

    __slots__ = (
        "_answered",
        "_call",
        "_ended",
        "_ending",
        "_lane",
        "_leave",
        "_method",
        "_taken",
        "_under_way",
        "_watched",
        "deadline",
        "limited",
    )

    def __init__(self, event: Any, method: HotMethod, limited: bool, lane: FastLane) -> None:
        self.limited = limited
        self.deadline = monotonic_deadline(event.call_details.deadline - time.time())
        self._call = event.call
        self._method = method
        self._lane = lane
        self._taken = False  # counted among the open calls; only the serving thread asks
        self._ending = threading.Lock()  # guards everything below
        self._under_way = 0  # batches of operations that have not come back
        self._watched = False  # the end is awaited by an operation of its own
        self._answered = False  # an answer has been started; there is never a second
        self._ended = False  # nothing may be started any more: sent, cancelled or timed out
        self._leave: Callable[[], None] | None = None

    @property
    def over(self) -> bool:
        """Will nothing come any more? The end has come, and whatever else was under way."""
        return self._ended and not self._under_way

    def begin(self, refusal: CallError | None) -> None:
        """Start the call's operations; with `refusal` it is answered without looking at it."""
        if refusal is None:
            with self._ending:
                self._under_way += 1
            self._start((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), self._on_message)
        else:
            self._fail(refusal)

    def watch(self) -> None:
        """Wait for the call's end from now on; its answer does not do it any more."""
        with self._ending:
            if self._answered or self._watched:
                return
            self._watched = True
            self._under_way += 1
        self._start((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), self._on_end)

    def finish(self, encode: Callable[[], bytes]) -> None:
        """See Reply."""
        self._lane.answer(self, encode)

    def send(self, encode: Callable[[], bytes]) -> None:
        """Encode and send; for the lane, in whatever thread has the time."""
        if self._ended:
            # Stale news do no harm: what is encoded in vain is not sent.
            return
        try:
            message = encode()
            self._answer(
                cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
                cygrpc.SendMessageOperation(message, _NO_FLAGS),
                cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, _NO_DETAILS, _NO_FLAGS),
            )
        except Exception as error:
            self._fail(error)

    def when_gone(self, leave: Callable[[], None]) -> None:
        """See Reply."""
        with self._ending:
            if not self._ended:
                self._leave = leave
                return
        leave()

    def _fail(self, error: BaseException) -> None:
        failure = as_call_error(error)
        # Both in one batch, without a message: so the core sends trailers only, which proxies may retry. A
        # status without initial metadata would wait in the core for ever.
        self._answer(
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            cygrpc.SendStatusFromServerOperation(
                trailers_of(failure), code_of(failure).value[0], details_of(failure).encode(), _NO_FLAGS
            ),
        )
        forget_traceback(error)
        forget_traceback(failure)

    def _answer(self, *operations: Any) -> None:
        with self._ending:
            if self._ended or self._answered:
                return
            self._answered = True
            self._under_way += 1
            watched = self._watched
        try:
            if watched:
                self._start(operations, self._on_sent)
            else:
                end = cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)
                self._start((*operations, end), self._on_end)
        except BaseException:
            # So that another answer, which says what went wrong, can be sent in its place.
            with self._ending:
                self._answered = False
            raise

    def _start(self, operations: tuple[Any, ...], done: Callable[[Any], None]) -> None:
        """Start operations that were counted as under way."""
        try:
            self._call.start_server_batch(operations, _Operation(self, done))
        except BaseException:
            with self._ending:
                self._under_way -= 1
            raise

    def _on_message(self, event: Any) -> None:
        message = event.batch_operations[0].message()
        with self._ending:
            self._under_way -= 1
            if self._ended:
                return
        self._taken = True
        refusal = self._lane.take(self)
        if refusal is not None:
            self._fail(refusal)
        elif message is not None and len(message) > _LARGE_MESSAGE:
            self._lane.decoders.submit(self._handle, message)
        else:
            self._handle(message)

    def _handle(self, message: bytes | None) -> None:
        try:
            if message is None:
                raise Unsupported("a unary method requires exactly one request message")
            self._method(message, self)
        except Exception as error:
            self._fail(error)

    def _on_sent(self, _: Any) -> None:
        with self._ending:
            self._under_way -= 1

    def forgotten(self) -> None:
        """Nothing will come any more; the last thing that is called."""
        if self._taken:
            self._lane.let_go(self)

    def _on_end(self, _: Any) -> None:
        with self._ending:
            self._under_way -= 1
            self._ended = True
            # Taken out also after an answer: the call refers to its reply, which is this object, and the
            # cycle would keep both, and their arrays, until the garbage collector comes.
            leave, self._leave = self._leave, None
            answered = self._answered
        if leave is not None and not answered:
            leave()
