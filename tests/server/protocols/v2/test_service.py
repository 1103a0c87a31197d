"""GRPCInferenceService over models without TensorFlow: what is said, under which code."""

from __future__ import annotations

import math
from typing import Any

import grpc
import numpy as np
import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_protos.version import __version__
from hotgraph_server.errors import (
    CallError,
    InvalidCall,
    NotFound,
    NotReady,
    QueueFull,
)
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.v2 import service as v2
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import ENDINGS, Event
from hotgraph_server.transport.service import Service

from ..fakes import (
    PATIENCE_S,
    FakeGraph,
    FakeReply,
    Models,
    add_and_subtract,
    float_signature,
    identity,
    identity_signature,
    refuse_666,
    spec,
)


@pytest.fixture
def graph() -> FakeGraph:
    return FakeGraph(
        (float_signature(), refuse_666),
        (identity_signature(np.int64, None, name="other"), identity),
        unusable={"broken": "input 'r' is a resource"},
    )


@pytest.fixture
def version(models: Models, graph: FakeGraph) -> Version:
    """Version 3 of model "m": floats by default, `other` for integers."""
    return models.add("m", 3, graph)


@pytest.fixture
def service(models: Models, version: Version) -> Service:
    return v2.service(models.registry, lambda: True)


def request(x: float = 1, y: float = 2, **fields: Any) -> pb.ModelInferRequest:
    """A good call of model "m", unless `fields` say otherwise."""
    built = pb.ModelInferRequest(**{"model_name": "m", **fields})
    for name, value in (("x", x), ("y", y)):
        built.inputs.add(name=name, datatype="FP32", shape=[1, 2])
        built.raw_input_contents.append(np.full((1, 2), value, np.float32).tobytes())
    return built


def hand_in(service: Service, message: pb.ModelInferRequest, deadline: float = math.inf) -> FakeReply:
    reply = FakeReply(deadline)
    service.hot["ModelInfer"](message.SerializeToString(), reply)
    return reply


def infer(service: Service, message: pb.ModelInferRequest) -> pb.ModelInferResponse:
    return pb.ModelInferResponse.FromString(hand_in(service, message).answer())


def ask(service: Service, method: str, message: Any) -> Any:
    plain = service.plain[method]
    return plain.answer(plain.request.FromString(message.SerializeToString()))


class TestModelInfer:
    def test_answer_names_model_version_and_id_and_holds_all_outputs(self, service: Service) -> None:
        response = infer(service, request(5, 3, id="call-7"))
        assert (response.model_name, response.model_version, response.id) == ("m", "3", "call-7")
        assert [(out.name, out.datatype, list(out.shape)) for out in response.outputs] == [
            ("sum", "FP32", [1, 2]),
            ("difference", "FP32", [1, 2]),
        ]
        values = [np.frombuffer(raw, np.float32).tolist() for raw in response.raw_output_contents]
        assert values == [[8, 8], [2, 2]]

    def test_chosen_outputs_come_in_the_callers_order(self, service: Service) -> None:
        asked = request()
        for name in ("difference", "sum"):
            asked.outputs.add(name=name)
        response = infer(service, asked)
        assert [output.name for output in response.outputs] == ["difference", "sum"]
        assert np.frombuffer(response.raw_output_contents[0], np.float32).tolist() == [-1, -1]

    def test_answer_is_raw_even_if_the_request_was_typed(self, service: Service) -> None:
        asked = request()
        del asked.raw_input_contents[:]
        for tensor in asked.inputs:
            tensor.contents.fp32_contents.extend([1, 2])
        response = infer(service, asked)
        assert len(response.raw_output_contents) == 2
        assert not any(output.HasField("contents") for output in response.outputs)

    def test_parameter_chooses_the_signature(self, service: Service) -> None:
        asked = pb.ModelInferRequest(model_name="m", raw_input_contents=[np.int64(9).tobytes()])
        asked.inputs.add(name="x", datatype="INT64", shape=[1])
        asked.parameters["signature_name"].string_param = "other"
        assert infer(service, asked).raw_output_contents[0] == np.int64(9).tobytes()

    def test_version_may_be_named(self, service: Service) -> None:
        assert infer(service, request(model_version="3")).model_version == "3"

    def test_highest_version_answers_unless_another_is_named(self, models: Models, service: Service) -> None:
        models.add("m", 12, FakeGraph((float_signature(), add_and_subtract)))
        assert infer(service, request()).model_version == "12"
        assert infer(service, request(model_version="3")).model_version == "3"

    def test_version_that_loads_does_not_take_the_calls_of_the_one_before(
        self, models: Models, service: Service
    ) -> None:
        models.add("m", 12, FakeGraph((float_signature(), add_and_subtract)), live=False)
        assert infer(service, request()).model_version == "3"

    def test_parameter_of_perf_analyzer_is_accepted(self, service: Service) -> None:
        asked = request()
        asked.parameters["triton_enable_empty_final_response"].bool_param = True
        assert len(infer(service, asked).outputs) == 2

    def test_error_of_the_run_is_internal_with_tensorflows_text_and_the_id(self, service: Service) -> None:
        with pytest.raises(CallError) as raised:
            hand_in(service, request(666, id="call-7")).answer()
        assert raised.value.status is grpc.StatusCode.INTERNAL
        assert str(raised.value) == "[request id: call-7] 666 is not a number\n\t[[{{node x}}]]"

    def test_error_without_an_id_has_no_prefix_and_no_cause_but_its_own(self, service: Service) -> None:
        with pytest.raises(NotFound) as raised:
            hand_in(service, request(model_name="other"))
        assert str(raised.value) == "Request for unknown model: 'other' is not found"
        # An error that is its own cause is a cycle, which keeps the request's bytes until a collection.
        assert raised.value.__cause__ is not raised.value

    def test_error_with_an_id_keeps_code_and_pushback(
        self, models: Models, graph: FakeGraph, service: Service
    ) -> None:
        small = FakeGraph((float_signature(), add_and_subtract))
        models.add("small", 1, small, max_queued_calls=1)
        small.gate.clear()
        hold_first_run(service, small, model_name="small")
        waiting = hand_in(service, request(model_name="small"))
        with pytest.raises(QueueFull) as without:
            hand_in(service, request(model_name="small"))
        with pytest.raises(CallError) as raised:
            hand_in(service, request(model_name="small", id="7"))
        small.gate.set()
        assert raised.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert raised.value.retry_after_ms is not None
        assert raised.value.retry_after_ms == without.value.retry_after_ms
        assert str(raised.value) == (
            "[request id: 7] the queue of model 'small' version 1 is full: 1 calls wait, the limit is 1"
        )
        assert waiting.answer()


def hold_first_run(service: Service, graph: FakeGraph, **fields: Any) -> FakeReply:
    """With the graph's gate shut: a call that is inside the run when this returns."""
    reply = hand_in(service, request(**fields))
    assert graph.inside.wait(PATIENCE_S)
    return reply


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"model_name": "x"}, NotFound, "Request for unknown model: 'x' is not found"),
        ({"model_name": ""}, NotFound, "Request for unknown model: '' is not found"),
        ({"model_version": "99"}, NotFound, "Request for unknown model: 'm' version 99 is not found"),
        ({"model_name": "x", "model_version": "9"}, NotFound, "Request for unknown model: 'x' is not found"),
        (
            {"model_version": "abc"},
            InvalidCall,
            "failed to get model version from specified version string 'abc'",
        ),
        ({"model_version": "-1"}, InvalidCall, "invalid model version specified '-1'"),
        (
            {"model_version": "٣"},
            InvalidCall,
            "failed to get model version from specified version string '٣'",
        ),
        (
            {"model_version": "9" * 5000},
            InvalidCall,
            f"failed to get model version from specified version string '{'9' * 5000}'",
        ),
        (
            {"model_name": "coming"},
            NotReady,
            "Request for unknown model: model 'coming' version 1 is not at ready state",
        ),
    ],
)
class TestWhichVersion:
    def test_infer_says_why_there_is_no_version(
        self, models: Models, service: Service, fields: dict[str, Any], error: type[CallError], text: str
    ) -> None:
        models.add("coming", 1, FakeGraph(), live=False)
        with pytest.raises(error) as raised:
            hand_in(service, request(**fields))
        assert type(raised.value) is error
        assert str(raised.value) == text

    def test_metadata_says_the_same(
        self, models: Models, service: Service, fields: dict[str, Any], error: type[CallError], text: str
    ) -> None:
        models.add("coming", 1, FakeGraph(), live=False)
        named = {"name": fields.get("model_name", "m"), "version": fields.get("model_version", "")}
        with pytest.raises(error) as raised:
            ask(service, "ModelMetadata", pb.ModelMetadataRequest(**named))
        assert str(raised.value) == text


class TestWhichSignature:
    def test_unknown_one_is_told_beside_those_that_exist(self, service: Service) -> None:
        asked = request()
        asked.parameters["signature_name"].string_param = "nonesuch"
        with pytest.raises(InvalidCall) as raised:
            hand_in(service, asked)
        assert str(raised.value) == (
            "model 'm' has no signature 'nonesuch'; the request parameter 'signature_name' takes one of "
            "['other', 'serving_default']"
        )

    def test_one_that_cannot_be_called_is_told_with_the_reason(self, service: Service) -> None:
        asked = request()
        asked.parameters["signature_name"].string_param = "broken"
        with pytest.raises(
            InvalidCall, match="signature 'broken' of model 'm' cannot be called: input 'r' is"
        ):
            hand_in(service, asked)

    def test_model_without_a_default_one_says_how_to_choose(self, models: Models, service: Service) -> None:
        signatures = [identity_signature(np.float32, None, name=name) for name in ("a", "b")]
        models.add("two", 1, FakeGraph(*((signature, identity) for signature in signatures)))
        with pytest.raises(InvalidCall, match="model 'two' has no default signature; the request parameter"):
            hand_in(service, request(model_name="two"))


class TestServer:
    @pytest.mark.parametrize("ready", [True, False])
    def test_server_lives_and_is_ready_when_told(self, models: Models, ready: bool) -> None:
        service = v2.service(models.registry, lambda: ready)
        assert ask(service, "ServerLive", pb.ServerLiveRequest()).live
        assert ask(service, "ServerReady", pb.ServerReadyRequest()).ready is ready

    def test_metadata_has_the_extensions_that_perf_analyzer_asks_about(self, service: Service) -> None:
        metadata = ask(service, "ServerMetadata", pb.ServerMetadataRequest())
        assert (metadata.name, metadata.version) == ("hotgraph", __version__)
        assert {"statistics", "binary_tensor_data", "parameters"} <= set(metadata.extensions)
        assert "system_shared_memory" not in metadata.extensions, "it is off"

    def test_server_is_called_what_it_is_to_be_called(self, models: Models) -> None:
        service = v2.service(models.registry, lambda: True, server_name="triton")
        assert ask(service, "ServerMetadata", pb.ServerMetadataRequest()).name == "triton"

    @pytest.mark.parametrize(
        ("name", "number", "ready"),
        [("m", "", True), ("m", "3", True), ("m", "4", False), ("x", "", False), ("coming", "1", False)],
    )
    def test_model_is_ready_or_not_and_unknown_is_not(
        self, models: Models, service: Service, name: str, number: str, ready: bool
    ) -> None:
        models.add("coming", 1, FakeGraph(), live=False)
        assert ask(service, "ModelReady", pb.ModelReadyRequest(name=name, version=number)).ready is ready

    def test_readiness_of_a_version_that_is_no_number_is_refused(self, service: Service) -> None:
        with pytest.raises(InvalidCall, match="version string 'x'"):
            ask(service, "ModelReady", pb.ModelReadyRequest(name="m", version="x"))


class TestCudaSharedMemory:
    def test_nothing_is_registered_and_unregistering_is_always_right(self, service: Service) -> None:
        assert not ask(service, "CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest()).regions
        for name in ("", "x"):
            ask(service, "CudaSharedMemoryUnregister", pb.CudaSharedMemoryUnregisterRequest(name=name))

    def test_region_is_not_found_and_cannot_be_registered(self, service: Service) -> None:
        with pytest.raises(NotFound, match="Unable to find cuda shared memory region: 'x'"):
            ask(service, "CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest(name="x"))
        with pytest.raises(InvalidCall, match="failed to register CUDA shared memory region: 'x'"):
            ask(service, "CudaSharedMemoryRegister", pb.CudaSharedMemoryRegisterRequest(name="x"))


class TestModelConfig:
    def test_configuration_is_that_of_the_contract(self, version: Version, service: Service) -> None:
        version.contract = Contract(config=pb.ModelConfig(name="m", max_batch_size=8))
        for number in ("", "3"):
            response = ask(service, "ModelConfig", pb.ModelConfigRequest(name="m", version=number))
            assert response.config == version.contract.config

    def test_unknown_model_has_none(self, service: Service) -> None:
        with pytest.raises(NotFound, match="Request for unknown model: 'x' is not found"):
            ask(service, "ModelConfig", pb.ModelConfigRequest(name="x"))


class TestModelMetadata:
    def test_tensors_are_those_of_the_contract_where_there_is_one(
        self, version: Version, service: Service
    ) -> None:
        version.contract = Contract(
            config=None,
            signature="serving_default",
            batched=True,
            inputs={"y": TensorContract(dims=(1, 2), reshape=(2,))},
            outputs={"difference": TensorContract(dims=None), "sum": TensorContract(dims=(-1,))},
        )
        metadata = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="m"))
        assert [(one.name, list(one.shape)) for one in metadata.inputs] == [("y", [-1, 1, 2])]
        assert [(one.name, list(one.shape)) for one in metadata.outputs] == [
            ("difference", [-1]),
            ("sum", [-1, -1]),
        ]

    def test_contract_without_a_batch_dimension_shows_whole_shapes(
        self, version: Version, service: Service
    ) -> None:
        version.contract = Contract(
            config=None, signature="serving_default", inputs={"x": TensorContract(dims=(-1, 2))}
        )
        metadata = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="m"))
        assert list(metadata.inputs[0].shape) == [-1, 2]

    def test_metadata_is_that_of_the_default_signature(self, service: Service) -> None:
        metadata = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="m"))
        assert (metadata.name, list(metadata.versions)) == ("m", ["3"])
        assert metadata.platform == "tensorflow_savedmodel"
        described = [
            (one.name, one.datatype, list(one.shape)) for one in (*metadata.inputs, *metadata.outputs)
        ]
        assert described == [
            ("x", "FP32", [-1, 2]),
            ("y", "FP32", [-1, 2]),
            ("sum", "FP32", [-1, 2]),
            ("difference", "FP32", [-1, 2]),
        ]

    def test_properties_tell_the_other_signatures_and_what_is_batched(self, service: Service) -> None:
        metadata = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="m"))
        assert dict(metadata.properties) == {
            "signatures": "serving_default,other",
            "default_signature": "serving_default",
            "batching.serving_default": "batched: tried, not proven",
            "batching.other": "batched: tried, not proven",
            "inputs.serving_default": '[{"name": "x", "datatype": "FP32", "shape": [-1, 2]}, '
            '{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]',
            "inputs.other": '[{"name": "x", "datatype": "INT64", "shape": [-1]}]',
        }

    def test_reason_to_run_alone_is_told(self, models: Models, service: Service) -> None:
        scalar = models.add("scalar", 1, FakeGraph((identity_signature(np.float32), identity)))
        metadata = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="scalar"))
        reason = scalar.unbatched_reasons["serving_default"]
        assert reason
        assert metadata.properties["batching.serving_default"] == f"alone: {reason}"

    def test_all_versions_are_listed_unless_one_is_named(self, models: Models, service: Service) -> None:
        models.add("m", 12, FakeGraph((float_signature(), add_and_subtract)))
        everything = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="m"))
        assert list(everything.versions) == ["3", "12"]
        one = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="m", version="3"))
        assert list(one.versions) == ["3"]

    def test_model_without_a_default_signature_has_no_tensors_but_names_its_signatures(
        self, models: Models, service: Service
    ) -> None:
        signatures = [identity_signature(np.float32, None, name=name) for name in ("a", "b")]
        models.add("two", 1, FakeGraph(*((signature, identity) for signature in signatures)))
        metadata = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="two"))
        assert not metadata.inputs
        assert not metadata.outputs
        assert metadata.properties["signatures"] == "a,b"
        assert "default_signature" not in metadata.properties

    def test_dtype_that_the_protocol_cannot_carry_is_shown_as_invalid(
        self, models: Models, service: Service
    ) -> None:
        models.add("c", 1, FakeGraph((identity_signature(np.complex64, None), identity)))
        metadata = ask(service, "ModelMetadata", pb.ModelMetadataRequest(name="c"))
        assert metadata.inputs[0].datatype == "<invalid>"


class TestModelStatistics:
    def test_each_answered_call_counts_with_its_rows(self, service: Service) -> None:
        before = ask(service, "ModelStatistics", pb.ModelStatisticsRequest(name="m")).model_stats[0]
        infer(service, request())
        infer(service, request())
        after = ask(service, "ModelStatistics", pb.ModelStatisticsRequest(name="m", version="3")).model_stats[
            0
        ]
        assert (after.name, after.version) == ("m", "3")
        assert after.inference_count - before.inference_count == 2
        assert after.execution_count - before.execution_count == 2
        # perf_analyzer gives up unless this one rises.
        assert after.inference_stats.queue.count - before.inference_stats.queue.count == 2
        assert after.inference_stats.success.count - before.inference_stats.success.count == 2
        assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
        assert [(stat.batch_size, stat.compute_infer.count) for stat in after.batch_stats] == [(1, 2)]
        assert after.last_inference > 0

    def test_refused_run_counts_as_a_failure(self, service: Service) -> None:
        with pytest.raises(CallError, match="666"):
            hand_in(service, request(666)).answer()
        stats = ask(service, "ModelStatistics", pb.ModelStatisticsRequest(name="m")).model_stats[0]
        assert stats.inference_stats.fail.count == 1
        assert stats.inference_stats.success.count == 0

    def test_durations_are_parted_into_joining_the_graph_and_cutting(
        self, version: Version, service: Service
    ) -> None:
        version.statistics.add_run(
            "other", [1.0, 2.0], rows=5, started=3.0, ended=3.5, input_s=0.125, output_s=0.0625
        )
        (stats,) = ask(service, "ModelStatistics", pb.ModelStatisticsRequest(name="m")).model_stats
        parts = stats.inference_stats
        assert (parts.compute_input.count, parts.compute_input.ns) == (2, 250_000_000)
        assert (parts.compute_infer.count, parts.compute_infer.ns) == (2, 625_000_000)
        assert (parts.compute_output.count, parts.compute_output.ns) == (2, 125_000_000)
        (batch,) = stats.batch_stats
        assert (batch.batch_size, batch.compute_infer.count) == (5, 1)
        durations = (batch.compute_input.ns, batch.compute_infer.ns, batch.compute_output.ns)
        assert durations == (125_000_000, 312_500_000, 62_500_000)
        (index,) = stats.response_stats
        assert index == "0"
        assert stats.response_stats[index].success.count == 2
        assert not stats.memory_usage

    def test_memory_is_told_by_the_device_that_it_is_on(self, service: Service, version: Version) -> None:
        version.memory = MemoryUsage(5 << 20, 7 << 20, "/device:GPU:1")
        (stats,) = ask(
            service, "ModelStatistics", pb.ModelStatisticsRequest(name="m", version="3")
        ).model_stats
        assert [(one.type, one.id, one.byte_size) for one in stats.memory_usage] == [
            ("CPU", 0, 5 << 20),
            ("GPU", 1, 7 << 20),
        ]

    @pytest.mark.parametrize("event", sorted(ENDINGS, key=str))
    def test_call_that_was_never_run_counts_as_a_failure(
        self, version: Version, service: Service, event: Event
    ) -> None:
        version.statistics.count("other", event, 3)
        (stats,) = ask(service, "ModelStatistics", pb.ModelStatisticsRequest(name="m")).model_stats
        assert (stats.inference_stats.fail.count, stats.inference_stats.fail.ns) == (3, 0)
        cancelled = stats.response_stats["0"].cancel.count
        assert cancelled == (3 if event is Event.CANCELLED else 0)

    def test_answer_from_the_cache_is_a_success_without_a_run(
        self, version: Version, service: Service
    ) -> None:
        version.statistics.add_cache_hit("other", 0.5)
        version.statistics.add_cache_miss("other", 0.25)
        (stats,) = ask(service, "ModelStatistics", pb.ModelStatisticsRequest(name="m")).model_stats
        parts = stats.inference_stats
        assert (parts.success.count, parts.success.ns) == (1, 500_000_000)
        assert (parts.cache_hit.count, parts.cache_hit.ns) == (1, 500_000_000)
        assert (parts.cache_miss.count, parts.cache_miss.ns) == (1, 250_000_000)
        assert (stats.inference_count, stats.execution_count, parts.queue.count) == (0, 0, 0)

    def test_version_that_is_not_live_has_none_to_show(self, models: Models, service: Service) -> None:
        models.add("coming", 1, FakeGraph(), live=False)
        stats = ask(service, "ModelStatistics", pb.ModelStatisticsRequest()).model_stats
        assert [one.name for one in stats] == ["m"]

    def test_no_name_means_every_version_of_every_model(self, models: Models, service: Service) -> None:
        models.add("a", 1, FakeGraph((float_signature(), add_and_subtract)))
        models.add("m", 12, FakeGraph((float_signature(), add_and_subtract)))
        stats = ask(service, "ModelStatistics", pb.ModelStatisticsRequest()).model_stats
        assert [(one.name, one.version) for one in stats] == [("a", "1"), ("m", "12"), ("m", "3")]

    @pytest.mark.parametrize(
        ("name", "number", "text"),
        [
            ("x", "", "requested model 'x' is not available"),
            ("m", "9", "requested model version is not available for model 'm'"),
        ],
    )
    def test_unknown_model_or_version_is_an_invalid_argument(
        self, service: Service, name: str, number: str, text: str
    ) -> None:
        with pytest.raises(InvalidCall, match=text):
            ask(service, "ModelStatistics", pb.ModelStatisticsRequest(name=name, version=number))


def test_every_method_of_the_descriptor_is_answered(service: Service) -> None:
    described = service.descriptor.services_by_name["GRPCInferenceService"]
    assert described.full_name == service.name
    # What needs more than the registry is given by the server, and tested with it.
    given = {"RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload", "TraceSetting", "LogSettings"}
    answered = {*service.hot, *service.plain, *service.streaming}
    assert {method.name for method in described.methods} == answered | given
    for name, method in service.plain.items():
        assert method.request.DESCRIPTOR is described.methods_by_name[name].input_type


def test_output_that_the_protocol_cannot_carry_is_unimplemented(models: Models, service: Service) -> None:
    signature = Signature("serving_default", (spec("x", np.float32, None),), (spec("z", np.complex64, None),))
    models.add("c", 1, FakeGraph((signature, lambda x: {"z": x.astype(np.complex64)})))
    asked = pb.ModelInferRequest(model_name="c", raw_input_contents=[np.float32(1).tobytes()])
    asked.inputs.add(name="x", datatype="FP32", shape=[1])
    with pytest.raises(CallError) as raised:
        hand_in(service, asked).answer()
    assert raised.value.status is grpc.StatusCode.UNIMPLEMENTED
