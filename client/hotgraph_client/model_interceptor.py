"""Interceptors of gRPC by which calls of any stub say their model, as those of this package's clients do.

A stream of calls says it only where it is told: its messages come when its headers have gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio

from .model_header import MODEL_HEADER, is_sayable, model_of


class _Details(NamedTuple):
    """A call's, as grpc reads them of whatever has these fields."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any = None


def model_header_interceptor(model: str = "") -> ModelHeaderInterceptor:
    """For `grpc.intercept_channel`.

    Args:
        model: that calls say; empty: each says the one in its message, and streams say none.
    """
    return ModelHeaderInterceptor(model)


def async_model_header_interceptors(model: str = "") -> list[grpc.aio.ClientInterceptor]:
    """For the `interceptors` of a channel of grpc.aio: one for unary calls, one for streams. See
    `model_header_interceptor`."""
    return [_AsyncUnary(model), _AsyncStream(model)]


class _Saying:
    def __init__(self, model: str) -> None:
        if model and not is_sayable(model):
            raise ValueError(f"no header can hold the name {model!r}")
        self._model = model

    def _said(self, details: Any, request: Any = None) -> Any:
        """A call's details with its model; those that say one, or can say none, as they are."""
        model = self._model or ("" if request is None else model_of(request))
        metadata = details.metadata or ()
        if not is_sayable(model) or any(name == MODEL_HEADER for name, _ in metadata):
            return details
        return _Details(
            details.method,
            details.timeout,
            self._joined(metadata, model),
            details.credentials,
            details.wait_for_ready,
            getattr(details, "compression", None),
        )

    @staticmethod
    def _joined(metadata: Any, model: str) -> Any:
        return (*metadata, (MODEL_HEADER, model))


class ModelHeaderInterceptor(_Saying, grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """See `model_header_interceptor`."""

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """See grpc."""
        return continuation(self._said(details, request), request)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        """See grpc."""
        return continuation(self._said(details), requests)


class _AsyncSaying(_Saying):
    @staticmethod
    def _joined(metadata: Any, model: str) -> Any:
        return grpc.aio.Metadata(*metadata, (MODEL_HEADER, model))


class _AsyncUnary(_AsyncSaying, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], details: Any, request: Any
    ) -> Any:
        return await continuation(self._said(details, request), request)


class _AsyncStream(_AsyncSaying, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Callable[..., Any], details: Any, requests: Any
    ) -> Any:
        return await continuation(self._said(details), requests)
