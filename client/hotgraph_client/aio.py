"""The client for asyncio: the same calls as client.py, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, overload

import grpc
import grpc.aio
from numpy.typing import ArrayLike

from hotgraph_protos.tensors import Array

from . import prediction, protocol
from .channel import DEFAULT_ADDRESS, ChannelOption, Tls, plan_route
from .descriptions import (
    ModelMetadata,
    ModelStatistics,
    ServerMetadata,
    read_model_metadata,
    read_server_metadata,
    read_statistics,
)
from .errors import Cancelled, HotgraphError, InvalidCall, NotFound, Unreachable, from_status
from .protocol import Method, Parameter, Request, Response


class AsyncClient:
    """`Client` with methods to await: same arguments, results and errors.

    Belongs to the event loop of its first call. May be made outside of it; names of several hosts are
    looked up right then, blocking.
    """

    def __init__(
        self,
        address: str | Sequence[str] = DEFAULT_ADDRESS,
        *,
        timeout_s: float = 30.0,
        retries: int = 3,
        tls: Tls | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        channel_options: Sequence[ChannelOption] = (),
    ) -> None:
        self._timeout_s = protocol.checked_timeout_s(timeout_s)
        self._route = plan_route(address, retries=retries, tls=tls, channel_options=channel_options)
        self._headers = protocol.checked_headers(headers, key)
        self._known: dict[tuple[str, str], ModelMetadata] = {}
        self._closed = False
        self._credentials = None if tls is None else tls.credentials()
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    @overload
    async def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        version: int | str | None = ...,
        signature: str | None = ...,
        outputs: str | Sequence[str] | None = ...,
        timeout_s: float | None = ...,
        parameters: Mapping[str, Parameter] | None = ...,
        request_id: str | None = ...,
    ) -> dict[str, Array]: ...

    @overload
    async def predict(
        self,
        model: str,
        inputs: ArrayLike,
        *,
        version: int | str | None = ...,
        signature: str | None = ...,
        outputs: str | Sequence[str] | None = ...,
        timeout_s: float | None = ...,
        parameters: Mapping[str, Parameter] | None = ...,
        request_id: str | None = ...,
    ) -> Any: ...

    async def predict(
        self,
        model: str,
        inputs: Any,
        *,
        version: int | str | None = None,
        signature: str | None = None,
        outputs: str | Sequence[str] | None = None,
        timeout_s: float | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        request_id: str | None = None,
    ) -> Any:
        """Run a model once; as `Client.predict`."""
        deadline = time.monotonic() + protocol.call_timeout_s(timeout_s, self._timeout_s)
        conversation = prediction.steps(
            self._known,
            model,
            inputs,
            version=version,
            signature=signature,
            outputs=outputs,
            parameters=parameters,
            request_id=request_id,
        )
        response = await self._converse(conversation, deadline, model)
        return protocol.read_answer(
            response, single=not isinstance(inputs, Mapping), address=self._route.address
        )

    async def metadata(
        self, model: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> ModelMetadata:
        """Inputs and outputs of a model's default signature, its versions, and what other signatures take."""
        request = protocol.MODEL_METADATA.request(name=model, version=protocol.version_text(version))
        return read_model_metadata(await self._call(protocol.MODEL_METADATA, request, timeout_s, model))

    async def server_metadata(self, *, timeout_s: float | None = None) -> ServerMetadata:
        """Name and version of the server, and the protocol extensions that it knows."""
        request = protocol.SERVER_METADATA.request()
        return read_server_metadata(await self._call(protocol.SERVER_METADATA, request, timeout_s))

    async def statistics(
        self, model: str = "", version: int | str = "", *, timeout_s: float | None = None
    ) -> tuple[ModelStatistics, ...]:
        """What each version of a model (of every model, unless one is named) has done so far."""
        request = protocol.MODEL_STATISTICS.request(name=model, version=protocol.version_text(version))
        return read_statistics(await self._call(protocol.MODEL_STATISTICS, request, timeout_s, model))

    async def is_live(self, *, timeout_s: float | None = None) -> bool:
        """Whether a server is there and initialised; False where none can be reached."""
        try:
            return (await self._call(protocol.SERVER_LIVE, protocol.SERVER_LIVE.request(), timeout_s)).live
        except Unreachable:
            return False

    async def is_ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server is ready to answer calls; False where none can be reached."""
        try:
            return await self._ready(None, None, timeout_s)
        except Unreachable:
            return False

    async def is_model_ready(
        self, model: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> bool:
        """Whether the model is ready; False where the server does not know it or cannot be reached."""
        try:
            return await self._ready(model, version, timeout_s)
        except (NotFound, Unreachable):
            return False

    async def wait_ready(
        self, model: str | None = None, version: int | str | None = None, *, timeout_s: float = 60.0
    ) -> None:
        """Return as soon as the server, or the model if one is named, says that it is ready.

        A server that is not up yet, refuses connections or does not know the model yet is waited for. With
        several addresses it is enough that one of them is ready.

        Raises:
            TooLate: `timeout_s` has passed; the text has the last answer.
            HotgraphError: an answer that waiting will not change, such as AccessDenied.
        """
        allowed_s = protocol.call_timeout_s(timeout_s, timeout_s)
        deadline = time.monotonic() + allowed_s
        last_answer = "none"
        for pause_s in protocol.probe_pauses_s():
            try:
                if await self._ready(
                    model, version, min(protocol.left_s(deadline, time.monotonic()), self._timeout_s)
                ):
                    return
                last_answer = "not ready"
            except protocol.PASSING as error:
                last_answer = error.details
            if time.monotonic() + pause_s >= deadline:
                break
            await asyncio.sleep(pause_s)
        raise protocol.never_ready(model or "", allowed_s, last_answer, self._route.address)

    async def close(self) -> None:
        """Let go of the connection; calls under way end as Cancelled. Closing twice does nothing."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ready(self, model: str | None, version: int | str | None, timeout_s: float | None) -> bool:
        if model is None:
            return (await self._call(protocol.SERVER_READY, protocol.SERVER_READY.request(), timeout_s)).ready
        request = protocol.MODEL_READY.request(name=model, version=protocol.version_text(version))
        return (await self._call(protocol.MODEL_READY, request, timeout_s, model)).ready

    async def _converse(
        self, conversation: Generator[prediction.Step, Any, Response], deadline: float, model: str
    ) -> Response:
        try:
            method, request = next(conversation)
            while True:
                try:
                    answer = await self._call(
                        method, request, protocol.left_s(deadline, time.monotonic()), model
                    )
                except HotgraphError as error:
                    method, request = conversation.throw(error)
                else:
                    method, request = conversation.send(answer)
        except StopIteration as done:
            response: Response = done.value
            return response

    async def _call(
        self, method: Method[Request, Response], request: Request, timeout_s: float | None, model: str = ""
    ) -> Response:
        allowed_s = protocol.call_timeout_s(timeout_s, self._timeout_s)
        if self._closed:
            raise InvalidCall("the client is closed", model=model)
        try:
            response: Response = await self._started()[method.name](
                request, timeout=allowed_s, metadata=self._headers
            )
        except grpc.aio.AioRpcError as error:
            raise from_status(
                error.code(),
                error.details(),
                error.trailing_metadata(),
                address=self._route.address,
                model=model,
            ) from None
        except asyncio.CancelledError:
            # closing the channel looks like this to its calls, but then nobody cancelled the caller's task
            if not self._closed or _is_being_cancelled():
                raise
            raise Cancelled("the client was closed during the call", model=model) from None
        return response

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


def _is_being_cancelled() -> bool:
    # Python 3.10 does not tell
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0
