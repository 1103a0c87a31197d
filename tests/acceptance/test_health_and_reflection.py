"""The standard services, called with the stubs of grpc's own packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

SERVICES = {
    "inference.GRPCInferenceService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "grpc.health.v1.Health",
    "xds.service.orca.v3.OpenRcaService",
}


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture(scope="module")
def health(channel: grpc.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


def asked(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


class TestHealth:
    @pytest.mark.parametrize("service", ["", "digits", "counter", "inference.GRPCInferenceService"])
    def test_server_models_and_services_are_serving(self, health: Any, service: str) -> None:
        assert health.Check(asked(service)).status == SERVING

    def test_unknown_service_is_not_found(self, health: Any) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(asked("nobody"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    @pytest.mark.parametrize(
        ("service", "status"), [("", SERVING), ("digits", SERVING), ("nobody", SERVICE_UNKNOWN)]
    )
    def test_watch_says_the_present_status_first(self, health: Any, service: str, status: Any) -> None:
        watch = health.Watch(asked(service))
        assert next(watch).status == status
        watch.cancel()

    def test_answers_while_a_run_is_held_and_watchers_stay(
        self, address: str, health: Any, held_run: Callable[[str], Any]
    ) -> None:
        watches = [health.Watch(asked("gated")) for _ in range(20)]
        with held_run(address):
            assert [next(watch).status for watch in watches] == [SERVING] * 20
            assert health.Check(asked("gated")).status == SERVING
        for watch in watches:
            watch.cancel()


@pytest.fixture(params=["v1", "v1alpha"])
def reflect(request: pytest.FixtureRequest, channel: grpc.Channel) -> Callable[..., Any]:
    """Asks one question of the reflection service, under either name; both have the same messages."""
    method = channel.stream_stream(
        f"/grpc.reflection.{request.param}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    def ask(**question: Any) -> Any:
        (answer,) = method(iter([reflection_pb2.ServerReflectionRequest(**question)]))
        return answer

    return ask


def test_stub_of_grpc_s_own_package_lists_the_services(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]))
    assert {service.name for service in answer.list_services_response.service} >= SERVICES


class TestReflection:
    def test_lists_all_services(self, reflect: Callable[..., Any]) -> None:
        answer = reflect(list_services="")
        names = {service.name for service in answer.list_services_response.service}
        assert names >= SERVICES
        assert any(name.startswith("grpc.reflection.") for name in names)

    @pytest.mark.parametrize("service", sorted(SERVICES))
    def test_gives_the_file_of_each_service_and_all_that_it_imports(
        self, reflect: Callable[..., Any], service: str
    ) -> None:
        wanted = [{"file_containing_symbol": service}]
        files: dict[str, FileDescriptorProto] = {}
        while wanted:
            answer = reflect(**wanted.pop())
            assert not answer.HasField("error_response"), answer
            for raw in answer.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(raw)
                files[file.name] = file
            missing = {name for file in files.values() for name in file.dependency} - set(files)
            wanted = [{"file_by_filename": name} for name in sorted(missing)[:1]]
        defined = {f"{file.package}.{each.name}" for file in files.values() for each in file.service}
        assert service in defined

    def test_gives_the_file_of_a_message(self, reflect: Callable[..., Any]) -> None:
        answer = reflect(file_containing_symbol="inference.ModelInferRequest")
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        assert any("ModelInferRequest" in {message.name for message in file.message_type} for file in files)

    @pytest.mark.parametrize(
        "question", [{"file_containing_symbol": "no.Such"}, {"file_by_filename": "no.proto"}]
    )
    def test_unknown_symbol_or_file_is_not_found(
        self, reflect: Callable[..., Any], question: dict[str, str]
    ) -> None:
        answer = reflect(**question)
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
