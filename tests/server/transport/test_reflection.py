"""Reflection under both of its names, over the real services of both protocols."""

from __future__ import annotations

from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection_pb2

from hotgraph_server.models.registry import Registry
from hotgraph_server.protocols.tfs import prediction, status
from hotgraph_server.protocols.v2 import service as v2

from .conftest import PATIENCE_S, Connect, Serve

NAMES = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
PROTOCOLS = [
    "inference.GRPCInferenceService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
]


@pytest.fixture
def channel(serve: Serve, connect: Connect) -> grpc.Channel:
    """To a server of both protocols, which has no models."""
    registry = Registry()
    return connect(
        serve(
            v2.service(registry, lambda: True),
            prediction.service(registry),
            # What there is to be asked about is nobody's question here.
            status.service(cast(Any, None), lambda _: None, None),
        )
    )


def ask(channel: grpc.Channel, name: str, **question: Any) -> Any:
    method = channel.stream_stream(
        f"/{name}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (response,) = method(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=PATIENCE_S)
    return response


def files(response: Any) -> list[FileDescriptorProto]:
    serialized = response.file_descriptor_response.file_descriptor_proto
    return [FileDescriptorProto.FromString(one) for one in serialized]


@pytest.mark.parametrize("name", NAMES)
class TestReflection:
    def test_every_service_is_listed(self, channel: grpc.Channel, name: str) -> None:
        listed = ask(channel, name, list_services="").list_services_response.service
        assert {one.name for one in listed} == {*PROTOCOLS, health.SERVICE_NAME, *NAMES}

    @pytest.mark.parametrize("service", PROTOCOLS)
    def test_file_of_a_service_comes_with_all_that_a_tool_needs(
        self, channel: grpc.Channel, name: str, service: str
    ) -> None:
        """As grpcurl does: ask for the symbol, then for what its file imports, and build it all."""
        known: dict[str, FileDescriptorProto] = {}
        wanted = files(ask(channel, name, file_containing_symbol=service))
        while wanted:
            file = wanted.pop()
            known[file.name] = file
            for imported in file.dependency:
                if imported not in known:
                    wanted += files(ask(channel, name, file_by_filename=imported))
        pool = DescriptorPool()
        build(pool, known, next(file for file in known.values() if defines(file, service)))
        described = pool.FindServiceByName(service)
        assert described.methods

    def test_unknown_symbol_is_an_error_and_the_stream_goes_on(
        self, channel: grpc.Channel, name: str
    ) -> None:
        response = ask(channel, name, file_containing_symbol="no.Such")
        assert response.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def defines(file: FileDescriptorProto, service: str) -> bool:
    return any(f"{file.package}.{one.name}" == service for one in file.service)


def build(pool: DescriptorPool, known: dict[str, FileDescriptorProto], file: FileDescriptorProto) -> None:
    for imported in file.dependency:
        if imported in known:
            build(pool, known, known.pop(imported))
    pool.Add(file)


@pytest.mark.parametrize("name", NAMES)
def test_message_that_cannot_be_read_is_the_callers_mistake(
    channel: grpc.Channel, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    method: Any = channel.stream_stream(f"/{name}/ServerReflectionInfo")
    with pytest.raises(grpc.RpcError) as raised:
        next(method(iter([b"\xff\xff"]), timeout=PATIENCE_S))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not [record for record in caplog.records if record.exc_info]
