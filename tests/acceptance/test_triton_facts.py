"""What a user of Triton may take for granted and no other file here shows, against a server over a repository
of `config.pbtxt` files: versions, the batcher's queue policies, sequences, loads that contradict themselves,
traces and logs. In the order of the protocol."""

from __future__ import annotations

import functools
import json
import queue
import shutil
import struct
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import InferenceServerClient, InferRequestedOutput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from ..ports import free_port
from ..saved_models import SavedModels
from .command import serve
from .triton_tensors import tensor

PATIENCE_S = 60.0
Hold = Callable[..., AbstractContextManager[None]]

QUEUES = {
    "full": "default_queue_policy { max_queue_size: 2 }",
    "late": "default_queue_policy { default_timeout_microseconds: 300000 allow_timeout_override: true }",
    "steady": "default_queue_policy { default_timeout_microseconds: 3600000000 }",
    "untimed": "default_queue_policy { allow_timeout_override: true }",
    "delaying": "default_queue_policy { default_timeout_microseconds: 1 timeout_action: DELAY }",
    "levels": """priority_levels: 3 default_priority_level: 2
        priority_queue_policy { key: 3 value { max_queue_size: 1 } }""",
    "preferring": "preferred_batch_size: [2, 4]",
    "ordered": "preserve_ordering: true",
    "free": "",
}

SEQUENCES = """
max_batch_size: {rows}
input {{ name: "x" data_type: TYPE_FP32 dims: [{free}1] }}
output {{ name: "sum" data_type: TYPE_FP32 dims: [{free}1] }}
sequence_batching {{
  max_sequence_idle_microseconds: 60000000
  {strategy} {{ }}
  control_input {{ name: "START" control {{ kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] }} }}
  control_input {{ name: "END" control {{ kind: CONTROL_SEQUENCE_END int32_false_true: [0, 1] }} }}
  control_input {{ name: "READY" control {{ kind: CONTROL_SEQUENCE_READY int32_false_true: [0, 1] }} }}
  control_input {{ name: "CORRID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 }} }}
  state {{
    input_name: "sum_in" output_name: "sum_out" data_type: TYPE_FP32 dims: [{free}1]
    initial_state {{ name: "begin" data_type: TYPE_FP32 dims: [1] {initial} }}
  }}
}}
"""
BEGINS = {"zero_data: true": 0.0, 'data_file: "hundred"': 100.0}


@dataclass
class Served:
    """A server with an admin port, under explicit control over a repository."""

    client: InferenceServerClient
    stub: Any
    channel: grpc.Channel
    address: str
    admin: str

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of that name with these labels."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=PATIENCE_S) as page:
            text = page.read().decode()
        found = [
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith(f"{name}{{")
            and all(f'{key}="{value}"' in line for key, value in labels.items())
        ]
        assert found, f"no series {name} {labels}"
        return sum(found)

    def wait_for_metric(self, value: float, name: str, **labels: str) -> None:
        while self.metric(name, **labels) != value:
            pass

    def statistics(self, model: str) -> Any:
        (found,) = self.client.get_inference_statistics(model).model_stats
        return found


@pytest.fixture(scope="module")
def served(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("repository")

    def add(name: str, of: str, config: str, versions: tuple[str, ...] = ("1",)) -> None:
        for version in versions:
            shutil.copytree(saved_models[of], root / name / version / "model.savedmodel")
        (root / name / "config.pbtxt").write_text(config)

    for name, policy in QUEUES.items():
        add(name, "gated", f"max_batch_size: 8 dynamic_batching {{ {policy} }}")
    for name, rows, strategy, initial in (
        ("oldest", 8, "oldest", "zero_data: true"),
        ("direct", 4, "direct", "zero_data: true"),
        ("begun", 8, "oldest", 'data_file: "hundred"'),
    ):
        text = SEQUENCES.format(rows=rows, free="", strategy=strategy, initial=initial)
        add(name, "running_sum", text)
    (root / "begun" / "initial_state").mkdir()
    (root / "begun" / "initial_state" / "hundred").write_bytes(struct.pack("<f", 100))
    # Without a batch dimension dims are whole shapes.
    whole = SEQUENCES.format(rows=0, free="-1, ", strategy="oldest", initial="zero_data: true")
    add("unbatched", "running_sum", whole.replace("dims: [1] zero_data", "dims: [1, 1] zero_data"))
    add("pair", "two_in_two_out", "max_batch_size: 4 version_policy { all { } }", ("1", "2", "010", "10"))
    add("one_way", "two_in_two_out", "max_batch_size: 4 model_transaction_policy { decoupled: true }")
    add("ids", "embedding", "max_batch_size: 4")
    port = free_port()
    flags = ("--model-control", "explicit", "--load-model", "*", "--port", "0", "--admin-port", str(port))
    with (
        serve("--repository", str(root), *flags) as serving,
        InferenceServerClient(serving.address) as client,
        grpc.insecure_channel(serving.address) as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        yield Served(client, stub, channel, serving.address, f"127.0.0.1:{port}")


def refused(code: str, text: str) -> Any:
    return pytest.raises(InferenceServerException, match=rf"(?s)StatusCode\.{code}.*{text}")


def doubling(model: str, rows: int = 1, **numbers: int) -> Any:
    """A call of a model made of `gated`, with parameters."""
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[bytes(8 * rows)])
    request.inputs.add(name="x", datatype="FP32", shape=[rows, 2])
    for name, value in numbers.items():
        request.parameters[name].int64_param = value
    return request


def pair(model: str = "pair", **fields: Any) -> Any:
    """A call of a model made of `two_in_two_out`."""
    request = service_pb2.ModelInferRequest(
        model_name=model, raw_input_contents=[bytes(12), bytes(12)], **fields
    )
    request.inputs.add(name="a", datatype="FP32", shape=[1, 3])
    request.inputs.add(name="b", datatype="INT32", shape=[1, 3])
    return request


class TestVersions:
    def test_a_call_without_a_version_is_answered_by_the_highest(self, served: Served) -> None:
        assert served.stub.ModelInfer(pair()).model_version == "10"
        assert served.stub.ModelInfer(pair(model_version="2")).model_version == "2"

    def test_metadata_lists_the_versions_or_the_one_that_was_asked_for(self, served: Served) -> None:
        assert list(served.client.get_model_metadata("pair").versions) == ["1", "2", "10"]
        assert list(served.client.get_model_metadata("pair", "2").versions) == ["2"]

    @pytest.mark.parametrize(
        "ask",
        ["is_model_ready", "get_model_metadata", "get_model_config", "get_inference_statistics"],
    )
    @pytest.mark.parametrize(
        ("version", "text"),
        [
            ("abc", "failed to get model version from specified version string 'abc'"),
            ("2x", "failed to get model version from specified version string '2x'"),
            ("-1", "invalid model version specified '-1'"),
        ],
    )
    def test_what_is_no_version_is_an_invalid_argument_everywhere(
        self, served: Served, ask: str, version: str, text: str
    ) -> None:
        with refused("INVALID_ARGUMENT", text):
            getattr(served.client, ask)("pair", version)

    @pytest.mark.parametrize("ask", ["get_model_metadata", "get_model_config"])
    def test_a_version_that_is_not_there_is_not_found(self, served: Served, ask: str) -> None:
        with refused("NOT_FOUND", "Request for unknown model: 'pair' version 99 is not found"):
            getattr(served.client, ask)("pair", "99")
        assert not served.client.is_model_ready("pair", "99")

    def test_statistics_of_it_are_an_invalid_argument(self, served: Served) -> None:
        with refused("INVALID_ARGUMENT", "requested model version is not available for model 'pair'"):
            served.client.get_inference_statistics("pair", "99")

    def test_statistics_are_of_each_version(self, served: Served) -> None:
        found = served.client.get_inference_statistics("pair").model_stats
        assert {(one.name, one.version) for one in found} == {("pair", "1"), ("pair", "2"), ("pair", "10")}
        (one,) = served.client.get_inference_statistics("pair", "2").model_stats
        assert one.version == "2"


class TestCalls:
    def test_a_model_of_many_answers_is_called_in_streams_only(self, served: Served) -> None:
        with pytest.raises(grpc.RpcError, match="models with decoupled transaction policy") as caught:
            served.stub.ModelInfer(pair("one_way"))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        (answer,) = served.stub.ModelStreamInfer(iter([pair("one_way", id="q")]))
        assert (answer.error_message, answer.infer_response.id) == ("", "q")
        assert answer.infer_response.parameters["triton_final_response"].bool_param

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("mine", {"double_param": 0.5}),
            ("mine", {"bool_param": True}),
            ("mine", {"string_param": ""}),
            ("priority", {"uint64_param": 2**63}),
            ("priority", {"int64_param": 9}),
            ("sequence_id", {"string_param": "z"}),
            ("sequence_start", {"bool_param": True}),
        ],
    )
    def test_parameters_that_change_nothing_are_taken(
        self, served: Served, name: str, value: dict[str, Any]
    ) -> None:
        request = pair()
        request.parameters[name].CopyFrom(service_pb2.InferParameter(**value))
        assert len(served.stub.ModelInfer(request).outputs) == 2

    def test_raw_contents_beyond_the_inputs_are_ignored(self, served: Served) -> None:
        request = pair()
        request.raw_input_contents.append(b"surplus")
        assert len(served.stub.ModelInfer(request).outputs) == 2

    def test_more_classes_than_there_are_means_all(self, served: Served) -> None:
        inputs = [tensor("a", np.zeros((1, 3), np.float32)), tensor("b", np.zeros((1, 3), np.int32))]
        answer = served.client.infer("pair", inputs, outputs=[InferRequestedOutput("sum", class_count=99)])
        assert answer.as_numpy("sum").shape == (1, 3)

    def test_an_error_of_tensorflow_is_internal_with_its_words_and_the_id(self, served: Served) -> None:
        with refused("INTERNAL", r"\[request id: r1\] .*assertion failed"):
            served.client.infer("ids", [tensor("id", np.array([99], np.int32))], request_id="r1")
        failed = served.statistics("ids").inference_stats.fail
        assert failed.count == 1
        assert served.metric("nv_inference_request_failure", model="ids", reason="BACKEND") == 1


class TestQueuePolicies:
    """A run is held shut, so that what comes after it has to wait."""

    def test_a_full_queue_refuses_at_once_and_is_counted(self, served: Served, held_run: Hold) -> None:
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with held_run(served.address, "full"):
            calls = [served.stub.ModelInfer.future(doubling("full")) for _ in range(5)]
            for call in calls:
                call.add_done_callback(ended.put)
            refusals = [ended.get(timeout=PATIENCE_S) for _ in range(3)]
            assert {call.code() for call in refusals} == {grpc.StatusCode.UNAVAILABLE}
            assert all("Exceeds maximum queue size" in call.details() for call in refusals)
            assert served.statistics("full").inference_stats.fail.count == 3
            assert served.metric("nv_inference_request_failure", model="full", reason="REJECTED") == 3
            assert served.metric("nv_inference_pending_request_count", model="full") == 2
        for call in set(calls) - set(refusals):
            assert call.result(PATIENCE_S).outputs[0].shape == [1, 2]

    def test_a_call_that_has_waited_too_long_ends_while_the_run_goes_on(
        self, served: Served, held_run: Hold
    ) -> None:
        with held_run(served.address, "late"):
            # The third asks for more than the policy gives.
            for numbers in ({}, {"timeout": 50_000}, {"timeout": 10**9}):
                call = served.stub.ModelInfer.future(doubling("late", **numbers))
                error = call.exception(PATIENCE_S)
                assert error.code() is grpc.StatusCode.UNAVAILABLE
                assert "Request timeout expired" in error.details()
        assert served.metric("hotgraph_refused_calls_total", model="late", reason="queue_timeout") == 3
        assert served.metric("nv_inference_request_failure", model="late", reason="REJECTED") == 3

    @pytest.mark.parametrize("model", ["steady", "untimed"])
    def test_a_calls_own_timeout_counts_only_where_the_policy_lets_it(
        self, served: Served, held_run: Hold, model: str
    ) -> None:
        with held_run(served.address, model):
            call = served.stub.ModelInfer.future(doubling(model, timeout=1))
            served.wait_for_metric(1, "nv_inference_pending_request_count", model=model)
        assert call.result(PATIENCE_S).outputs[0].shape == [1, 2]

    def test_without_a_policy_it_is_a_deadline(self, served: Served, held_run: Hold) -> None:
        with held_run(served.address, "free"):
            error = served.stub.ModelInfer.future(doubling("free", timeout=50_000)).exception(PATIENCE_S)
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    def test_a_delayed_call_is_answered_in_the_end(self, served: Served, held_run: Hold) -> None:
        with held_run(served.address, "delaying"):
            call = served.stub.ModelInfer.future(doubling("delaying"))
            served.wait_for_metric(1, "nv_inference_pending_request_count", model="delaying")
        assert call.result(PATIENCE_S).outputs[0].shape == [1, 2]
        assert served.metric("hotgraph_delayed_calls_total", model="delaying") == 1

    def test_each_level_has_its_own_policy_and_what_is_no_level_is_the_default(
        self, served: Served, held_run: Hold
    ) -> None:
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with held_run(served.address, "levels"):
            calls = [served.stub.ModelInfer.future(doubling("levels", priority=3)) for _ in range(3)]
            for call in calls:
                call.add_done_callback(ended.put)
            refusals = [ended.get(timeout=PATIENCE_S) for _ in range(2)]
            assert all("Exceeds maximum queue size" in call.details() for call in refusals)
            calls += [
                served.stub.ModelInfer.future(doubling("levels", priority=priority))
                for priority in (0, 1, 2, 9, 9)
            ]
            served.wait_for_metric(6, "nv_inference_pending_request_count", model="levels")
        for call in set(calls) - set(refusals):
            assert call.result(PATIENCE_S).outputs[0].shape == [1, 2]

    def test_batches_have_preferred_sizes_and_the_rest_goes_as_it_is(
        self, served: Served, held_run: Hold
    ) -> None:
        def runs() -> dict[int, int]:
            sizes = served.statistics("preferring").batch_stats
            return {size.batch_size: size.compute_infer.count for size in sizes}

        before = runs()
        with held_run(served.address, "preferring"):
            calls = [served.stub.ModelInfer.future(doubling("preferring")) for _ in range(7)]
            served.wait_for_metric(7, "nv_inference_pending_request_count", model="preferring")
        for call in calls:
            call.result(PATIENCE_S)
        found = runs()
        # The held run has one row too.
        assert {size: found[size] - before.get(size, 0) for size in (4, 2, 1)} == {4: 1, 2: 1, 1: 2}

    def test_answers_in_the_order_of_arrival_may_be_asked_for(self, served: Served, held_run: Hold) -> None:
        ended: list[int] = []
        with held_run(served.address, "ordered"):
            # In a stream: of single calls nobody could tell the order.
            sent: queue.SimpleQueue[Any] = queue.SimpleQueue()
            answers = served.stub.ModelStreamInfer(iter(sent.get, None))
            for number, rows in enumerate((8, 1, 8, 1)):
                request = doubling("ordered", rows)
                request.id = str(number)
                sent.put(request)
            sent.put(None)
            served.wait_for_metric(4, "nv_inference_pending_request_count", model="ordered")
        ended = [int(answer.infer_response.id) for answer in answers]
        assert ended == [0, 1, 2, 3]


class TestSequences:
    def ask(self, served: Served, model: str, value: float, sequence_id: int, **more: Any) -> float:
        x = tensor("x", np.full((1, 1), value, np.float32))
        answer = served.client.infer(model, [x], sequence_id=sequence_id, **more)
        return float(answer.as_numpy("sum").item())

    @pytest.mark.parametrize(
        ("model", "begin"), [("oldest", 0), ("direct", 0), ("begun", 100), ("unbatched", 0)]
    )
    def test_state_goes_from_call_to_call_from_its_initial_value_to_the_end(
        self, served: Served, model: str, begin: float
    ) -> None:
        ask = functools.partial(self.ask, served, model, sequence_id=7)
        assert ask(1, sequence_start=True) == begin + 1
        assert ask(2) == begin + 3
        assert ask(3, sequence_end=True) == begin + 6
        with refused("INVALID_ARGUMENT", "must specify the START flag on the first request"):
            ask(4)

    @pytest.mark.parametrize("model", ["oldest", "direct"])
    def test_calls_that_are_none_of_a_sequence_are_refused(self, served: Served, model: str) -> None:
        with refused("INVALID_ARGUMENT", "must specify a non-zero or non-empty correlation ID"):
            self.ask(served, model, 1, 0)
        rows = tensor("x", np.ones((2, 1), np.float32))
        with refused("INVALID_ARGUMENT", "must specify batch-size 1"):
            served.client.infer(model, [rows], sequence_id=8, sequence_start=True)

    def test_their_number_and_their_ends_are_metrics(self, served: Served) -> None:
        assert self.ask(served, "oldest", 1, 70, sequence_start=True) == 1
        assert served.metric("hotgraph_sequences", model="oldest") >= 1
        assert served.metric("hotgraph_sequence_state_bytes", model="oldest") >= 4
        before = served.metric("hotgraph_sequences_ended_total", model="oldest", reason="end")
        assert self.ask(served, "oldest", 1, 70, sequence_end=True) == 2
        served.wait_for_metric(before + 1, "hotgraph_sequences_ended_total", model="oldest", reason="end")


class TestConfigurations:
    @pytest.mark.parametrize(
        ("config", "text"),
        [
            ({"dynamic_batching": {"preferred_batch_size": [8]}}, "preferred size must be <= max batch size"),
            ({"dynamic_batching": {"preferred_batch_size": [0]}}, "preferred size must be positive"),
            (
                {"dynamic_batching": {"priority_levels": 2, "default_priority_level": 3}},
                r"default priority level must be in range \[1, 2\]",
            ),
            (
                {
                    "dynamic_batching": {
                        "priority_levels": 2,
                        "default_priority_level": 1,
                        "priority_queue_policy": {"5": {}},
                    }
                },
                "level 5, and the levels are 1 to 2",
            ),
            (
                {
                    "dynamic_batching": {
                        "preserve_ordering": True,
                        "priority_levels": 2,
                        "default_priority_level": 1,
                    }
                },
                "Only one priority level is allowed when 'preserve_ordering' is true",
            ),
            (
                {
                    "dynamic_batching": {
                        "preserve_ordering": True,
                        "default_queue_policy": {"timeout_action": "DELAY"},
                    }
                },
                "can not have DELAY as timeout action when 'preserve_ordering' is true",
            ),
            (
                {"response_cache": {"enable": True}, "model_transaction_policy": {"decoupled": True}},
                "Response caching does not support decoupled models",
            ),
            (
                {"response_cache": {"enable": True}, "sequence_batching": {}},
                "Response caching does not support models with sequence batching",
            ),
            (
                {"input": [{"name": "id", "data_type": "TYPE_INT32", "dims": [0]}]},
                "dimension must be integer >= 1, or -1",
            ),
            (
                {
                    "input": [
                        {"name": "id", "data_type": "TYPE_INT32", "dims": [4], "reshape": {"shape": [3]}}
                    ]
                },
                "has different size for dims and reshape",
            ),
            ({"nonesuch": 1}, 'no field named "nonesuch"'),
        ],
    )
    def test_what_contradicts_itself_is_not_loaded_and_the_model_goes_on(
        self, served: Served, config: dict[str, Any], text: str
    ) -> None:
        with refused("INVALID_ARGUMENT", f"failed to load 'ids'.*{text}"):
            served.client.load_model("ids", config=json.dumps({"max_batch_size": 4, **config}))
        found = served.client.infer("ids", [tensor("id", np.array([1], np.int32))]).as_numpy("vector")
        assert found.tolist() == [[1.5] * 3]

    def test_the_configuration_is_shown_with_what_it_leaves_out(self, served: Served) -> None:
        config = served.client.get_model_config("free").config
        assert list(config.dynamic_batching.preferred_batch_size) == [8]
        assert config.version_policy.latest.num_versions == 1
        (group,) = config.instance_group
        assert (group.name, group.count) == ("free_0", 1)
        assert (config.backend, config.platform) == ("tensorflow", "tensorflow_savedmodel")
        assert served.client.get_model_config("pair").config.version_policy.HasField("all")


class TestModelControl:
    @pytest.mark.parametrize(
        ("name", "code", "text"),
        [
            ("", "INVALID_ARGUMENT", "Model name cannot be empty."),
            (" ", "INVALID_ARGUMENT", "Model name cannot be empty."),
            ("../x", "INVALID_ARGUMENT", "model name must not contain path traversal characters"),
            ("a/b", "INVALID_ARGUMENT", "model name must not contain path traversal characters"),
            ("nobody", "INTERNAL", "failed to load 'nobody', failed to poll from model repository"),
        ],
    )
    def test_a_name_that_cannot_be_loaded_is_refused_and_unloading_it_is_no_error(
        self, served: Served, name: str, code: str, text: str
    ) -> None:
        with refused(code, text):
            served.client.load_model(name)
        served.client.unload_model(name)

    @pytest.mark.parametrize("method", ["RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"])
    def test_there_is_but_one_repository(self, served: Served, method: str) -> None:
        request = getattr(service_pb2, f"{method}Request")(repository_name="r")
        if method != "RepositoryIndex":
            request.model_name = "ids"
        with pytest.raises(grpc.RpcError, match="'repository_name' specification is not supported") as caught:
            getattr(served.stub, method)(request)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    def test_index_has_each_version_with_its_state(self, served: Served) -> None:
        rows = served.client.get_model_repository_index().models
        assert {(row.version, row.state) for row in rows if row.name == "pair"} == {
            *(("1", "READY"), ("2", "READY"), ("10", "READY")),
        }


class TestHealth:
    def test_the_server_its_services_and_its_models_are_serving(self, served: Served) -> None:
        stub = health_pb2_grpc.HealthStub(served.channel)
        for service in ("", "inference.GRPCInferenceService", "pair"):
            status = stub.Check(health_pb2.HealthCheckRequest(service=service)).status
            assert status == health_pb2.HealthCheckResponse.SERVING


class TestTracesAndLogs:
    @pytest.mark.parametrize(
        ("settings", "code", "text"),
        [
            ({"trace_rate": "x"}, "INVALID_ARGUMENT", "Unable to parse 'trace_rate'"),
            ({"trace_count": ["1", "2"]}, "INVALID_ARGUMENT", "expect only 1 value for 'trace_count'"),
            ({"trace_level": "SOME"}, "INVALID_ARGUMENT", "Unable to parse 'trace_level'"),
            ({"trace_file": "x"}, "UNIMPLEMENTED", "can not be updated through network protocol"),
        ],
    )
    def test_trace_settings_that_cannot_be_are_refused(
        self, served: Served, settings: dict[str, Any], code: str, text: str
    ) -> None:
        with refused(code, text):
            served.client.update_trace_settings(settings=settings)

    @pytest.mark.parametrize("name", ["log_info", "log_warning", "log_error"])
    def test_truth_values_of_the_log_are_nothing_else(self, served: Served, name: str) -> None:
        request = service_pb2.LogSettingsRequest()
        request.settings[name].uint32_param = 1
        with pytest.raises(grpc.RpcError, match=f"expect boolean for '{name}'") as caught:
            served.stub.LogSettings(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
