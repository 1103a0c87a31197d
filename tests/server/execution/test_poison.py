"""Poison costs its neighbours little: callers in a closed loop on a graph that refuses some ids, in counts of
runs and rows. What each call gets is test_runner.py's.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.suspects import FIRST_S
from hotgraph_server.errors import CallError, RunFailed
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Event
from hotgraph_server.tensors import Array

from ..fakes import call, rows
from .test_runner import POISON, Graph, Running

CALLERS = 32
BAD = 3  # of these, where some send nothing but poison: 9 %
ROUNDS = 400


class Lookup(Graph):
    """Refuses poison, and says which row it was, or does not."""

    def __init__(self, tells: bool) -> None:
        super().__init__()
        self.tells = tells
        self.failed = 0

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        self.runs.append(inputs[0].copy())
        refused = np.flatnonzero(inputs[0][:, 0] == POISON)
        if len(refused):
            self.failed += 1
            told = f"indices[{refused[0]},0] = 666 is not in [0, 465)" if self.tells else "no such id"
            raise RunFailed(3, told)
        return [inputs[0] * 2]


class Load:
    """Callers who send a call as soon as they have heard of the last.

    Args:
        poison: is the next call of this caller, by its number, poisoned?
        peer: the connection of a caller.
    """

    def __init__(self, graph: Lookup, poison: Callable[[int], bool], peer: Callable[[int], str]) -> None:
        self.running = Running(graph)
        self.graph = graph
        self.good = self.bad = 0
        self._poison = poison
        self._peer = peer
        self._idle = list(range(CALLERS))

    def go(self, rounds: int = ROUNDS) -> None:
        for _ in range(rounds):
            idle, self._idle = self._idle, []
            for caller in idle:
                self._send(caller)
            self.running.clock.now += 0.001
            self.running.run_next()

    def _send(self, caller: int) -> None:
        poisoned = self._poison(caller)

        def hear(outcome: Sequence[Array] | CallError) -> None:
            assert isinstance(outcome, RunFailed) == poisoned, outcome
            self.good += not poisoned
            self.bad += poisoned
            self._idle.append(caller)

        array = rows(POISON if poisoned else caller)
        now = self.running.clock.now
        self.running.queue.put(call(array, completion=Completion(hear), arrived=now, peer=self._peer(caller)))

    @property
    def rows_a_good_run(self) -> float:
        """Of the runs that gave answers."""
        return self.good / (len(self.graph.runs) - self.graph.failed)

    @property
    def rows_a_run_with_good(self) -> float:
        """Of the runs that had a good call in them, those that failed included."""
        with_good = [len(run) for run in self.graph.runs if np.any(run != POISON)]
        return sum(with_good) / len(with_good)

    @property
    def good_a_run(self) -> float:
        """Good calls for each run of all."""
        return self.good / len(self.graph.runs)


def own_connection(caller: int) -> str:
    return f"10.0.0.{caller}:1"


def one_connection(_: int) -> str:
    return "proxy:1"


def at_random() -> Callable[[int], bool]:
    chance = random.Random(1)
    return lambda _: chance.random() < 0.08


def some_callers(caller: int) -> bool:
    return caller < BAD


@pytest.mark.parametrize("peer", [own_connection, one_connection])
def test_poison_in_every_twelfth_call_leaves_batches_whole(
    peer: Callable[[int], str], caplog: pytest.LogCaptureFixture
) -> None:
    load = Load(Lookup(tells=True), at_random(), peer)
    load.go()
    assert load.rows_a_good_run >= 20
    assert load.rows_a_run_with_good >= 20
    # A call that fails has a run of its own, for its own error, and has made one fail before; but for the
    # few batches that have more of them than are looked for.
    assert len(load.graph.runs) <= 1.02 * (ROUNDS + 2 * load.bad)
    assert load.running.count(Event.APART) == 0
    assert not caplog.records


def test_callers_who_send_nothing_but_poison_take_no_batch_of_the_others() -> None:
    """Whether errors tell or not: with neither hints nor suspects it would be 2 good calls a run."""
    for tells in (True, False):
        load = Load(Lookup(tells), some_callers, own_connection)
        load.go(2000)
        assert load.rows_a_good_run >= 20
        assert load.rows_a_run_with_good >= 20
        assert load.good_a_run >= 20
        # They are heard all the same: a run in four.
        assert load.bad >= 2000 / 5


def test_callers_who_send_nothing_but_poison_behind_a_proxy_are_not_told_from_the_others() -> None:
    load = Load(Lookup(tells=True), some_callers, one_connection)
    load.go()
    assert load.running.count(Event.APART) == 0
    assert load.rows_a_good_run >= 20
    assert load.rows_a_run_with_good >= 20


def test_suspect_that_sends_what_can_be_answered_is_back_in_batches_soon() -> None:
    poisoned = {0}
    load = Load(Lookup(tells=True), lambda caller: caller in poisoned, own_connection)
    load.go(40)
    assert load.running.queue.suspects.at(load.running.clock.now) == {"serving_default": 1}
    poisoned.clear()
    # A run in four is theirs.
    load.go(40)
    assert load.running.queue.suspects.at(load.running.clock.now) == {}
    load.graph.runs.clear()
    load.go(4)
    assert load.running.run_rows == [32] * 4


def test_beginning_is_said_once_in_a_while_however_many_begin(caplog: pytest.LogCaptureFixture) -> None:
    load = Load(Lookup(tells=True), lambda caller: caller < 16, own_connection)
    with caplog.at_level(logging.WARNING):
        load.go(400)
        load.running.clock.now += 10 * FIRST_S
        load.go(100)
    first, second = (record.getMessage() for record in caplog.records)
    assert first == (
        "model 'm' version 1: calls of signature 'serving_default' from 10.0.0.0:1 keep failing, and run"
        " apart from those of others for 1 s"
    )
    assert "; 15 times since the last line this was so of other callers" in second
