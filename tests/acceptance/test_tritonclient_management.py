"""What is not inference, through tritonclient: metadata, configuration, statistics, traces, logs."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import (
    InferenceServerClient,
    InferInput,
    model_config_pb2,
    service_pb2,
    service_pb2_grpc,
)
from tritonclient.utils import InferenceServerException

from ..ports import free_port
from ..saved_models import SavedModels


@dataclass
class Served:
    """A server called "triton" with two models, which writes traces, and a client of it."""

    client: InferenceServerClient
    stub: Any
    address: str
    admin: str
    traces: Path

    def infer(self, model: str = "digits", rows: int = 1, request_id: str = "") -> None:
        (name,) = [one.name for one in self.client.get_model_metadata(model).inputs]
        tensor = InferInput(name, [rows, 784], "FP32")
        tensor.set_data_from_numpy(np.zeros(tensor.shape(), np.float32))
        self.client.infer(model, [tensor], request_id=request_id)


@contextmanager
def serving(fast_lane: bool, softmax: Path, traces: Path) -> Iterator[Served]:
    from hotgraph_server.commands.builtin import digits_model
    from hotgraph_server.server import Server, Stopped
    from hotgraph_server.settings import (
        AdminSettings,
        InferenceSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
        TraceSettings,
    )

    server = Server(
        ServerSettings(
            (ModelSettings("digits", digits_model()), ModelSettings("softmax", softmax)),
            ListenSettings(port=0, fast_lane=fast_lane),
            AdminSettings(admin_port=free_port()),
            RestSettings(rest_port=0),
            inference=InferenceSettings(server_name="triton"),
            tracing=TraceSettings(trace_file=str(traces)),
        )
    )
    server.start()
    admin = server.admin_address
    assert admin is not None
    with InferenceServerClient(server.address) as client, grpc.insecure_channel(server.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        yield Served(client, stub, server.address, admin, traces)
    assert server.stop() == Stopped(answered=True, ended=True)


@pytest.fixture(scope="module", params=["fast lane", "grpc's own way"])
def served(
    request: pytest.FixtureRequest, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    traces = tmp_path_factory.mktemp("traces") / "t.json"
    with serving(request.param == "fast lane", saved_models["tf1_softmax"], traces) as served:
        yield served


def refused(code: str, text: str) -> Any:
    return pytest.raises(InferenceServerException, match=rf"(?s)StatusCode\.{code}.*{text}")


class TestMetadata:
    def test_server_is_called_as_it_was_told_and_lists_what_it_can(self, served: Served) -> None:
        metadata = served.client.get_server_metadata()
        assert metadata.name == "triton"
        assert {
            *("classification", "sequence", "model_repository", "schedule_policy", "model_configuration"),
            *("binary_tensor_data", "parameters", "statistics", "trace", "logging"),
        } <= set(metadata.extensions)

    def test_server_and_its_models_are_ready(self, served: Served) -> None:
        client = served.client
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("digits")
        assert client.is_model_ready("digits", "1")
        assert not client.is_model_ready("digits", "2")
        assert not client.is_model_ready("nonesuch")
        with refused("INVALID_ARGUMENT", "failed to get model version from specified version string 'abc'"):
            client.is_model_ready("digits", "abc")

    def test_configuration_of_a_model_that_brings_none_is_complete(self, served: Served) -> None:
        config = served.client.get_model_config("digits").config
        assert (config.name, config.platform, config.backend) == (
            *("digits", "tensorflow_savedmodel", "tensorflow"),
        )
        (tensor,) = config.input
        assert tensor.data_type == model_config_pb2.TYPE_FP32
        assert config.output
        assert config.version_policy.WhichOneof("policy_choice") == "latest"

    def test_unknown_model_has_no_configuration(self, served: Served) -> None:
        with refused("NOT_FOUND", "Request for unknown model: 'x' is not found"):
            served.client.get_model_config("x")


class TestStatistics:
    def test_calls_rows_and_runs_are_counted_with_their_times(self, served: Served) -> None:
        def now() -> Any:
            (found,) = served.client.get_inference_statistics("softmax").model_stats
            return found

        before = now()
        served.infer("softmax", rows=3)
        after = now()
        assert after.inference_count - before.inference_count == 3
        assert after.execution_count - before.execution_count == 1
        for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
            earlier, later = (getattr(stats.inference_stats, part) for stats in (before, after))
            assert later.count - earlier.count == 1, part
            assert later.ns > earlier.ns, part
        assert {size.batch_size for size in after.batch_stats} >= {3}
        assert after.last_inference >= before.last_inference

    def test_without_a_name_every_ready_model_is_there(self, served: Served) -> None:
        stats = served.client.get_inference_statistics().model_stats
        assert [one.name for one in stats] == ["digits", "softmax"]

    def test_unknown_model_is_an_invalid_argument(self, served: Served) -> None:
        with refused("INVALID_ARGUMENT", "requested model 'x' is not available"):
            served.client.get_inference_statistics("x")


class TestTraces:
    def test_settings_are_shown_changed_and_taken_back(self, served: Served) -> None:
        client = served.client
        before = client.get_trace_settings(as_json=True)["settings"]
        assert before["trace_level"] == {"value": ["OFF"]}
        assert before["trace_rate"] == {"value": ["1000"]}
        assert before["trace_file"] == {"value": [str(served.traces)]}
        client.update_trace_settings("digits", {"trace_rate": "7"})
        client.update_trace_settings(settings={"trace_rate": 9 * "9", "log_frequency": "3"})
        assert client.get_trace_settings("digits", as_json=True)["settings"]["trace_rate"] == {"value": ["7"]}
        client.update_trace_settings("digits", {"trace_rate": None})
        assert client.get_trace_settings("digits").settings["trace_rate"].value == [9 * "9"]
        client.update_trace_settings(settings={"trace_rate": None, "log_frequency": None})
        assert client.get_trace_settings(as_json=True)["settings"] == before

    @pytest.mark.parametrize(
        ("settings", "code", "text"),
        [
            ({"trace_file": "x"}, "UNIMPLEMENTED", "can not be updated through network protocol"),
            ({"trace_rate": "x"}, "INVALID_ARGUMENT", "Unable to parse 'trace_rate', got: x"),
            ({"trace_rate": ["1", "2"]}, "INVALID_ARGUMENT", "expect only 1 value for 'trace_rate'"),
            ({"trace_level": ["OFF", "TENSORS"]}, "INVALID_ARGUMENT", "Expect only one trace level 'OFF'"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, served: Served, settings: dict[str, Any], code: str, text: str
    ) -> None:
        with refused(code, text):
            served.client.update_trace_settings(settings=settings)

    def test_unknown_model_has_no_settings(self, served: Served) -> None:
        with refused("INVALID_ARGUMENT", "Request for unknown model : x"):
            served.client.get_trace_settings("x")

    @pytest.mark.parametrize("fast_lane", [True, False])
    def test_traced_calls_are_in_the_file_with_their_times_and_tensors(
        self, saved_models: SavedModels, tmp_path: Path, fast_lane: bool
    ) -> None:
        with serving(fast_lane, saved_models["tf1_softmax"], tmp_path / "t.json") as served:
            client = served.client
            level = ["TIMESTAMPS", "TENSORS"]
            client.update_trace_settings(
                "digits", {"trace_level": level, "trace_rate": "1", "trace_count": "2"}
            )
            for request_id in ("a", "b", "c"):
                served.infer(request_id=request_id)
                served.infer("softmax")
            assert client.get_trace_settings("digits").settings["trace_count"].value == ["0"]
        entries = json.loads((tmp_path / "t.json").read_text())
        named = [(one["model_name"], one["request_id"]) for one in entries if "model_name" in one]
        assert named == [("digits", "a"), ("digits", "b")]
        stamps = next(entry["timestamps"] for entry in entries if "timestamps" in entry)
        assert [stamp["name"] for stamp in stamps] == [
            *("GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "REQUEST_START", "QUEUE_START"),
            *("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"),
            *("INFER_RESPONSE_COMPLETE", "REQUEST_END", "GRPC_SEND_START", "GRPC_SEND_END"),
        ]
        tensors = [entry for entry in entries if "tensor" in entry]
        assert {entry["activity"] for entry in tensors} == {"TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_OUTPUT"}
        assert tensors[0]["tensor"]["shape"] == "1,784"
        assert len(tensors[0]["tensor"]["data"].split(",")) == 784

    def test_calls_in_a_stream_are_traced_too(self, saved_models: SavedModels, tmp_path: Path) -> None:
        with serving(True, saved_models["tf1_softmax"], tmp_path / "t.json") as served:
            served.client.update_trace_settings(settings={"trace_level": "TIMESTAMPS", "trace_rate": "1"})
            request = service_pb2.ModelInferRequest(model_name="softmax", id="s")
            request.inputs.add(name="x", datatype="FP32", shape=[1, 784])
            request.raw_input_contents.append(bytes(4 * 784))
            (answer,) = served.stub.ModelStreamInfer(iter([request]))
            assert not answer.error_message
        about, stamps = json.loads((tmp_path / "t.json").read_text())
        assert (about["model_name"], about["request_id"]) == ("softmax", "s")
        assert stamps["timestamps"][-1]["name"] == "GRPC_SEND_END"


class TestLogs:
    def test_settings_are_shown_changed_and_hold(self, served: Served) -> None:
        client, ours = served.client, logging.getLogger("hotgraph_server")
        before = client.get_log_settings(as_json=True)["settings"]
        assert before.keys() == {
            *("log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format"),
        }
        try:
            changed = client.update_log_settings({"log_verbose_level": 3, "log_format": "ISO8601"})
            assert changed.settings["log_verbose_level"].uint32_param == 3
            assert ours.isEnabledFor(logging.DEBUG)
            client.update_log_settings({"log_verbose_level": 0, "log_info": False})
            assert not ours.isEnabledFor(logging.INFO)
            assert client.get_log_settings().settings["log_format"].string_param == "ISO8601"
        finally:
            client.update_log_settings({"log_verbose_level": 0, "log_info": True, "log_format": "default"})
        assert ours.isEnabledFor(logging.INFO)

    def test_what_cannot_be_is_refused(self, served: Served) -> None:
        with refused("UNIMPLEMENTED", "log file location can not be updated through network protocol"):
            served.client.update_log_settings({"log_file": "x"})
        with refused("INVALID_ARGUMENT", "invalid argument for log_format, got: xml"):
            served.client.update_log_settings({"log_format": "xml"})
        request = service_pb2.LogSettingsRequest()
        request.settings["log_info"].string_param = "yes"
        with pytest.raises(grpc.RpcError, match="expect boolean for 'log_info'") as raised:
            served.stub.LogSettings(request)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class TestCudaSharedMemory:
    def test_server_answers_as_one_without_a_gpu(self, served: Served) -> None:
        client = served.client
        assert not client.get_cuda_shared_memory_status().regions
        client.unregister_cuda_shared_memory()
        client.unregister_cuda_shared_memory("x")
        with refused("INVALID_ARGUMENT", "failed to register CUDA shared memory region: 'x'"):
            client.register_cuda_shared_memory("x", b"aGFuZGxl", 0, 8)


def test_reflection_lists_every_method_and_the_file_of_the_configuration(served: Served) -> None:
    with grpc.insecure_channel(served.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest
        asked = [
            ask(file_containing_symbol="inference.GRPCInferenceService"),
            ask(file_containing_symbol="inference.ModelConfig"),
        ]
        service, config = (
            [
                FileDescriptorProto.FromString(file)
                for file in answer.file_descriptor_response.file_descriptor_proto
            ]
            for answer in stub.ServerReflectionInfo(iter(asked))
        )
    (methods,) = [one.method for file in service for one in file.service]
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    assert {method.name for method in methods} == set(theirs)
    assert "ModelConfig" in {message.name for file in config for message in file.message_type}


def test_every_method_is_answered_by_somebody(served: Served) -> None:
    """None is unknown to the transport, whatever it says to an empty request."""
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    assert len(theirs) == 20
    for method in theirs:
        call = getattr(served.stub, method.name)
        request = method.input_type._concrete_class()
        try:
            answers = call(iter([request])) if method.client_streaming else [call(request)]
            list(answers)
        except grpc.RpcError as error:
            details = error.details() or ""
            assert "method" not in details.lower(), (method.name, details)


def test_metrics_under_tritons_names_are_at_the_admin_port(served: Served) -> None:
    served.infer()
    with urllib.request.urlopen(f"http://{served.admin}/metrics", timeout=60) as page:
        text = page.read().decode()
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith('nv_inference_request_success{model="digits",version="1"}')
    ]
    assert float(line.split()[-1]) >= 1
    assert "nv_inference_first_response_histogram_ms_bucket" in text
    assert "hotgraph_calls_total" in text
