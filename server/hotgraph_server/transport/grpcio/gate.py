"""Which calls grpc's own server lets in.

Over ``max_calls`` hot calls a further one is refused at once. grpc's own limit would count health checks as
well, and refuse them with the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from hotgraph_server.errors import CallError, QueueFull
from hotgraph_server.transport.grpcio.ending import Ending
from hotgraph_server.transport.grpcio.pools import Pools
from hotgraph_server.transport.service import Admit, Service
from hotgraph_server.transport.sockets.door import Allows


class HotGate(grpc.ServerInterceptor):
    """Refuses calls before their handlers are looked for: those that may not be made, hot ones when too many
    are inside and when the server is stopping, and all but early ones before it is open.

    Attributes:
        not_yet: what these are refused with; None: the server is open.
    """

    def __init__(
        self,
        services: list[Service],
        pools: Pools,
        admit: Admit | None = None,
        allows: Allows | None = None,
    ) -> None:
        self.not_yet: CallError | None = None
        self._admit = admit
        self._allows = allows
        self._late = frozenset[str]().union(*(service.late_paths for service in services))
        self._hot = {f"/{service.name}/{method}" for service in services for method in service.hot}
        self._pools = pools
        self._closed: CallError | None = None

    def close(self, refusal: CallError) -> None:
        """Answer every hot call that comes from now on with `refusal`."""
        self._closed = self._pools.refusal = refusal

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Called by grpc in its serving thread for every call; must not wait."""
        handler = self._let_in(continuation, handler_call_details)
        if self._allows is None or handler is None:
            return handler
        # Who calls, grpc tells handlers alone.
        return _of_allowed(handler, self._allows, Ending(handler_call_details.method, self._pools.tell))

    def _let_in(self, continuation: Any, handler_call_details: Any) -> Any:
        if self._admit is not None:
            headers = dict(handler_call_details.invocation_metadata or ())
            refusal = self._admit(handler_call_details.method, headers.get)
            if refusal is not None:
                return self._refusal(refusal, handler_call_details.method)
        not_yet = self.not_yet
        if not_yet is not None and handler_call_details.method in self._late:
            return self._refusal(not_yet, handler_call_details.method)
        if handler_call_details.method not in self._hot:
            return continuation(handler_call_details)
        inside, limit = self._pools.hot.inside, self._pools.max_calls
        refusal = self._closed or (QueueFull("the server", inside, limit) if inside >= limit else None)
        if refusal is None:
            return continuation(handler_call_details)
        return self._refusal(refusal, handler_call_details.method)

    def _refusal(self, error: CallError, path: str) -> grpc.RpcMethodHandler[Any, Any]:
        end = Ending(path, self._pools.tell)

        def refuse(_: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            end(context, error)

        refuse.experimental_thread_pool = self._pools.refusals  # type: ignore[attr-defined]
        # Whatever kind the method is of; and a message that never comes is not waited for.
        return grpc.stream_stream_rpc_method_handler(refuse)


def _of_allowed(
    handler: grpc.RpcMethodHandler[Any, Any], allows: Allows, end: Ending
) -> grpc.RpcMethodHandler[Any, Any]:
    """The same for callers that `allows` knows; whatever it is that others are refused."""
    behaviour: Any = handler.unary_unary or handler.stream_stream  # there are no others: handlers.py

    def check(request: Any, context: grpc.ServicerContext) -> Any:
        refusal = allows(_names_of(context))
        if refusal is not None:
            end(context, refusal)
        return behaviour(request, context)

    check.experimental_thread_pool = behaviour.experimental_thread_pool  # type: ignore[attr-defined]
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(check)
    return grpc.stream_stream_rpc_method_handler(check)


def _names_of(context: grpc.ServicerContext) -> list[tuple[str, str]]:
    """The subject alternative names of the caller's certificate, each with its kind."""
    found: Any = context.auth_context()
    kinds = {"URI": "peer_uri", "DNS": "peer_dns"}
    return [(kind, name.decode("latin-1")) for kind, key in kinds.items() for name in found.get(key, ())]
