"""What the executor's thread does besides runs: once, or not at all, and the one that asked hears of it."""

from __future__ import annotations

import pytest

from hotgraph_server.errors import Draining
from hotgraph_server.execution.executor_task import ExecutorTask
from hotgraph_server.state.session_state import untracked

STATE = untracked("m")


def test_what_a_task_returns_or_raises_is_what_its_owner_gets() -> None:
    task = ExecutorTask(lambda state: (state, 7), arrived=0.0, level=1)
    task.run(STATE)
    assert task.done.result(0) == (STATE, 7)
    broken = ExecutorTask(lambda _: 1 / 0, arrived=0.0, level=1)
    broken.run(STATE)
    with pytest.raises(ZeroDivisionError):
        broken.done.result(0)


def test_task_that_the_queue_has_ended_is_never_run_and_says_why() -> None:
    ran: list[object] = []
    task = ExecutorTask(ran.append, arrived=0.0, level=1)
    task.completion.finish(Draining("m"))
    task.run(STATE)
    assert not ran
    with pytest.raises(Draining):
        task.done.result(0)


def test_task_is_run_in_the_order_of_calls_that_write_and_shares_no_batch() -> None:
    task = ExecutorTask(lambda _: None, arrived=5.0, level=2)
    assert task.signature.writes
    assert task.lane is None
    assert (task.arrived, task.level) == (5.0, 2)
