"""Services as grpc's method handlers: the way through grpc's public API.

Pools of their own, so that no kind of call can hold up another:

* hot calls wait in a pool of their own, each in a thread until its answer is there;
* plain methods, and refusals, share a small pool that nothing ever waits in;
* streams hold a thread for as long as the caller likes;
* health has one for itself (health.py): a busy server is a healthy server.

What grpc does not let us help here: a caller who opens a call and never sends its message holds a thread
of the pool until it leaves. The fast lane has no such wait.

Over ``max_calls`` hot calls a further one is refused at once. grpc's own limit would count health
checks as well, and refuse them with the rest.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from hotgraph_server.errors import CallError, DeadlineExceeded, InvalidCall, QueueFull, forget_traceback
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import HotMethod, PlainMethod, Reply, Service
from hotgraph_server.transport.status import as_call_error, code_of, details_of, trailers_of

# Threads that wait cost little, but each has a stack; beyond these, calls wait without a thread.
_MOST_HOT_THREADS = 512
_PLAIN_THREADS = 4
# A stream holds one while it is open, also one whose caller never says anything.
_STREAM_THREADS = 64
_DECODING_THREADS = 2

_FOR_EVER_S = 10.0 * 365 * 86400


class Pools:
    """The threads that methods run in. Made with the server; `close` when the server has stopped."""

    def __init__(self, max_calls: int, calls: OpenCalls) -> None:
        self.hot = _CountingPool(min(max_calls, _MOST_HOT_THREADS), "hot call", calls)
        self.plain = _CountingPool(_PLAIN_THREADS, "plain call", calls)
        self.streams = ThreadPoolExecutor(_STREAM_THREADS, "stream")
        self.decoders = ThreadPoolExecutor(_DECODING_THREADS, "decoding")
        self.max_calls = max_calls

    def close(self) -> None:
        """Let the threads end; does not wait for them."""
        self.hot.shutdown(wait=False)
        self.plain.shutdown(wait=False)
        self.streams.shutdown(wait=False)
        self.decoders.shutdown(wait=False)


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
    """Refuses hot calls at the door: when too many are inside, and when the server is stopping."""

    def __init__(self, services: list[Service], pools: Pools) -> None:
        self._hot = {f"/{service.name}/{method}" for service in services for method in service.hot}
        self._pools = pools
        self._closed: CallError | None = None

    def close(self, refusal: CallError) -> None:
        """Answer every hot call that comes from now on with `refusal`."""
        self._closed = refusal

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Called by grpc in its serving thread for every call; must not wait."""
        if handler_call_details.method not in self._hot:
            return continuation(handler_call_details)
        inside, limit = self._pools.hot.inside, self._pools.max_calls
        refusal = self._closed or (QueueFull("the server", inside, limit) if inside >= limit else None)
        return _refusal(refusal, self._pools.plain) if refusal else continuation(handler_call_details)


def generic_handler(service: Service, pools: Pools) -> grpc.GenericRpcHandler:
    """All methods of a service, for ``grpc.Server.add_generic_rpc_handlers``."""
    handlers = {name: _hot_handler(method, pools.hot) for name, method in service.hot.items()}
    handlers |= {name: _plain_handler(method) for name, method in service.plain.items()}
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

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.deadline = monotonic_deadline(context.time_remaining())
        self._context = context
        # Taken until there is something to send; the cheapest one-shot event there is.
        self._finished = threading.Lock()
        self._finished.acquire()
        self._encode: Callable[[], bytes] | None = None

    def finish(self, encode: Callable[[], bytes]) -> None:
        self._encode = encode
        self._finished.release()

    def when_gone(self, leave: Callable[[], None]) -> None:
        # grpc calls it when the RPC has ended, however it ended; leaving after an answer does nothing.
        if not self._context.add_callback(leave):
            leave()

    def wait(self) -> bytes:
        """Raises CallError, or whatever a broken encoder raises."""
        remaining = self.deadline - time.monotonic()
        if not self._finished.acquire(timeout=min(max(remaining, 0.0), threading.TIMEOUT_MAX)):
            # Ending the RPC makes grpc call what was given to when_gone, and so the call leaves.
            raise DeadlineExceeded
        assert self._encode is not None
        return self._encode()


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


def _plain_handler(method: PlainMethod) -> grpc.RpcMethodHandler[Any, Any]:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return _answer(method, message)
        except Exception as error:
            abort(context, error)

    return grpc.unary_unary_rpc_method_handler(answer)


def _answer(method: PlainMethod, message: bytes) -> bytes:
    try:
        request = method.request.FromString(message)
    except DecodeError as error:
        raise InvalidCall(f"the message is no {method.request.DESCRIPTOR.name}: {error}") from error
    return bytes(method.answer(request).SerializeToString())


def as_hot(method: PlainMethod) -> HotMethod:
    """A plain method in the form of a hot one, which answers before it returns."""

    def answer(message: bytes, reply: Reply) -> None:
        reply.finish(lambda: _answer(method, message))

    return answer


def _refusal(error: CallError, pool: ThreadPoolExecutor) -> grpc.RpcMethodHandler[Any, Any]:
    def refuse(_: bytes, context: grpc.ServicerContext) -> None:
        abort(context, error)

    refuse.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return grpc.unary_unary_rpc_method_handler(refuse)
