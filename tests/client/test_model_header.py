"""Each call says its model in a header, by every way, and none fails for a name that no header can hold."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import inference_pb2, predict_pb2, prediction_service_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from hotgraph_client import MODEL_HEADER, AsyncClient, Client, async_model_header_interceptors
from hotgraph_client import model_header_interceptor as interceptor
from hotgraph_client.model_header import ModelHeaders, is_sayable, model_of

from .fake_http_server import FakeHttpServer
from .fake_inference_server import FakeModel, FakeServer

ODD = "größe"


def model() -> FakeModel:
    return FakeModel(lambda inputs: {"y": inputs["x"]}, [("x", "FP32", [-1])], [("y", "FP32", [-1])])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(models={"m": model(), ODD: model()}) as started:
        yield started


@pytest.fixture(params=[FakeServer, FakeHttpServer], ids=["gRPC", "HTTP"])
def either(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    with request.param(models={"m": model(), ODD: model()}) as started:
        yield started


def said(server: FakeServer) -> list[str | None]:
    return [headers.get(MODEL_HEADER) for headers in server.headers]


def test_each_call_says_its_model(either: FakeServer) -> None:
    with Client(either.address, headers={"x-tenant": "a"}) as client:
        client.predict("m", {"x": np.ones(2, np.float32)})
        client.metadata("m")
        client.server_metadata()
    assert said(either) == ["m", "m", None]
    assert {headers["x-tenant"] for headers in either.headers} == {"a"}


def test_each_call_of_asyncio_says_its_model(either: FakeServer) -> None:
    async def call() -> None:
        async with AsyncClient(either.address) as client:
            await client.predict("m", {"x": np.ones(2, np.float32)})

    asyncio.run(call())
    assert said(either) == ["m"]


def test_a_name_that_no_header_can_hold_is_called_without(either: FakeServer) -> None:
    with Client(either.address) as client:
        client.predict(ODD, {"x": np.ones(2, np.float32)})
    assert said(either) == [None]


def test_who_says_a_model_in_every_call_has_the_last_word(either: FakeServer) -> None:
    with Client(either.address, headers={MODEL_HEADER: "pool-a"}) as client:
        client.predict("m", {"x": np.ones(2, np.float32)})
    assert said(either) == ["pool-a"]


def test_headers_are_made_once_for_each_model() -> None:
    headers = ModelHeaders((("a", "b"),))
    assert headers.of("m") == (("a", "b"), (MODEL_HEADER, "m"))
    assert headers.of("m") is headers.of("m")


def test_no_number_of_models_makes_it_grow_for_ever() -> None:
    headers = ModelHeaders()
    for number in range(10_000):
        assert headers.of(f"m{number}") == ((MODEL_HEADER, f"m{number}"),)
    assert headers.of("m0") is headers.of("m0")
    assert headers.of("m9999") is not headers.of("m9999")


@given(st.text(max_size=30))
def test_what_is_said_is_what_grpc_sends(name: str) -> None:
    if is_sayable(name):
        assert all(" " <= char <= "~" for char in name)
        assert name == name.strip()
    else:
        assert ModelHeaders().of(name) == ()


def _specified(message: Any, name: str) -> Any:
    message.model_spec.name = name
    return message


@pytest.mark.parametrize(
    "request_",
    [
        service_pb2.ModelInferRequest(model_name="m"),
        service_pb2.ModelMetadataRequest(name="m"),
        _specified(predict_pb2.PredictRequest(), "m"),
        inference_pb2.MultiInferenceRequest(tasks=[_specified(inference_pb2.InferenceTask(), "m")]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_tells_its_model(request_: Any) -> None:
    assert model_of(request_) == "m"


@pytest.mark.parametrize(
    "nothing", [service_pb2.ServerLiveRequest(), inference_pb2.MultiInferenceRequest(), b"x"]
)
def test_a_message_about_no_model_tells_none(nothing: Any) -> None:
    assert model_of(nothing) == ""


def test_stubs_of_others_say_their_model(server: FakeServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.intercept_channel(channel, interceptor()))
        stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="m"), metadata=(("a", "b"),))
        stub.ServerLive(service_pb2.ServerLiveRequest())
        stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="m"), metadata=((MODEL_HEADER, "own"),))
    assert said(server) == ["m", None, "own"]
    assert server.headers[0]["a"] == "b"


def test_stubs_of_tensorflow_serving_and_streams_say_theirs() -> None:
    seen: list[Any] = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> None:
            seen.append(dict(details.invocation_metadata or ()).get(MODEL_HEADER))

    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1, "fake"), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            told = grpc.intercept_channel(channel, interceptor())
            stub = prediction_service_pb2_grpc.PredictionServiceStub(told)
            with pytest.raises(grpc.RpcError):
                stub.Predict(_specified(predict_pb2.PredictRequest(), "m"), timeout=20)
            for made in (interceptor(), interceptor("s")):
                streams = service_pb2_grpc.GRPCInferenceServiceStub(grpc.intercept_channel(channel, made))
                with pytest.raises(grpc.RpcError):
                    list(streams.ModelStreamInfer(iter(()), timeout=20))
    finally:
        server.stop(0).wait()
    assert seen == ["m", None, "s"]


def test_stubs_of_asyncio_say_their_model(server: FakeServer) -> None:
    async def call() -> None:
        async with grpc.aio.insecure_channel(
            server.address, interceptors=async_model_header_interceptors()
        ) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            await stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="m"))

    asyncio.run(call())
    assert said(server) == ["m"]


def test_a_name_that_no_header_can_hold_is_no_name_for_an_interceptor() -> None:
    with pytest.raises(ValueError, match="no header can hold"):
        interceptor(ODD)


PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", [0, 1])
def test_the_lines_of_the_page_say_the_model(number: int, server: FakeServer) -> None:
    assert len(blocks()) == 2
    server.models["flowers"] = model()
    exec(blocks()[number].replace("127.0.0.1:8080", server.address), {})
    assert said(server) == ["flowers"]
