"""A small server of the Open Inference Protocol in this process, which records calls and fails on demand.

Its models are plain functions of arrays, so a test states what comes back and reads what was sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import grpc

from hotgraph_client.protocol import EXTENSIONS, METHODS
from hotgraph_protos import open_inference as oip
from hotgraph_protos.tensors import Array, datatype_of, decode_raw, encode_raw

SERVICE = "inference.GRPCInferenceService"


@dataclass
class FakeModel:
    """One model: its metadata as (name, datatype, shape), and what it does."""

    run: Callable[[Mapping[str, Array]], Mapping[str, Array]]
    inputs: Sequence[tuple[str, str, Sequence[int]]]
    outputs: Sequence[tuple[str, str, Sequence[int]]] = ()
    properties: Mapping[str, str] = field(default_factory=lambda: {"colour": "blue"})


@dataclass
class Failure:
    """How a call ends instead of with an answer."""

    code: grpc.StatusCode
    details: str = "as the test asked"
    trailers: tuple[tuple[str, str], ...] = ()


@dataclass
class FakeServer:
    """Listens from `start` to `stop`; also a context manager.

    Attributes:
        models: by name.
        failures: the next calls of a method end so, first in first out.
        index: rows of the repository index, as (name, version, state, reason); empty: each model is ready.
        extensions: of the protocol, that it says it knows.
        raw_answer: what ModelInfer answers, whatever it was asked; None for the model's own answer.
        ready: the answers of ServerReady and ModelReady in turn, then True for ever.
        requests: all that came, as (method, message).
        gate: closed by a test to hold ModelInfer back.
    """

    models: dict[str, FakeModel] = field(default_factory=dict)
    credentials: grpc.ServerCredentials | None = None
    port: int = 0
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    raw_answer: oip.ModelInferResponse | None = None
    ready: list[bool] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[dict[str, Any]] = field(default_factory=list)
    time_left_s: list[float | None] = field(default_factory=list)
    statistics: list[oip.ModelStatistics] = field(default_factory=list)
    index: list[tuple[str, str, str, str]] = field(default_factory=list)
    extensions: list[str] = field(default_factory=lambda: ["statistics"])
    arrived: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> FakeServer:
        self.gate.set()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(4, "fake-inference-server"),
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            method.name: grpc.unary_unary_rpc_method_handler(
                self._recorded(method.name, self.answers()[method.name]),
                request_deserializer=method.request.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for method in (*METHODS, *EXTENSIONS)
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        address = f"127.0.0.1:{self.port}"
        if self.credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self.credentials)
        self._server.start()
        return self

    def stop(self) -> None:
        self.gate.set()
        self._server.stop(None).wait()

    def __enter__(self) -> FakeServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def fail(self, method: str, code: grpc.StatusCode, times: int = 1, **facts: Any) -> None:
        """The next `times` calls of `method` end with `code`."""
        self.failures.setdefault(method, []).extend([Failure(code, **facts)] * times)

    def calls(self, method: str) -> list[Any]:
        """The requests of one method, in the order of their arrival."""
        return [request for name, request in self.requests if name == method]

    @contextmanager
    def held(self) -> Iterator[None]:
        """ModelInfer does not answer within this block."""
        self.arrived.clear()
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()

    def answers(self) -> dict[str, Callable[[Any], Any]]:
        """What each method answers."""
        return {
            "ServerLive": lambda _: oip.ServerLiveResponse(live=True),
            "ServerReady": lambda _: oip.ServerReadyResponse(ready=self._is_ready()),
            "ModelReady": lambda _: oip.ModelReadyResponse(ready=self._is_ready()),
            "ServerMetadata": lambda _: oip.ServerMetadataResponse(
                name="fake", version="1", extensions=self.extensions
            ),
            "ModelMetadata": self._metadata,
            "ModelInfer": self._infer,
            "ModelStatistics": lambda _: oip.ModelStatisticsResponse(model_stats=self.statistics),
            "RepositoryIndex": lambda _: self._index(),
        }

    def _index(self) -> oip.RepositoryIndexResponse:
        rows = self.index or [(name, "1", "READY", "") for name in self.models]
        response = oip.RepositoryIndexResponse()
        for name, version, state, reason in rows:
            response.models.add(name=name, version=version, state=state, reason=reason)
        return response

    def _is_ready(self) -> bool:
        return self.ready.pop(0) if self.ready else True

    def _recorded(
        self, method: str, answer: Callable[[Any], Any]
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            self.requests.append((method, request))
            self.headers.append(dict(context.invocation_metadata()))
            self.time_left_s.append(context.time_remaining())
            if self.failures.get(method):
                failure = self.failures[method].pop(0)
                context.set_trailing_metadata(failure.trailers)
                context.abort(failure.code, failure.details)
            if method in ("ModelMetadata", "ModelInfer"):
                name = request.name if method == "ModelMetadata" else request.model_name
                if name not in self.models:
                    context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model '{name}'")
            if method == "ModelInfer":
                self.arrived.set()
                self.gate.wait()
            return answer(request)

        return handle

    def _metadata(self, request: oip.ModelMetadataRequest) -> oip.ModelMetadataResponse:
        model = self.models[request.name]
        response = oip.ModelMetadataResponse(
            name=request.name, versions=["1"], platform="fake", properties=model.properties
        )
        for ours, theirs in ((model.inputs, response.inputs), (model.outputs, response.outputs)):
            for name, datatype, shape in ours:
                theirs.add(name=name, datatype=datatype, shape=shape)
        return response

    def _infer(self, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        if self.raw_answer is not None:
            return self.raw_answer
        arrays = {
            tensor.name: decode_raw(tensor.datatype, tensor.shape, raw)
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        response = oip.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
        wanted = {output.name for output in request.outputs}
        for name, array in self.models[request.model_name].run(arrays).items():
            if not wanted or name in wanted:
                response.outputs.add(name=name, datatype=datatype_of(array.dtype) or "", shape=array.shape)
                response.raw_output_contents.append(encode_raw(array))
        return response
