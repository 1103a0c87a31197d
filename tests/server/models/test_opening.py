"""A version is there whole, or not at all."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.request import InSequence, Request
from hotgraph_server.errors import CallError, InvalidCall, LoadError
from hotgraph_server.execution.executor import Opened
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.response_cache import ResponseCache
from hotgraph_server.models.status import State
from hotgraph_server.sequences.rules import Control, ControlTensor, SequenceRules
from hotgraph_server.settings import BatchSettings, ModelSettings

from ..fakes import HANG_S, Caller, FakeGraph, rows, signature

SETTINGS = ModelSettings("m", Path("unused"), BatchSettings(verify_one_in=0))
FLOAT = np.dtype(np.float32)
SEQUENCES = SequenceRules(
    strategy="oldest",
    controls=(ControlTensor(Control.START, "start", FLOAT, np.float32(0), np.float32(1)),),
)


def executors() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "executor model 'm' version 1"]


def test_contract_is_made_of_what_was_opened_before_there_is_a_version() -> None:
    asked: list[tuple[Any, ...]] = []
    graph = FakeGraph(signature("first"), signature("second"))

    def contract_of(settings: ModelSettings, title: str, opened: Opened) -> Contract:
        asked.append((settings, title, set(opened.signatures)))
        return Contract("config", "second")

    version = open_version(SETTINGS, 1, graph.open, contract_of=contract_of)
    assert asked == [(SETTINGS, "model 'm' version 1", {"first", "second"})]
    assert version.contract.config == "config"
    assert version.default_signature is version.signatures["second"]
    assert version.state is State.LIVE
    assert version.stop(HANG_S)


def test_graph_is_closed_again_where_its_contract_cannot_be_made() -> None:
    graph = FakeGraph()

    def refuse(*_: object) -> Contract:
        raise LoadError("m", "its labels have gone")

    with pytest.raises(LoadError, match="its labels have gone"):
        open_version(SETTINGS, 1, graph.open, contract_of=refuse)
    for thread in executors():
        thread.join(HANG_S)
    assert graph.closed == 1
    assert executors() == []


def sequenced(**inputs: Any) -> tuple[FakeGraph, Contract]:
    config = SimpleNamespace(max_batch_size=4)
    contract = Contract(config, "serving_default", batched=True, sequence=SEQUENCES)
    return FakeGraph(signature(inputs={"x": (None, 1), **inputs}, outputs={"y": (None, 1)})), contract


def test_sequences_that_the_signature_cannot_follow_leave_nothing_running() -> None:
    graph, contract = sequenced()
    with pytest.raises(LoadError, match="sequence_batching"):
        open_version(SETTINGS, 1, graph.open, contract_of=lambda *_: contract)
    for thread in executors():
        thread.join(HANG_S)
    assert graph.closed == 1


def test_version_with_sequences_submits_their_calls_to_them_and_stops_them() -> None:
    graph, contract = sequenced(start=(None, 1))
    version = open_version(SETTINGS, 1, graph.open, contract_of=lambda *_: contract)
    assert version.sequences is not None
    one, caller = version.signatures["serving_default"], Caller()
    begins = InSequence(7, start=True, end=True)
    x = np.ones((1, 1), np.float32)
    version.submit(Request(one, [x], ("y",), caller.completion, sequence=begins))
    assert caller.answer()[0].tolist() == [[2.0]]
    with pytest.raises(InvalidCall):
        version.submit(
            Request(one, [x], ("y",), caller.completion, sequence=InSequence(0, start=True, end=True))
        )
    assert version.stop(HANG_S)
    with pytest.raises(CallError):
        version.submit(Request(one, [x], ("y",), Caller().completion, sequence=begins))


@pytest.mark.parametrize("kept", [False, True])
def test_answers_are_kept_where_the_contract_is_said_to_allow_it(kept: bool) -> None:
    cache, said = ResponseCache(1 << 20), Contract(None)
    asked: list[Contract] = []

    def cache_of(contract: Contract) -> ResponseCache | None:
        asked.append(contract)
        return cache if kept else None

    version = open_version(SETTINGS, 1, FakeGraph().open, contract_of=lambda *_: said, cache_of=cache_of)
    caller = Caller()
    version.submit(Request(version.signatures["serving_default"], [rows(1)], ("y",), caller.completion))
    caller.answer()
    assert asked == [said]
    assert version.statistics.snapshot().cache_miss.count == int(kept)
    assert version.stop(HANG_S)
