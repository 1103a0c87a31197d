"""Histories of a version with state, one after the other, against five lines that say what is right.

Everything is real but the graph, the clock and the disk: queue, runner, undo, durability, snapshotter, store,
format. The test is the executor's and the snapshotter's thread, so it decides what happens when; the power
may go at any call of the file system. More histories: HOTGRAPH_STATE_HISTORIES=10000.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.expiry import end_expired
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import NOT_RUN, CallError, NotDurable, Refused, RunFailed
from hotgraph_server.execution.finisher import Finisher
from hotgraph_server.execution.runner import Runner
from hotgraph_server.models.admission import Admission, cancel
from hotgraph_server.settings import BatchSettings, StateSettings
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.state.session_state import begin
from hotgraph_server.statistics import Statistics

from ..fakes import Caller, FakeClock
from .simulated import Adding, PowerCut, SimulatedDisk

TITLE = "model 'm' version 1"
HISTORIES = int(os.environ.get("HOTGRAPH_STATE_HISTORIES", "300"))


@dataclass
class Reference:
    """What is right: a list of what was added, and its sum."""

    added: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.added)


STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 9), st.sampled_from([0.0, 0.5, 2.0])),
    st.tuples(st.just("add"), st.integers(-9, -1), st.just(0.0)),
    st.tuples(st.just("read"), st.just(0), st.just(0.0)),
    st.tuples(st.just("leave"), st.integers(0, 5), st.just(0.0)),
    st.tuples(st.just("run"), st.integers(1, 3), st.just(0.0)),
    st.tuples(st.just("keep"), st.just(0), st.just(0.0)),
    st.tuples(st.just("ask"), st.just(0), st.just(0.0)),
    st.tuples(st.just("wait"), st.integers(1, 3), st.just(0.0)),
    st.tuples(st.just("full"), st.integers(0, 1), st.just(0.0)),
    st.tuples(st.just("cut"), st.integers(0, 12), st.just(0.0)),
    st.tuples(st.just("crash"), st.integers(0, 1), st.just(0.0)),
)
POLICIES = st.sampled_from(
    [
        {"state_sync": "every_write"},
        {"state_every_writes": 1, "state_every_s": 0.0},
        {"state_every_writes": 3, "state_every_s": 0.0},
        {"state_every_s": 2.0},
    ]
)


class History:
    """A machine on which a version is started, called, killed and started again."""

    def __init__(self, policy: dict[str, object], seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = SimulatedDisk(self.chance)
        self.clock = FakeClock()
        self.settings = StateSettings(state_dir="/state", state_keep=2, **policy)  # type: ignore[arg-type]
        self.right = Reference()
        self.open: list[tuple[str, int, Caller, Call]] = []
        self.acknowledged = 0  # the write with the highest number that was answered
        self.start()

    def start(self) -> None:
        restore = StateRestore(self.settings, "m", 1, "0" * 32, self.disk, clock=self.clock)
        self.graph = Adding()
        self.graph.open()
        batch = BatchSettings()
        alone: dict[str, str | None] = dict.fromkeys(self.graph.signatures, "it has no rows")
        self.statistics = Statistics()
        self.queue = BatchQueue(TITLE, batch, self.clock, self.statistics)
        session = begin(TITLE, self.graph, restore)
        self.snapshotter = session.snapshotter
        self.runner = Runner(
            *(TITLE, self.graph, self.queue, self.statistics, Finisher(TITLE), batch, alone, {}),
            *(self.clock, session),
        )
        self.admission = Admission(
            *(TITLE, 1, batch, self.graph.signatures, alone, {}, ()),
            *(self.queue, self.statistics, self.clock),
        )
        self.open = []

    def do(self, kind: str, number: int, timeout_s: float) -> None:
        try:
            getattr(self, kind)(number, timeout_s)
        except PowerCut:
            self.crash(0, 0.0)

    def add(self, by: int, timeout_s: float) -> None:
        self._call("add", by, timeout_s)

    def read(self, _: int, __: float) -> None:
        self._call("read", 0, 0.0)

    def leave(self, number: int, _: float) -> None:
        if self.open:
            kind, _by, _caller, call = self.open[number % len(self.open)]
            before = call.completion.taken
            left = cancel(call)
            if kind == "add" and not before:
                assert left is True or (isinstance(left, CallError) and NOT_RUN in str(left))

    def run(self, runs: int, _: float) -> None:
        for _ in range(runs):
            look = self.queue.poll()
            end_expired(look.expired, self.statistics)
            if look.batch is None:
                return
            (call,) = look.batch
            # A call that is still open when its run begins is in it: no other thread is there to end it.
            runs_it = not call.completion.taken and call.deadline > self.clock()
            by = next((one[1] for one in self.open if one[3] is call and one[0] == "add"), None)
            if by is not None and runs_it and by >= 0:
                self.right.added.append(by)
            self.runner.run(look.batch)
            self._settle()
            assert (self.graph.total, self.graph.again) == (self.right.total, self.right.total)

    def keep(self, _: int, __: float) -> None:
        self.snapshotter.work()
        self._settle()

    def ask(self, _: int, __: float) -> None:
        asked = self.snapshotter.save()
        full = self.disk.full
        self.snapshotter.work()
        self._settle()
        assert (asked.result(0) is None) or full

    def wait(self, seconds: int, _: float) -> None:
        self.clock.now += seconds

    def full(self, is_full: int, _: float) -> None:
        self.disk.full = bool(is_full)

    def cut(self, calls: int, _: float) -> None:
        self.disk.cut_after = calls

    def crash(self, damages: int, _: float) -> None:
        self._settle()
        self.disk.restart()
        damaged = False
        if damages and len(self.disk.paths()) > 1:
            # Not the last that there is, and only where an older one is left: damage is no crash.
            self.disk.damage(self.disk.paths()[-1])
            damaged = True
        self.start()
        restored = self.snapshotter.status.writes
        # A prefix of what was written, and the right one.
        assert restored <= len(self.right.added)
        lost = self.acknowledged - restored
        self.right.added = self.right.added[:restored]
        assert (self.graph.total, self.graph.again) == (self.right.total, self.right.total)
        if not damaged:
            if self.settings.state_sync == "every_write":
                assert lost <= 0
            elif self.settings.state_every_writes:
                assert lost <= self.settings.state_every_writes
        self.acknowledged = min(self.acknowledged, restored)

    def _call(self, kind: str, by: int, timeout_s: float) -> None:
        caller = Caller()
        signature = self.graph.signatures[kind]
        deadline = self.clock() + timeout_s if timeout_s else float("inf")
        inputs = [np.array(by, np.int64)] if kind == "add" else []
        try:
            request = Request(signature, inputs, signature.output_aliases, caller.completion, deadline)
            call = self.admission.submit(request)
        except Refused:
            return
        self.open.append((kind, by, caller, call))

    def _settle(self) -> None:
        """Look at what has ended."""
        left = []
        for kind, by, caller, call in self.open:
            if not caller.outcomes:
                left.append((kind, by, caller, call))
                continue
            (outcome,) = caller.outcomes
            if kind == "read":
                if not isinstance(outcome, CallError):
                    # Both variables, before or after a write and never in between.
                    assert int(outcome[0]) == int(outcome[1])
            elif isinstance(outcome, CallError):
                assert isinstance(outcome, NotDurable) or NOT_RUN in str(outcome) or by < 0
                assert by >= 0 or isinstance(outcome, RunFailed) or NOT_RUN in str(outcome)
            else:
                totals = list(self._totals())
                assert by >= 0
                assert int(outcome[0]) in totals
                self.acknowledged = max(self.acknowledged, totals.index(int(outcome[0])))
        self.open = left

    def _totals(self) -> Iterator[int]:
        """What each write has led to; before the first, 0."""
        total = 0
        yield total
        for by in self.right.added:
            total += by
            yield total


@pytest.mark.timeout(120 + HISTORIES // 10)
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(policy=POLICIES, seed=st.integers(0, 2**32), steps=st.lists(STEPS, max_size=40))
def test_no_history_differs_from_five_lines(
    policy: dict[str, object], seed: int, steps: list[tuple[str, int, float]]
) -> None:
    history = History(policy, seed)
    for step in steps:
        history.do(*step)
    # Whatever has happened, the machine comes back.
    history.crash(0, 0.0)


def test_power_cut_at_every_single_call_of_a_save_leaves_the_old_or_the_new_snapshot() -> None:
    outcomes = set()
    for seed in range(20):
        for calls in range(12):
            history = History({"state_sync": "every_write"}, seed)
            history.add(1, 0.0)
            history.run(1, 0.0)
            history.keep(0, 0.0)
            assert history.acknowledged == 1
            history.add(2, 0.0)
            history.run(1, 0.0)
            history.cut(calls, 0.0)
            history.do("keep", 0, 0.0)
            history.crash(0, 0.0)
            outcomes.add(history.graph.total)
    assert outcomes == {1, 3}


@pytest.mark.parametrize("policy", [{"state_every_writes": 3, "state_every_s": 0.0}])
def test_crash_costs_no_more_answered_writes_than_was_said(policy: dict[str, object]) -> None:
    history = History(policy, 0)
    for by in range(1, 6):
        history.add(by, 0.0)
    history.run(5, 0.0)
    # Two of five wait for a snapshot, for a crash could cost no more than three.
    assert [by for _, by, _, _ in history.open] == [4, 5]
    history.crash(0, 0.0)
    assert history.graph.total == 0
