"""The clients' way over gRPC: a channel, and its errors as ours."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio

from . import protocol
from .channel import Route
from .errors import Cancelled, InvalidCall, from_status
from .model_header import ModelHeaders
from .protocol import InferRequest, Method
from .tls import Tls


class GrpcTransport:
    """Carries the blocking client's calls, from any number of threads at once."""

    def __init__(self, route: Route, tls: Tls | None, headers: tuple[tuple[str, str], ...]) -> None:
        self.address = route.address
        self._headers = ModelHeaders(headers)
        self._closed = False
        self._channel = (
            grpc.insecure_channel(route.target, route.options)
            if tls is None
            else grpc.secure_channel(route.target, tls.credentials(), route.options)
        )
        self._calls = {
            method.name: self._channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            for method in protocol.METHODS
        }

    def call(self, method: Method[Any, Any], message: Any, timeout_s: float, model: str) -> Any:
        """The answer to one call.

        Raises:
            HotgraphError: there is none, or it is an error.
        """
        try:
            return self._calls[method.name](
                _whole(message), timeout=timeout_s, metadata=self._headers.of(model)
            )
        except grpc.RpcError as error:
            raise from_status(
                error.code(), error.details(), error.trailing_metadata(), address=self.address, model=model
            ) from None
        except ValueError:
            # what grpc says when another thread closed the channel a moment ago
            if not self._closed:
                raise
            raise InvalidCall("the client is closed", model=model) from None

    def close(self) -> None:
        """Let go of the connection; calls under way end as Cancelled. Closing twice does nothing."""
        self._closed = True
        self._channel.close()


class AsyncGrpcTransport:
    """Carries the asyncio client's calls. Belongs to the event loop of its first call."""

    def __init__(self, route: Route, tls: Tls | None, headers: tuple[tuple[str, str], ...]) -> None:
        self.address = route.address
        self._route = route
        self._headers = ModelHeaders(headers)
        self._closed = False
        self._credentials = None if tls is None else tls.credentials()
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    async def call(self, method: Method[Any, Any], message: Any, timeout_s: float, model: str) -> Any:
        """The answer to one call.

        Raises:
            HotgraphError: there is none, or it is an error.
        """
        try:
            return await self._started()[method.name](
                _whole(message), timeout=timeout_s, metadata=self._headers.of(model)
            )
        except grpc.aio.AioRpcError as error:
            raise from_status(
                error.code(), error.details(), error.trailing_metadata(), address=self.address, model=model
            ) from None
        except asyncio.CancelledError:
            # closing the channel looks like this to its calls, but then nobody cancelled the caller's task
            if not self._closed or _is_being_cancelled():
                raise
            raise Cancelled("the client was closed during the call", model=model) from None

    async def close(self) -> None:
        """Let go of the connection; calls under way end as Cancelled. Closing twice does nothing."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    def _started(self) -> dict[str, Any]:
        """The calls; the channel is made at the first one, for only then is the event loop known."""
        if self._channel is None:
            self._channel = (
                grpc.aio.insecure_channel(self._route.target, self._route.options)
                if self._credentials is None
                else grpc.aio.secure_channel(self._route.target, self._credentials, self._route.options)
            )
            self._calls = {
                method.name: self._channel.unary_unary(
                    method.path,
                    request_serializer=method.request.SerializeToString,
                    response_deserializer=method.response.FromString,
                )
                for method in protocol.METHODS
            }
        return self._calls


def _whole(message: Any) -> Any:
    return message.whole() if isinstance(message, InferRequest) else message


def _is_being_cancelled() -> bool:
    # Python 3.10 does not tell
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0
