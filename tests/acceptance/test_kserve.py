"""KServe's InferenceGRPCClient, unchanged, against the server; kserve_calls.py and kserve_retries.py make the
calls. Its SDK's messages for loading and unloading, which its client does not use, are in
test_model_control.py."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import InferenceServerClient, service_pb2, service_pb2_grpc

from ..saved_models import SavedModels

HeldRun = Callable[[str, str], AbstractContextManager[None]]
PATIENCE_S = 60.0


def run(program: str, *arguments: str) -> Any:
    """What a program beside this file printed."""
    command = [sys.executable, str(Path(__file__).with_name(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(address: str) -> Any:
    return run("kserve_calls.py", address)


def test_server_and_model_are_ready(found: Any) -> None:
    assert found["live"]
    assert found["ready"]
    assert found["model ready"]
    assert not found["unknown model ready"]


@pytest.mark.parametrize("binary", [True, False])
def test_raw_and_typed_requests_get_their_answers(found: Any, binary: bool) -> None:
    assert found[f"sums, binary={binary}"] == {"sum": [[5, 7, 9]], "product": [[4, 10, 18]]}
    assert found[f"upper, binary={binary}"] == ["ABC", ""]


def test_every_datatype_comes_back_as_it_was_sent(found: Any) -> None:
    assert found["datatypes"] == []


def test_id_version_outputs_and_classes_can_be_chosen(found: Any) -> None:
    assert found["choices"] == {
        "id": "an id",
        "model": ["two_in_two_out", "1"],
        "outputs": {"sum": ["9.000000:2"]},
    }


def test_many_calls_at_once(found: Any) -> None:
    assert found["rows of probabilities"] == pytest.approx([1] * 50)


def test_unknown_model_is_not_found(found: Any) -> None:
    code, details = found["unknown model"]
    assert code == "NOT_FOUND"
    assert "Request for unknown model: 'nobody' is not found" in details


@pytest.fixture(scope="module")
def full(saved_models: SavedModels) -> Iterator[str]:
    """Queues that one waiting call fills: the address of a server with `gated`, which refuses with
    UNAVAILABLE, and `exhausted`, the same model, which refuses as models do by default."""
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        BatchSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
    )

    models = tuple(
        ModelSettings(
            name, saved_models["gated"], batch=BatchSettings(max_queued_calls=1, refuse_with=status)
        )
        for name, status in (("gated", "unavailable"), ("exhausted", "resource_exhausted"))
    )
    server = Server(
        ServerSettings(models, ListenSettings(port=0), AdminSettings(admin_port=0), RestSettings(rest_port=0))
    )
    server.start()
    yield server.address
    assert server.stop().ended


@pytest.mark.parametrize(
    ("model", "tries", "status", "refusals"),
    [
        ("gated", 0, "UNAVAILABLE", 1),
        ("gated", 3, "UNAVAILABLE", 3),
        ("exhausted", 3, "RESOURCE_EXHAUSTED", 1),
    ],
)
def test_refused_call_is_tried_again_if_the_status_says_so(
    full: str, held_run: HeldRun, model: str, tries: int, status: str, refusals: int
) -> None:
    with grpc.insecure_channel(full) as channel, InferenceServerClient(full) as client:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def refused() -> int:
            (row,) = client.get_inference_statistics(model).model_stats
            return int(row.inference_stats.fail.count)

        with held_run(full, model):
            ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
            calls = [stub.ModelInfer.future(doubling(model)) for _ in range(2)]
            for call in calls:
                call.add_done_callback(ended.put)
            # one of the two waits from now on, and fills the queue
            assert ended.get(timeout=PATIENCE_S).code().name == status
            before = refused()
            code, told_when = run("kserve_retries.py", full, model, str(tries))
            assert (code, told_when) == (status, True)
            assert refused() - before == refusals


def doubling(model: str) -> Any:
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[bytes(8)])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    return request
