"""Sequences through tritonclient, unary and in streams: `oldest` with state that the server keeps, `direct`
with variables that the model keeps, and what goes wrong."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ..saved_models import SavedModels
from .triton_tensors import tensor

if TYPE_CHECKING:
    from hotgraph_server.settings import ModelSettings

PATIENCE_S = 60.0

CONTROL = """
  control_input {{ name: "{0}" control {{ kind: CONTROL_SEQUENCE_{0} int32_false_true: [0, 1] }} }}"""

OLDEST = f"""
name: "running_sum"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: [1] }}
output {{ name: "sum" data_type: TYPE_FP32 dims: [1] }}
output {{ name: "heard" data_type: TYPE_INT64 dims: [4] }}
sequence_batching {{
  max_sequence_idle_microseconds: 60000000
  oldest {{ max_candidate_sequences: 4 }}
  {"".join(CONTROL.format(kind) for kind in ("START", "END", "READY"))}
  control_input {{ name: "CORRID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 }} }}
  state {{ input_name: "sum_in" output_name: "sum_out" data_type: TYPE_FP32 dims: [1] }}
}}
"""

BRIEF = OLDEST.replace("running_sum", "brief").replace("60000000", "1")

DIRECT = """
name: "slot_sums"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [1] }
output { name: "sum" data_type: TYPE_FP32 dims: [1] }
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  direct { }
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START bool_false_true: [false, true] } }
  control_input { name: "READY" control { kind: CONTROL_SEQUENCE_READY bool_false_true: [false, true] } }
}
"""


def configured(name: str, folder: Path, config: str) -> ModelSettings:
    """The settings of a model that brings this configuration."""
    from hotgraph_server.model_config.config_file import parse
    from hotgraph_server.model_config.translation import settings_from
    from hotgraph_server.settings import ModelSettings

    return settings_from(parse(config, "config.pbtxt"), ModelSettings(name, folder))[0]


@pytest.fixture(scope="module", params=["fast lane", "grpc's own way"])
def server(request: pytest.FixtureRequest, saved_models: SavedModels) -> Iterator[Any]:
    from hotgraph_server.server import Server, Stopped
    from hotgraph_server.settings import AdminSettings, ListenSettings, RestSettings, ServerSettings

    models = (
        configured("running_sum", saved_models["running_sum"], OLDEST),
        configured("brief", saved_models["running_sum"], BRIEF),
        configured("slot_sums", saved_models["slot_sums"], DIRECT),
    )
    listen = ListenSettings(port=0, fast_lane=request.param == "fast lane")
    server = Server(ServerSettings(models, listen, AdminSettings(admin_port=0), RestSettings(rest_port=0)))
    server.start()
    yield server
    assert server.stop() == Stopped(answered=True, ended=True)


@pytest.fixture(scope="module")
def asking(server: Any) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.address) as client:
        yield client


@pytest.fixture
def fresh() -> Callable[[], int]:
    """An id that no other test has."""
    return lambda: next(_IDS)


_IDS = iter(range(1000, 10**6))


def x(value: float, rows: int = 1) -> list[Any]:
    return [tensor("x", np.full((rows, 1), value, np.float32))]


def ask(client: InferenceServerClient, model: str, sequence_id: int | str, value: float, **more: Any) -> Any:
    return client.infer(model, x(value), sequence_id=sequence_id, **more)


def sum_of(result: Any) -> float:
    found = result.as_numpy("sum")
    assert found.shape == (1, 1)
    return float(found.item())


def refusal(client: InferenceServerClient, model: str, **how: Any) -> InferenceServerException:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, how.pop("inputs", x(1)), **how)
    return caught.value


@pytest.mark.parametrize("model", ["running_sum", "slot_sums"])
def test_sequences_keep_their_sums_apart(
    asking: InferenceServerClient, fresh: Callable[[], int], model: str
) -> None:
    one, other = fresh(), fresh()
    assert sum_of(ask(asking, model, one, 1, sequence_start=True)) == 1
    assert sum_of(ask(asking, model, other, 10, sequence_start=True)) == 10
    assert sum_of(ask(asking, model, one, 2)) == 3
    assert sum_of(ask(asking, model, other, 20, sequence_end=True)) == 30
    assert sum_of(ask(asking, model, one, 3, sequence_end=True)) == 6
    assert sum_of(ask(asking, model, one, 5, sequence_start=True, sequence_end=True)) == 5


def test_the_model_hears_what_each_call_is(asking: InferenceServerClient, fresh: Callable[[], int]) -> None:
    one = fresh()
    heard = [
        ask(asking, "running_sum", one, 1, sequence_start=start, sequence_end=end).as_numpy("heard").tolist()
        for start, end in ((True, False), (False, False), (False, True))
    ]
    assert heard == [[[1, 0, 1, one]], [[0, 0, 1, one]], [[0, 1, 1, one]]]


def test_string_ids_are_sequences_of_their_own(asking: InferenceServerClient) -> None:
    assert sum_of(ask(asking, "slot_sums", "a name", 1, sequence_start=True)) == 1
    assert sum_of(ask(asking, "slot_sums", "a name", 2, sequence_end=True)) == 3
    error = refusal(asking, "running_sum", sequence_id="a name", sequence_start=True)
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    assert "correlation ID" in str(error)


@pytest.mark.parametrize("model", ["running_sum", "slot_sums"])
def test_bad_calls_are_refused_with_tritons_words(asking: InferenceServerClient, model: str) -> None:
    for how, says in (
        ({}, "must specify a non-zero or non-empty correlation ID"),
        ({"sequence_id": 77}, "must specify the START flag on the first request"),
        ({"sequence_id": 77, "sequence_start": True, "inputs": x(1, rows=2)}, "must specify batch-size 1"),
    ):
        error = refusal(asking, model, request_id="mine", **how)
        assert error.status() == "StatusCode.INVALID_ARGUMENT"
        assert says in str(error)
        assert "[request id: mine]" in str(error)


def test_tensors_that_the_server_fills_in_are_hidden(asking: InferenceServerClient) -> None:
    metadata = asking.get_model_metadata("running_sum")
    assert [tensor.name for tensor in metadata.inputs] == ["x"]
    assert [tensor.name for tensor in metadata.outputs] == ["sum", "heard"]
    inputs = [*x(1), tensor("START", np.ones((1, 1), np.int32))]
    error = refusal(asking, "running_sum", inputs=inputs, sequence_id=5, sequence_start=True)
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    config = asking.get_model_config("running_sum").config
    assert config.sequence_batching.oldest.max_candidate_sequences == 4


@pytest.mark.parametrize("model", ["running_sum", "slot_sums"])
def test_a_call_that_fails_harms_no_other(
    asking: InferenceServerClient, fresh: Callable[[], int], model: str
) -> None:
    bad, good = fresh(), fresh()
    ask(asking, model, bad, 1, sequence_start=True)
    ask(asking, model, good, 2, sequence_start=True)
    with pytest.raises(InferenceServerException) as caught:
        ask(asking, model, bad, float("nan"))
    assert caught.value.status() == "StatusCode.INTERNAL"
    assert sum_of(ask(asking, model, good, 2, sequence_end=True)) == 4
    assert sum_of(ask(asking, model, bad, 1, sequence_end=True)) == 2


def test_a_sequence_that_is_silent_too_long_must_start_again(asking: InferenceServerClient) -> None:
    ask(asking, "brief", 9, 1, sequence_start=True)
    error = refusal(asking, "brief", sequence_id=9)
    assert "must specify the START flag" in str(error)


@pytest.mark.parametrize("model", ["running_sum", "slot_sums"])
def test_more_sequences_than_slots_take_turns(server: Any, fresh: Callable[[], int], model: str) -> None:
    sums: queue.SimpleQueue[list[float]] = queue.SimpleQueue()

    def converse(sequence_id: int) -> None:
        with InferenceServerClient(server.address) as client:
            sums.put(
                [
                    sum_of(
                        ask(client, model, sequence_id, 1, sequence_start=not turn, sequence_end=turn == 3)
                    )
                    for turn in range(4)
                ]
            )

    talks = [threading.Thread(target=converse, args=(fresh(),)) for _ in range(10)]
    for talk in talks:
        talk.start()
    for talk in talks:
        talk.join(PATIENCE_S)
    assert [sums.get(timeout=PATIENCE_S) for _ in talks] == [[1, 2, 3, 4]] * 10


@pytest.mark.parametrize("model", ["running_sum", "slot_sums"])
def test_a_stream_may_send_whole_sequences_ahead(server: Any, fresh: Callable[[], int], model: str) -> None:
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    ids = [fresh() for _ in range(3)]
    with InferenceServerClient(server.address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for turn in range(5):
            for sequence_id in ids:
                client.async_stream_infer(
                    model,
                    x(sequence_id),
                    request_id=f"{sequence_id}/{turn}",
                    sequence_id=sequence_id,
                    sequence_start=turn == 0,
                    sequence_end=turn == 4,
                )
        for turn in range(5):
            for sequence_id in ids:
                result, error = answers.get(timeout=PATIENCE_S)
                assert error is None, str(error)
                assert result.get_response().id == f"{sequence_id}/{turn}"
                assert sum_of(result) == sequence_id * (turn + 1)


def test_a_stream_that_is_cut_off_leaves_no_sequence_behind_that_blocks(server: Any) -> None:
    # All slots are taken by callers who leave in the middle; their ids may begin anew, and get slots.
    with InferenceServerClient(server.address) as client:
        client.start_stream(lambda result, error: None)
        for sequence_id in range(1, 5):
            for turn in range(20):
                client.async_stream_infer(
                    "running_sum", x(1), sequence_id=sequence_id, sequence_start=not turn
                )
        client.stop_stream(cancel_requests=True)
        for sequence_id in range(1, 5):
            end = ask(client, "running_sum", sequence_id, 7, sequence_start=True, sequence_end=True)
            assert sum_of(end) == 7


def test_statistics_count_calls_and_not_empty_rows(
    asking: InferenceServerClient, fresh: Callable[[], int]
) -> None:
    def figures() -> Any:
        (found,) = asking.get_inference_statistics("slot_sums").model_stats
        return found

    before = figures()
    one = fresh()
    for turn in range(3):
        ask(asking, "slot_sums", one, 1, sequence_start=not turn, sequence_end=turn == 2)
    after = figures()
    assert after.inference_count - before.inference_count == 3
    assert after.inference_stats.success.count - before.inference_stats.success.count == 3


def test_a_sequence_ends_with_its_version(saved_models: SavedModels, tmp_path: Path) -> None:
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        RepositorySettings,
        RestSettings,
        ServerSettings,
        Specific,
    )

    for number in (1, 2):
        (tmp_path / str(number)).symlink_to(saved_models["running_sum"])

    def serving(number: int) -> ModelSettings:
        model = configured("running_sum", tmp_path, OLDEST)
        return dataclasses.replace(model, versions=Specific((number,)))

    server = Server(
        ServerSettings(
            (serving(1),),
            ListenSettings(port=0),
            AdminSettings(admin_port=0),
            RestSettings(rest_port=0),
            repository=RepositorySettings(unload_grace_s=0),
        )
    )
    server.start()
    try:
        with InferenceServerClient(server.address) as client:
            assert sum_of(ask(client, "running_sum", 1, 1, sequence_start=True)) == 1
            server.reconfigure([serving(2)])
            settled = threading.Event()
            server.repository.when_settled(["running_sum"], lambda _: settled.set(), patient=False)
            assert settled.wait(PATIENCE_S)
            error = refusal(client, "running_sum", sequence_id=1)
            assert error.status() == "StatusCode.INVALID_ARGUMENT"
            assert "must specify the START flag" in str(error)
            assert "began on a version that is served no more" in str(error)
            assert sum_of(ask(client, "running_sum", 1, 5, sequence_start=True)) == 5
    finally:
        assert server.stop().ended
