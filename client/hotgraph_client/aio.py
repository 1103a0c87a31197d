"""The client for asyncio: the same calls as client.py, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, overload

from numpy.typing import ArrayLike

from hotgraph_protos.tensors import Array

from . import prediction, protocol
from .channel import DEFAULT_ADDRESS, ChannelOption, plan_route
from .descriptions import (
    ModelMetadata,
    ModelStatistics,
    ServedModel,
    ServerMetadata,
    read_index,
    read_model_metadata,
    read_server_metadata,
    read_statistics,
)
from .errors import HotgraphError, InvalidCall, NotFound, Unreachable
from .grpc_transport import AsyncGrpcTransport
from .http.asynchronous import AsyncHttpTransport
from .http.route import is_url, plan_http_route
from .protocol import Method, Outputs, Parameter, Request, Response
from .tls import Tls


class AsyncClient:
    """`Client` with methods to await: same arguments, results and errors. Over HTTP it needs aiohttp, which
    ``pip install 'hotgraph[http]'`` brings; ImportError without.

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
        sent = protocol.checked_headers(headers, key)
        self._known: dict[tuple[str, str], ModelMetadata] = {}
        self._closed = False
        self._transport: AsyncGrpcTransport | AsyncHttpTransport
        if is_url(address):
            by_url = plan_http_route(
                address, retries=retries, tls=tls, headers=sent, channel_options=channel_options
            )
            self._transport = AsyncHttpTransport(by_url)
        else:
            route = plan_route(address, retries=retries, tls=tls, channel_options=channel_options)
            self._transport = AsyncGrpcTransport(route, tls, sent)

    @overload
    async def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        version: int | str | None = ...,
        signature: str | None = ...,
        outputs: Outputs | None = ...,
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
        outputs: Outputs | None = ...,
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
        outputs: Outputs | None = None,
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
            response, single=not isinstance(inputs, Mapping), address=self._transport.address
        )

    async def metadata(
        self, model: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> ModelMetadata:
        """Inputs and outputs of a model's default signature, its versions, and what other signatures take."""
        request = protocol.MODEL_METADATA.request(name=model, version=protocol.version_text(version))
        return read_model_metadata(await self._call(protocol.MODEL_METADATA, request, timeout_s, model))

    async def models(self, *, timeout_s: float | None = None) -> tuple[ServedModel, ...]:
        """What is served; as `Client.models`."""
        request = protocol.REPOSITORY_INDEX.request()
        try:
            return read_index(await self._call(protocol.REPOSITORY_INDEX, request, timeout_s))
        except (InvalidCall, NotFound) as error:
            raise protocol.unlisted(error) from None

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
        raise protocol.never_ready(model or "", allowed_s, last_answer, self._transport.address)

    async def close(self) -> None:
        """Let go of the connection; calls under way end as Cancelled. Closing twice does nothing."""
        self._closed = True
        await self._transport.close()

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
        response: Response = await self._transport.call(method, request, allowed_s, model)
        return response
