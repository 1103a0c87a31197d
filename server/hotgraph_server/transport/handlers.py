"""Services as grpc's method handlers: the way through grpc's public API.

Pools of their own, so that no kind of call can hold up another:

* hot calls wait in a pool of their own, each in a thread until its answer is there;
* plain methods, and refusals, share a small pool that nothing ever waits in;
* streams hold a thread for as long as the caller likes;
* health has one for itself (health.py): a busy server is a healthy server.

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

from hotgraph_server.errors import CallError, DeadlineExceeded, QueueFull
from hotgraph_server.transport.service import HotMethod, PlainMethod, Service
from hotgraph_server.transport.status import as_call_error, code_of, details_of, trailers_of

# Threads that wait cost little, but each has a stack; beyond these, calls wait without a thread.
_MOST_HOT_THREADS = 512
_PLAIN_THREADS = 4
_STREAM_THREADS = 4


class Pools:
    """The threads that methods run in. Made with the server; `close` when the server has stopped."""

    def __init__(self, max_calls: int) -> None:
        self.hot = _CountingPool(min(max_calls, _MOST_HOT_THREADS), "hot call")
        self.plain = ThreadPoolExecutor(_PLAIN_THREADS, "plain call")
        self.streams = ThreadPoolExecutor(_STREAM_THREADS, "stream")
        self.max_calls = max_calls

    def close(self) -> None:
        """Let the threads end; does not wait for them."""
        self.hot.shutdown(wait=False)
        self.plain.shutdown(wait=False)
        self.streams.shutdown(wait=False)


class _CountingPool(ThreadPoolExecutor):
    """Knows how many calls are in it, waiting or running."""

    def __init__(self, threads: int, name: str) -> None:
        super().__init__(threads, name)
        self.inside = 0
        self._counting = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._counting:
            self.inside += 1
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(self._leave)
        return future

    def _leave(self, _: Future[Any]) -> None:
        with self._counting:
            self.inside -= 1


class HotGate(grpc.ServerInterceptor):
    """Refuses hot calls at the door when too many are inside."""

    def __init__(self, services: list[Service], pools: Pools) -> None:
        self._hot = {f"/{service.name}/{method}" for service in services for method in service.hot}
        self._pools = pools

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Called by grpc in its serving thread for every call; must not wait."""
        inside, limit = self._pools.hot.inside, self._pools.max_calls
        if inside >= limit and handler_call_details.method in self._hot:
            return _refusal(QueueFull("the server", inside, limit), self._pools.plain)
        return continuation(handler_call_details)


def generic_handler(service: Service, pools: Pools) -> grpc.GenericRpcHandler:
    """All methods of a service, for ``grpc.Server.add_generic_rpc_handlers``."""
    handlers = {name: _hot_handler(method, pools.hot) for name, method in service.hot.items()}
    handlers |= {name: _plain_handler(method) for name, method in service.plain.items()}
    return grpc.method_handlers_generic_handler(service.name, handlers)


def abort(context: grpc.ServicerContext, error: BaseException) -> NoReturn:
    """End an RPC with an error's status; raises, as grpc wants it."""
    failure = as_call_error(error)
    context.set_trailing_metadata(trailers_of(failure))
    context.abort(code_of(failure), details_of(failure))


class _WaitingReply:
    """A Reply for a handler that waits in a thread of its own."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        remaining = context.time_remaining()
        self.deadline = math.inf if remaining is None else time.monotonic() + remaining
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
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method.answer(request)
        except Exception as error:
            abort(context, error)

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=method.request.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


def _refusal(error: CallError, pool: ThreadPoolExecutor) -> grpc.RpcMethodHandler[Any, Any]:
    def refuse(_: bytes, context: grpc.ServicerContext) -> None:
        abort(context, error)

    refuse.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return grpc.unary_unary_rpc_method_handler(refuse)
