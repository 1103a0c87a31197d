"""The simulator says what the server does: one trace through both, batch by batch.

The server's side is a real executor in its thread, on a graph that the test holds shut and a clock that the
test moves; so neither side knows of real time.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from hotgraph_server.batching.backlog import Batch
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.policies import queue_until
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.simulator import Arrival, simulate
from hotgraph_server.errors import CallError, DeadlineExceeded, QueueTimedOut
from hotgraph_server.execution import runs
from hotgraph_server.execution.executor import Executor
from hotgraph_server.settings import BatchSettings, QueuePolicy
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import Array

from ..fakes import HANG_S, Caller, FakeClock, FakeGraph, doubled, rows, signature

NAME = "model 'm' version 1"
SIGNATURE = signature(outputs={"y": (None, 2), "z": (None, 2)})
LANES: dict[str | None, str] = {"lane": "y", "another": "z"}
"""Calls that ask for different outputs do not share batches, and cost the same."""
MAX_ROWS = 8
WARM_UP_RUNS = 12
"""Three each of 1, 2, 4 and 8 rows."""


def usual_s(count: int) -> float:
    return 0.010 + 0.001 * count


class UnevenRuns:
    """Every fifth run after those of the warm-up takes half as long again."""

    def __init__(self, warm_up_runs: int) -> None:
        self._runs = -warm_up_runs

    def __call__(self, count: int) -> float:
        self._runs += 1
        return usual_s(count) * (1.5 if self._runs > 0 and self._runs % 5 == 0 else 1.0)


class SteppedQueue(BatchQueue):
    """Tells what its executor has found whenever it has looked: a batch, or when to look again if nothing
    happens. It looks again when something does, or when the test lets it."""

    def __init__(self, settings: BatchSettings, clock: FakeClock, statistics: Statistics) -> None:
        super().__init__(NAME, settings, clock, statistics)
        self._found: SimpleQueue[float | None] = SimpleQueue()

    def take(self) -> Batch | None:
        batch = super().take()
        self._found.put(None)
        return batch

    def _sleep(self, until: float) -> None:
        self._found.put(until)
        super()._sleep(math.inf)

    def found(self) -> float | None:
        """Wait until the executor has looked. None: it has a batch; else when it wants to look again."""
        return self._found.get(timeout=HANG_S)

    def look_again(self) -> bool:
        """Let the executor look. Returns whether it was waiting."""
        with self._lock:
            was_asleep = self._waits is not None
            self._rouse()
        return was_asleep


class Server:
    """A server on a virtual clock: runs begin and end when the test says so.

    Attributes:
        batches: the numbers of the calls of every run.
        refused: the kind of error with which calls were not taken in, by number.
        callers: of those that were, by number.
    """

    def __init__(self, settings: BatchSettings) -> None:
        self.clock = FakeClock()
        self.batches: list[list[int]] = []
        self.refused: dict[int, type[CallError]] = {}
        self.callers: dict[int, Caller] = {}
        self._calls: dict[int, Call] = {}
        self._graph = FakeGraph(SIGNATURE, compute=self._warm_up)
        self._run_s = UnevenRuns(0)
        self._running = False
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        statistics = Statistics()
        self._queue = SteppedQueue(settings, self.clock, statistics)
        self._executor = Executor(NAME, self._graph.open, self._queue, statistics, self.clock, settings)
        self._settings = settings
        self._executor.start()
        assert self._queue.found() == math.inf
        self._graph.compute = doubled
        self._graph.shut()

    def end(self) -> None:
        self._graph.let_all_go()
        self._queue.close()
        assert self._executor.stop(HANG_S)

    def play(self, arrivals: Sequence[Arrival]) -> None:
        for number, arrival in enumerate(arrivals):
            self._at(arrival.at, partial(self._arrive, number, arrival))
        while self._events:
            self.clock.now, _, happen = heapq.heappop(self._events)
            happen()

    def _warm_up(self, inputs: Sequence[Array]) -> list[Array]:
        self.clock.now += usual_s(len(inputs[0]))
        return doubled(inputs) * len(SIGNATURE.outputs)

    def _at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), happen))

    def _arrive(self, number: int, arrival: Arrival) -> None:
        caller = Caller()
        until = queue_until(self._settings, SIGNATURE, arrival.priority, self.clock.now, arrival.timeout_s)
        call = Call(
            SIGNATURE,
            [rows(*[number] * arrival.rows)],
            (LANES.get(arrival.lane, "y"),),
            caller.completion,
            arrived=self.clock.now,
            deadline=arrival.deadline,
            queue_until=until,
            joinable=arrival.lane is not None,
            level=arrival.priority,
        )
        try:
            self._queue.put(call)
        except CallError as error:
            self.refused[number] = type(error)
            return
        self.callers[number], self._calls[number] = caller, call
        if arrival.deadline < math.inf:
            self._at(arrival.deadline, partial(self._expire, number))
        if until < math.inf:
            self._at(until, self._time_out)
        if not self._running:
            self._see()

    def _expire(self, number: int) -> None:
        if self._calls[number].completion.leave(DeadlineExceeded()):
            self._queue.withdraw(self._calls[number])

    def _time_out(self) -> None:
        self._queue.time_out()

    def _see(self) -> None:
        """The executor looks at this moment."""
        self._running = False
        look_again_at = self._queue.found()
        if look_again_at is None:
            self._begin()
        elif look_again_at < math.inf:
            self._at(look_again_at, self._look_again)

    def _look_again(self) -> None:
        if not self._running and self._queue.look_again():
            self._see()

    def _begin(self) -> None:
        (inputs,) = self._graph.wait_until_held()
        self._running = True
        self.batches.append(sorted({int(value) for value in inputs[:, 0]}))
        self._at(self.clock.now + self._run_s(len(inputs)), self._end_run)

    def _end_run(self) -> None:
        self._graph.let_one_go()
        self._see()


@contextmanager
def serving(settings: BatchSettings) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        # Calls end with their run, and not when the finisher comes to them, which is on no clock.
        patch.setattr(runs, "WORTH_A_HAND_OVER_S", math.inf)
        server = Server(settings)
        try:
            yield server
        finally:
            server.end()


def trace(
    start: float,
    rate: float,
    *,
    budgets_s: Sequence[float],
    levels: int = 1,
    alone: float = 0.0,
    most_rows: int = 3,
    lanes: Sequence[str] = ("lane",),
    seed: int = 1,
) -> list[Arrival]:
    """300 calls of 1 to `most_rows` rows, `rate` a second; a share of them, `alone`, has one row and runs
    alone."""
    chance, lane_chance, at, arrivals = random.Random(seed), random.Random(seed + 1), start, []
    for _ in range(300):
        at += chance.expovariate(rate)
        runs_alone = chance.random() < alone
        arrivals.append(
            Arrival(
                at,
                1 if runs_alone else chance.randint(1, most_rows),
                at + chance.choice(budgets_s),
                chance.randint(1, levels),
                None if runs_alone else lane_chance.choice(lanes),
            )
        )
    return arrivals


@pytest.mark.parametrize(
    ("rate", "budgets_s", "levels", "alone", "max_queued_calls", "ends"),
    [
        (60.0, [math.inf], 1, 0.0, 1024, {"answered"}),
        (400.0, [0.050], 1, 0.0, 1024, {"answered", "WouldBeLate", "expired"}),
        (400.0, [math.inf], 1, 0.0, 10, {"answered", "QueueFull"}),
        (150.0, [0.020, 0.060, math.inf], 2, 0.2, 1024, {"answered", "WouldBeLate", "expired"}),
        (300.0, [0.060, math.inf], 3, 0.1, 8, {"answered", "WouldBeLate", "expired", "QueueFull"}),
    ],
    ids=["light", "overload", "full", "levels", "everything"],
)
def test_server_and_simulator_make_the_same_of_a_trace(
    rate: float,
    budgets_s: Sequence[float],
    levels: int,
    alone: float,
    max_queued_calls: int,
    ends: set[str],
) -> None:
    settings = BatchSettings(
        max_batch_rows=MAX_ROWS, max_queued_calls=max_queued_calls, priority_levels=levels, verify_one_in=0
    )
    assert_same(settings, rate, ends, budgets_s=budgets_s, levels=levels, alone=alone)


@pytest.mark.parametrize(
    ("rate", "given", "traced", "ends"),
    [
        (120.0, {}, {"most_rows": 30}, {"answered"}),
        (300.0, {}, {"lanes": tuple(LANES)}, {"answered"}),
        (60.0, {"max_wait_us": 20_000}, {}, {"answered"}),
        (90.0, {"max_wait_us": 9_000, "preferred_batch_rows": (4,)}, {"lanes": tuple(LANES)}, {"answered"}),
        (
            600.0,
            {"queue_policy": QueuePolicy(12, 30_000)},
            {},
            {"answered", "timed out", "QueueSizeExceeded"},
        ),
        (
            500.0,
            {"queue_policy": QueuePolicy(60, 30_000, False, "delay"), "priority_levels": 2},
            {"lanes": tuple(LANES), "levels": 2},
            {"answered", "QueueSizeExceeded"},
        ),
        (500.0, {"preserve_ordering": True}, {"lanes": tuple(LANES), "most_rows": 12}, {"answered"}),
    ],
    ids=["pieces", "lanes", "waiting", "preferred", "reject", "delay", "in order"],
)
def test_they_do_so_with_large_calls_several_lanes_waiting_and_policies(
    rate: float, given: dict[str, Any], traced: dict[str, Any], ends: set[str]
) -> None:
    settings = BatchSettings(max_batch_rows=MAX_ROWS, verify_one_in=0, **given)
    assert_same(settings, rate, ends, **{"budgets_s": [math.inf], **traced})


def assert_same(settings: BatchSettings, rate: float, ends: set[str], **traced: Any) -> None:
    with serving(settings) as server:
        arrivals = trace(server.clock.now, rate, **traced)
        server.play(arrivals)
        simulated = simulate(arrivals, UnevenRuns(WARM_UP_RUNS), settings)
        assert server.batches == simulated.members

        kinds = set()
        for number, fate in enumerate(simulated.fates):
            refusal = type(fate.refusal) if fate.refusal is not None else None
            assert server.refused.get(number) is refusal
            if refusal is not None:
                kinds.add(refusal.__name__)
            elif fate.expired:
                assert isinstance(server.callers[number].error(), DeadlineExceeded)
                kinds.add("expired")
            elif fate.timed_out:
                assert isinstance(server.callers[number].error(), QueueTimedOut)
                kinds.add("timed out")
            else:
                (answer,) = server.callers[number].answer()
                assert len(answer) == fate.arrival.rows
                kinds.add("answered")
        assert kinds == ends
