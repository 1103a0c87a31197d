"""The blocking client: arrays in, arrays out, from any number of threads at once."""

from __future__ import annotations

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
from .grpc_transport import GrpcTransport
from .http.blocking import HttpTransport
from .http.route import is_url, plan_http_route
from .protocol import Method, Outputs, Parameter, Request, Response
from .tls import Tls


class Client:
    """A connection to one server, or to several that share the calls.

    Connects at the first call, and again by itself whenever the connection is lost. Safe to use from many
    threads; best kept for the life of the program, for every new one connects anew.

    Every call ends within its timeout. Calls that find no server (UNAVAILABLE) are sent again up to
    `retries` times within it; a call whose server vanished may therefore run twice. For a model where that
    matters, say retries=0. All methods raise the errors of `hotgraph_client.errors`.

    Args:
        address: HOST:PORT, [IPV6]:PORT or a gRPC target (unix:/path); or several HOST:PORT, which take turns.
            A URL, http://HOST:PORT or https://HOST:PORT, is called over HTTP, where gRPC is blocked; several
            take turns as well.
        timeout_s: seconds that a call may take unless it says otherwise.
        retries: 0 to 4.
        tls: how to encrypt; None for plain text, and with https:// for the system's authorities.
        headers: sent with each call, such as {"x-tenant": "a"}.
        key: the key that the server's owner has given, sent with each call as a bearer token. Without TLS
            whoever is on the way can read it.
        channel_options: gRPC's own channel options, for proxies with special wishes; none over HTTP.

    Raises:
        ValueError: a setting that cannot work.
        Unreachable: one of several host names is unknown.
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
        self._transport: GrpcTransport | HttpTransport
        if is_url(address):
            by_url = plan_http_route(
                address, retries=retries, tls=tls, headers=sent, channel_options=channel_options
            )
            self._transport = HttpTransport(by_url)
        else:
            route = plan_route(address, retries=retries, tls=tls, channel_options=channel_options)
            self._transport = GrpcTransport(route, tls, sent)

    @overload
    def predict(
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
    def predict(
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

    def predict(
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
        """Run a model once.

        Lists and plain numbers take the datatype that the model states, which is asked for once per model and
        version. Numpy arrays are sent as they are; where the model takes another dtype they are converted if
        every value stays exactly what it is, and otherwise the error says how to cast. Strings may be str,
        bytes or any numpy string array, and come back as object arrays of bytes.

        Args:
            inputs: dict of input name to array-like; or one array-like for a model with one input.
            version: None for the server's choice, usually the highest.
            signature: None for the model's default. Of others most servers but hotgraph's say nothing: there
                they take a dict of numpy arrays.
            outputs: names of the wanted ones, or a dict of name to the protocol's parameters of each, such as
                {"scores": {"classification": 5}}; None for all.
            timeout_s: seconds for all of it; None for the client's own.
            parameters: request parameters of the protocol.
            request_id: any text, for the server's log.

        Returns:
            dict of output name to array; for a single array in and a single output, that output's array.
        """
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
        response = self._converse(conversation, deadline, model)
        return protocol.read_answer(
            response, single=not isinstance(inputs, Mapping), address=self._transport.address
        )

    def metadata(
        self, model: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> ModelMetadata:
        """Inputs and outputs of a model's default signature, its versions, and what other signatures take."""
        request = protocol.MODEL_METADATA.request(name=model, version=protocol.version_text(version))
        return read_model_metadata(self._call(protocol.MODEL_METADATA, request, timeout_s, model))

    def models(self, *, timeout_s: float | None = None) -> tuple[ServedModel, ...]:
        """What the server has: its models in order, each with its versions and their states.

        Raises:
            InvalidCall: the server keeps no list, as TensorFlow Serving does not; `metadata` asks for a model
                by its name.
        """
        request = protocol.REPOSITORY_INDEX.request()
        try:
            return read_index(self._call(protocol.REPOSITORY_INDEX, request, timeout_s))
        except (InvalidCall, NotFound) as error:
            raise protocol.unlisted(error) from None

    def server_metadata(self, *, timeout_s: float | None = None) -> ServerMetadata:
        """Name and version of the server, and the protocol extensions that it knows."""
        request = protocol.SERVER_METADATA.request()
        return read_server_metadata(self._call(protocol.SERVER_METADATA, request, timeout_s))

    def statistics(
        self, model: str = "", version: int | str = "", *, timeout_s: float | None = None
    ) -> tuple[ModelStatistics, ...]:
        """What each version of a model (of every model, unless one is named) has done so far."""
        request = protocol.MODEL_STATISTICS.request(name=model, version=protocol.version_text(version))
        return read_statistics(self._call(protocol.MODEL_STATISTICS, request, timeout_s, model))

    def is_live(self, *, timeout_s: float | None = None) -> bool:
        """Whether a server is there and initialised; False where none can be reached."""
        try:
            return self._call(protocol.SERVER_LIVE, protocol.SERVER_LIVE.request(), timeout_s).live
        except Unreachable:
            return False

    def is_ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server is ready to answer calls; False where none can be reached."""
        try:
            return self._ready(None, None, timeout_s)
        except Unreachable:
            return False

    def is_model_ready(
        self, model: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> bool:
        """Whether the model is ready; False where the server does not know it or cannot be reached."""
        try:
            return self._ready(model, version, timeout_s)
        except (NotFound, Unreachable):
            return False

    def wait_ready(
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
                if self._ready(
                    model, version, min(protocol.left_s(deadline, time.monotonic()), self._timeout_s)
                ):
                    return
                last_answer = "not ready"
            except protocol.PASSING as error:
                last_answer = error.details
            if time.monotonic() + pause_s >= deadline:
                break
            time.sleep(pause_s)
        raise protocol.never_ready(model or "", allowed_s, last_answer, self._transport.address)

    def close(self) -> None:
        """Let go of the connection; calls under way end as Cancelled. Closing twice does nothing."""
        self._closed = True
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ready(self, model: str | None, version: int | str | None, timeout_s: float | None) -> bool:
        if model is None:
            return self._call(protocol.SERVER_READY, protocol.SERVER_READY.request(), timeout_s).ready
        request = protocol.MODEL_READY.request(name=model, version=protocol.version_text(version))
        return self._call(protocol.MODEL_READY, request, timeout_s, model).ready

    def _converse(
        self, conversation: Generator[prediction.Step, Any, Response], deadline: float, model: str
    ) -> Response:
        try:
            method, request = next(conversation)
            while True:
                try:
                    answer = self._call(method, request, protocol.left_s(deadline, time.monotonic()), model)
                except HotgraphError as error:
                    method, request = conversation.throw(error)
                else:
                    method, request = conversation.send(answer)
        except StopIteration as done:
            response: Response = done.value
            return response

    def _call(
        self, method: Method[Request, Response], request: Request, timeout_s: float | None, model: str = ""
    ) -> Response:
        allowed_s = protocol.call_timeout_s(timeout_s, self._timeout_s)
        if self._closed:
            raise InvalidCall("the client is closed", model=model)
        response: Response = self._transport.call(method, request, allowed_s, model)
        return response
