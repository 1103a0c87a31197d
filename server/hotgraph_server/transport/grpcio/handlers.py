"""Services as grpc's method handlers: the way through grpc's public API.

Pools of their own, so that no kind of call can hold up another:

* hot calls wait in a pool of their own, each in a thread until its answer is there;
* the plain methods of each service have one, so that health answers whatever else is asked: a busy server
  is a healthy server;
* streams hold threads for as long as the caller likes: one sends, and where callers may say more than one
  thing, another listens.

What grpc does not let us help here: a caller who opens a call and never sends its message holds a thread
of the pool until it leaves. The fast lane has no such wait.

Over ``max_calls`` hot calls a further one is refused at once. grpc's own limit would count health
checks as well, and refuse them with the rest.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NoReturn

import grpc

from hotgraph_server.errors import CallError, DeadlineExceeded, QueueFull, forget_traceback
from hotgraph_server.statistics import CallObserver
from hotgraph_server.transport.deadlines import Alarm, Deadlines
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import (
    Admit,
    Answered,
    HotMethod,
    Left,
    PlainMethod,
    Receiver,
    Service,
    StreamingMethod,
    answer_plain,
    joined,
)
from hotgraph_server.transport.status import as_call_error, code_of, details_of, trailers_of

# Threads that wait cost little, but each has a stack; beyond these, calls wait without a thread.
_MAX_HOT_THREADS = 512
# One would do for the work. The others are for callers who open a call and never send its message.
_PLAIN_THREADS = 64
_STREAM_THREADS = 256
_REFUSING_THREADS = 4

_FOR_EVER_S = 10.0 * 365 * 86400


class Pools:
    """The threads that methods run in. Made with the server; `close` when the server has stopped.

    Attributes:
        refusal: what calls that streams bring from now on are refused with; None: they are taken.
    """

    def __init__(self, max_calls: int, calls: OpenCalls) -> None:
        self.hot = _CountingPool(min(max_calls, _MAX_HOT_THREADS), "hot call", calls)
        self.refusals = ThreadPoolExecutor(_REFUSING_THREADS, "refusal")
        self.streams = ThreadPoolExecutor(_STREAM_THREADS, "stream")
        self.max_calls = max_calls
        self.refusal: CallError | None = None
        self.calls = calls
        self._plain: dict[str, _CountingPool] = {}

    def plain(self, service: str) -> ThreadPoolExecutor:
        """The pool of a service's plain methods."""
        if service not in self._plain:
            self._plain[service] = _CountingPool(_PLAIN_THREADS, service, self.calls)
        return self._plain[service]

    def close(self) -> None:
        """Let the threads end; does not wait for them."""
        for pool in (self.hot, self.refusals, self.streams, *self._plain.values()):
            pool.shutdown(wait=False)


class _CountingPool(ThreadPoolExecutor):
    """Knows how many calls are in it, waiting or running."""

    def __init__(self, threads: int, name: str, calls: OpenCalls) -> None:
        super().__init__(threads, name)
        self.inside = 0
        self._calls = calls
        self._counting = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._counting:
            self.inside += 1
        self._calls.enter()
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(self._leave)
        return future

    def _leave(self, _: Future[Any]) -> None:
        with self._counting:
            self.inside -= 1
        self._calls.leave()


class HotGate(grpc.ServerInterceptor):
    """Refuses calls at the door: those that may not be made, hot ones when too many are inside and when the
    server is stopping, and all but early ones before it is open.

    Attributes:
        not_yet: what these are refused with; None: the server is open.
    """

    def __init__(self, services: list[Service], pools: Pools, admit: Admit | None = None) -> None:
        self.not_yet: CallError | None = None
        self._admit = admit
        self._late = frozenset[str]().union(*(service.late_paths for service in services))
        self._hot = {f"/{service.name}/{method}" for service in services for method in service.hot}
        self._pools = pools
        self._closed: CallError | None = None

    def close(self, refusal: CallError) -> None:
        """Answer every hot call that comes from now on with `refusal`."""
        self._closed = self._pools.refusal = refusal

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Called by grpc in its serving thread for every call; must not wait."""
        if self._admit is not None:
            headers = dict(handler_call_details.invocation_metadata or ())
            refusal = self._admit(handler_call_details.method, headers.get)
            if refusal is not None:
                return _refusal(refusal, self._pools.refusals)
        not_yet = self.not_yet
        if not_yet is not None and handler_call_details.method in self._late:
            return _refusal(not_yet, self._pools.refusals)
        if handler_call_details.method not in self._hot:
            return continuation(handler_call_details)
        inside, limit = self._pools.hot.inside, self._pools.max_calls
        refusal = self._closed or (QueueFull("the server", inside, limit) if inside >= limit else None)
        return _refusal(refusal, self._pools.refusals) if refusal else continuation(handler_call_details)


def generic_handler(service: Service, pools: Pools) -> grpc.GenericRpcHandler:
    """All methods of a service, for ``grpc.Server.add_generic_rpc_handlers``."""
    handlers = {name: _hot_handler(method, pools.hot) for name, method in service.hot.items()}
    handlers |= {
        name: _plain_handler(method, pools.plain(service.name)) for name, method in service.plain.items()
    }
    handlers |= {name: _stream_handler(method, pools) for name, method in service.streaming.items()}
    return grpc.method_handlers_generic_handler(service.name, handlers)


def abort(context: grpc.ServicerContext, error: BaseException) -> NoReturn:
    """End an RPC with an error's status; raises, as grpc wants it."""
    failure = as_call_error(error)
    code, details, trailers = code_of(failure), details_of(failure), trailers_of(failure)
    forget_traceback(error)
    forget_traceback(failure)
    # What abort raises holds this frame.
    del error, failure
    context.set_trailing_metadata(trailers)
    context.abort(code, details)


def monotonic_deadline(remaining_s: float | None) -> float:
    """When that much time has passed, on the monotonic clock; grpc says "no deadline" by None or by a
    time that outlasts everything, and we by infinity."""
    if remaining_s is None or remaining_s > _FOR_EVER_S:
        return math.inf
    return time.monotonic() + remaining_s


class _WaitingReply:
    """A Reply for a handler that waits in a thread of its own."""

    observer: CallObserver | None = None

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.deadline = monotonic_deadline(context.time_remaining())
        self.peer = context.peer()
        self._context = context
        # Taken until there is something to send; the cheapest one-shot event there is.
        self._finished = threading.Lock()
        self._finished.acquire()
        self._encode: Callable[[], Answered] | None = None
        self._leave: Callable[[], Left] | None = None

    def finish(self, encode: Callable[[], Answered]) -> None:
        self._encode = encode
        self._finished.release()

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        self._leave = cancel

        def gone() -> None:
            cancel()

        # grpc calls it when the RPC has ended, however it ended; cancelling after an answer does nothing.
        if not self._context.add_callback(gone):
            cancel()

    def expire_at(self, deadline: float) -> None:
        self.deadline = min(self.deadline, deadline)

    def wait(self) -> bytes:
        """Raises CallError, or whatever a broken encoder raises."""
        remaining = self.deadline - time.monotonic()
        if not self._finished.acquire(timeout=min(max(remaining, 0.0), threading.TIMEOUT_MAX)):
            left = self._leave() if self._leave is not None else None
            if left is not True:
                raise left if isinstance(left, CallError) else DeadlineExceeded
            # It has begun what cannot be left any more, and its caller shall hear what came of it.
            self._finished.acquire()
        # The way to leave knows the call, whose completion knows this: a cycle, if it were not cut here.
        self._leave = None
        assert self._encode is not None
        return joined(self._encode())


def _hot_handler(method: HotMethod, pool: ThreadPoolExecutor) -> grpc.RpcMethodHandler[Any, Any]:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            reply = _WaitingReply(context)
            method(message, reply)
            return reply.wait()
        except Exception as error:
            abort(context, error)

    # grpc runs a handler in the pool that it names; without this it would share the plain one.
    answer.experimental_thread_pool = pool  # type: ignore[attr-defined]
    # No (de)serialiser: bytes in, bytes out.
    return grpc.unary_unary_rpc_method_handler(answer)


def _plain_handler(method: PlainMethod, pool: ThreadPoolExecutor) -> grpc.RpcMethodHandler[Any, Any]:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return answer_plain(method, message)
        except Exception as error:
            abort(context, error)

    answer.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return grpc.unary_unary_rpc_method_handler(answer)


class _Stream:
    """An OpenStream whose messages a thread of grpc's waits for."""

    def __init__(self, context: grpc.ServicerContext, pools: Pools) -> None:
        self._context = context
        self._pools = pools
        # Messages, alarms to be noted, and what is to be done when the messages before it have been sent; at
        # the end None or an error.
        self._outgoing: queue.SimpleQueue[bytes | Alarm | Callable[[], None] | CallError | None]
        self._outgoing = queue.SimpleQueue()
        self._may_go_on = threading.Event()
        self._may_go_on.set()

    def send(self, message: bytes) -> None:
        self._outgoing.put(message)

    def end(self, error: CallError | None = None) -> None:
        self._outgoing.put(error)
        # Who is held shall hear of it.
        self._may_go_on.set()

    @property
    def peer(self) -> str:
        return self._context.peer()

    def header(self, name: str) -> str | None:
        for key, value in self._context.invocation_metadata() or ():
            if key == name:
                return value if isinstance(value, str) else value.decode("latin-1")
        return None

    def take(self) -> CallError | None:
        refusal = self._pools.refusal
        if refusal is None:
            self._pools.calls.enter()
        return refusal

    def let_go(self) -> None:
        self._pools.calls.leave()

    @property
    def unread(self) -> int:
        return self._outgoing.qsize()

    def when_read(self, act: Callable[[], None]) -> None:
        self._outgoing.put(act)

    def aside(self, work: Callable[[], None]) -> None:
        self._pools.hot.submit(work)

    def hold(self) -> None:
        self._may_go_on.clear()

    def go_on(self) -> None:
        self._may_go_on.set()

    def call_at(self, moment: float, act: Callable[[], None]) -> Callable[[], None]:
        alarm = Alarm(moment, act)
        self._outgoing.put(alarm)
        return alarm.take_back

    def when_gone(self, cancel: Callable[[], None]) -> None:
        if not self._context.add_callback(cancel):
            cancel()

    def receive(self, requests: Iterator[bytes], receiver: Receiver) -> None:
        """Pass on what the caller says, to the end."""
        try:
            for message in requests:
                receiver(message)
                self._may_go_on.wait()
            receiver(None)
        except CallError as error:
            self.end(error)
        except Exception as error:
            # The caller has gone, which ends the iteration with an error; or it is a bug.
            self.end(as_call_error(error) if self._context.is_active() else None)

    def outgoing(self) -> Iterator[bytes]:
        """What there is to send, as it comes; alarms go off. Raises CallError if that is the end."""
        alarms: Deadlines[Alarm] = Deadlines()
        while True:
            for alarm in alarms.due(time.monotonic()):
                alarm.expire()
            wait_s = max(alarms.next - time.monotonic(), 0.0)
            try:
                # An hour is as good as for ever, and less than what a lock can wait.
                item = self._outgoing.get(timeout=min(wait_s, 3600.0))
            except queue.Empty:
                continue
            if isinstance(item, Alarm):
                alarms.add(item)
            elif isinstance(item, bytes):
                yield item
            elif item is None:
                return
            elif isinstance(item, CallError):
                raise item
            else:
                item()


def _stream_handler(method: StreamingMethod, pools: Pools) -> grpc.RpcMethodHandler[Any, Any]:
    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        stream = _Stream(context, pools)
        # The thread that sends must not wait for a caller who has gone.
        if not context.add_callback(stream.end):
            return
        try:
            receiver = method.open(stream)
            if method.one_request:
                stream.receive(requests, receiver)
            else:
                pools.streams.submit(stream.receive, requests, receiver)
            yield from stream.outgoing()
        except Exception as error:
            abort(context, error)

    answer.experimental_thread_pool = pools.streams  # type: ignore[attr-defined]
    return grpc.stream_stream_rpc_method_handler(answer)


def _refusal(error: CallError, pool: ThreadPoolExecutor) -> grpc.RpcMethodHandler[Any, Any]:
    def refuse(_: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        abort(context, error)

    refuse.experimental_thread_pool = pool  # type: ignore[attr-defined]
    # Whatever kind the method is of; and a message that never comes is not waited for.
    return grpc.stream_stream_rpc_method_handler(refuse)
