"""What callers of Predict and of ModelInfer may rely on alike, by the services and versions that run."""

from __future__ import annotations

import math
import time

import grpc
import pytest

from hotgraph_server.errors import CallError, Cancelled, DeadlineExceeded, Draining, InvalidCall, QueueFull
from hotgraph_server.models.status import State
from hotgraph_server.transport.service import Service

from .fakes import PATIENCE_S, FakeGraph, FakeReply, Models, add_and_subtract, float_signature, refuse_666
from .hot_methods import Case
from .tfs.predict_messages import PREDICT
from .v2.infer_messages import INFER


@pytest.fixture(params=[PREDICT, INFER], ids=lambda case: case.method)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def graph() -> FakeGraph:
    return FakeGraph((float_signature(), refuse_666))


@pytest.fixture
def service(models: Models, graph: FakeGraph, case: Case) -> Service:
    models.add("m", 3, graph)
    return case.service(models.registry)


def submit(service: Service, case: Case, message: bytes, deadline: float = math.inf) -> FakeReply:
    reply = FakeReply(deadline)
    service.hot[case.method](message, reply)
    return reply


def hold_first_run(service: Service, case: Case, graph: FakeGraph, model: str = "m") -> FakeReply:
    """With the graph's gate shut: a call that is inside the run when this returns."""
    reply = submit(service, case, case.floats(model=model))
    assert graph.inside.wait(PATIENCE_S)
    return reply


def test_full_queue_refuses_with_the_model_and_the_number(
    models: Models, service: Service, case: Case
) -> None:
    small = FakeGraph((float_signature(), add_and_subtract))
    models.add("small", 1, small, max_queued_calls=1)
    small.gate.clear()
    first = hold_first_run(service, case, small, model="small")
    second = submit(service, case, case.floats(model="small"))
    with pytest.raises(QueueFull, match="the queue of model 'small' version 1 is full: 1 calls wait") as full:
        submit(service, case, case.floats(model="small"))
    assert full.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert full.value.retry_after_ms is not None
    small.gate.set()
    assert first.answer()
    assert second.answer()


def test_refused_call_does_not_harm_the_next(service: Service, case: Case) -> None:
    with pytest.raises(CallError, match="666"):
        submit(service, case, case.floats(666)).answer()
    assert submit(service, case, case.floats()).answer()


def test_caller_that_leaves_while_its_call_waits_ends_it_at_once(
    graph: FakeGraph, service: Service, case: Case
) -> None:
    graph.gate.clear()
    first = hold_first_run(service, case, graph)
    waiting = submit(service, case, case.floats())
    assert waiting.cancel is not None
    waiting.cancel()
    with pytest.raises(Cancelled):
        waiting.answer()
    graph.gate.set()
    assert first.answer()


def test_call_whose_deadline_has_passed_is_not_run(graph: FakeGraph, service: Service, case: Case) -> None:
    with pytest.raises(DeadlineExceeded):
        submit(service, case, case.floats(), deadline=time.monotonic() - 1).answer()
    assert not graph.inside.is_set()


def test_version_that_drains_takes_no_more_calls(models: Models, service: Service, case: Case) -> None:
    (version,) = models.registry.versions()
    assert version.stop(PATIENCE_S)
    # As a call finds it that has looked it up just before.
    version.state = State.LIVE
    with pytest.raises(Draining, match="Server is stopping: model 'm' version 3 takes no more calls"):
        submit(service, case, case.floats())
    version.state = State.CLOSED


def test_bytes_that_are_no_message_are_refused(service: Service, case: Case) -> None:
    with pytest.raises(InvalidCall, match=f"the message is no {case.method}Request"):
        submit(service, case, b"\xff")
