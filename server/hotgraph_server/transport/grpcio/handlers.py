"""Services as grpc's method handlers: the way through grpc's public API. Each kind of method waits in a pool
of its own (pools.py), and gate.py says who comes so far."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, DeadlineExceeded
from hotgraph_server.transport.deadlines import Alarm, Deadlines
from hotgraph_server.transport.grpcio.ending import Ending, header_of, headers_of
from hotgraph_server.transport.grpcio.pools import Pools
from hotgraph_server.transport.load_trailers import LoadTrailers
from hotgraph_server.transport.service import (
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
from hotgraph_server.transport.status import as_call_error

_FOR_EVER_S = 10.0 * 365 * 86400


def generic_handler(
    service: Service, pools: Pools, least_bytes: int = 0, load: LoadTrailers | None = None
) -> grpc.GenericRpcHandler:
    """All methods of a service, for ``grpc.Server.add_generic_rpc_handlers``. Answers of fewer than
    `least_bytes` are not compressed, whatever the server does with others; what they say of the server's load
    is `load`'s."""

    def end(name: str) -> Ending:
        return Ending(f"/{service.name}/{name}", pools.tell, load)

    handlers = {
        name: _hot_handler(method, pools.hot, least_bytes, end(name)) for name, method in service.hot.items()
    }
    handlers |= {
        name: _plain_handler(method, pools.plain(service.name), least_bytes, end(name))
        if method.later is None
        else _hot_handler(method.later, pools.plain(service.name), least_bytes, end(name))
        for name, method in service.plain.items()
    }
    handlers |= {
        name: _stream_handler(method, pools, least_bytes, end(name))
        for name, method in service.streaming.items()
    }
    return grpc.method_handlers_generic_handler(service.name, handlers)


def monotonic_deadline(remaining_s: float | None) -> float:
    """When that much time has passed, on the monotonic clock; grpc says "no deadline" by None or by a
    time that outlasts everything, and we by infinity."""
    if remaining_s is None or remaining_s > _FOR_EVER_S:
        return math.inf
    return time.monotonic() + remaining_s


class _WaitingReply:
    """A Reply for a handler that waits in a thread of its own."""

    observer: ReplyObserver | None = None
    held_up: Callable[[bool], object] | None = None

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.deadline = monotonic_deadline(context.time_remaining())
        self.peer = context.peer()
        self._context = context
        # Taken until there is something to send; the cheapest one-shot event there is.
        self._finished = threading.Lock()
        self._finished.acquire()
        self._encode: Callable[[], Answered] | None = None
        self._leave: Callable[[], Left] | None = None
        self.left_by: Callable[[], Left] | None = None  # kept for who is told of a failure

    def header(self, name: str) -> str | None:
        return header_of(self._context, name)

    @property
    def headers(self) -> Mapping[str, str]:
        return headers_of(self._context)

    def finish(self, encode: Callable[[], Answered]) -> None:
        self._encode = encode
        self._finished.release()

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        self._leave = self.left_by = cancel

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


def _as_it_is(answer: bytes, context: grpc.ServicerContext, least_bytes: int) -> bytes:
    """An answer that is about to be sent; one that is too small is not compressed."""
    if len(answer) < least_bytes:
        context.disable_next_message_compression()
    return answer


def _hot_handler(
    method: HotMethod, pool: ThreadPoolExecutor, least_bytes: int, end: Ending
) -> grpc.RpcMethodHandler[Any, Any]:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        reply = _WaitingReply(context)
        try:
            method(message, reply)
            waited_for = reply.wait()
            end.well(context)
            return _as_it_is(waited_for, context, least_bytes)
        except Exception as error:
            end(context, error, reply.left_by)
        finally:
            reply.left_by = None

    # grpc runs a handler in the pool that it names; without this it would share the plain one.
    answer.experimental_thread_pool = pool  # type: ignore[attr-defined]
    # No (de)serialiser: bytes in, bytes out.
    return grpc.unary_unary_rpc_method_handler(answer)


def _plain_handler(
    method: PlainMethod, pool: ThreadPoolExecutor, least_bytes: int, end: Ending
) -> grpc.RpcMethodHandler[Any, Any]:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            answered = answer_plain(method, message)
            end.well(context)
            return _as_it_is(answered, context, least_bytes)
        except Exception as error:
            end(context, error)

    answer.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return grpc.unary_unary_rpc_method_handler(answer)


class _Stream:
    """An OpenStream whose messages a thread of grpc's waits for."""

    def __init__(self, context: grpc.ServicerContext, pools: Pools, end: Ending) -> None:
        self._context = context
        self._pools = pools
        self._end = end
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
        return header_of(self._context, name)

    @property
    def headers(self) -> Mapping[str, str]:
        return headers_of(self._context)

    def failed(self, error: CallError, leave: Callable[[], Any] | None) -> None:
        self._end.say(self._context, error, leave)

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


def _stream_handler(
    method: StreamingMethod, pools: Pools, least_bytes: int, end: Ending
) -> grpc.RpcMethodHandler[Any, Any]:
    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        stream = _Stream(context, pools, end)
        # The thread that sends must not wait for a caller who has gone.
        if not context.add_callback(stream.end):
            return
        try:
            receiver = method.open(stream)
            if method.one_request:
                stream.receive(requests, receiver)
            else:
                pools.streams.submit(stream.receive, requests, receiver)
            for message in stream.outgoing():
                yield _as_it_is(message, context, least_bytes)
            end.well(context)
        except Exception as error:
            end(context, error)

    answer.experimental_thread_pool = pools.streams  # type: ignore[attr-defined]
    return grpc.stream_stream_rpc_method_handler(answer)
