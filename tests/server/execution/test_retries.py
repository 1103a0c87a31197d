from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.call import Call
from hotgraph_server.execution.retries import Parts

from ..fakes import call, rows


def calls_of(*counts: int) -> list[Call]:
    return [call(rows(*range(count))) for count in counts]


Hints = Callable[[Sequence[Call]], Call | None]


def no_hints(_: Sequence[Call]) -> Call | None:
    return None


class Replay:
    """What comes of a batch in which some calls fail, alone and with whomever they are."""

    def __init__(
        self, calls: list[Call], poisoned: set[int], memory_rows: int = 10**9, hints: Hints = no_hints
    ) -> None:
        self.answered: list[Call] = []
        self.failed: list[Call] = []
        self.runs: list[list[Call]] = []
        self._bad = [calls[index] for index in poisoned]
        self._memory_rows = memory_rows
        self._hints = hints
        self._parts = Parts(calls)
        self._end(calls)
        while (part := self._parts.next()) is not None:
            self.runs.append(part)
            self._end(part)

    def _end(self, part: list[Call]) -> None:
        too_large = sum(one.rows for one in part) > self._memory_rows
        if not too_large and not any(one in self._bad for one in part):
            self.answered += part
            if len(part) == 1:
                self._parts.answered(part[0])
        elif len(part) == 1:
            self.failed += part
        elif too_large:
            self._parts.out_of_memory(part)
        else:
            self._parts.failed(part, self._hints(part))


def most_runs(count: int) -> int:
    return count + max(int(log2(count)) + 1, count // 4)


sizes = st.integers(2, 80)


@given(sizes, st.data())
def test_each_call_ends_once_as_it_would_alone_and_the_effort_is_bounded(
    count: int, data: st.DataObject
) -> None:
    calls = calls_of(*[1] * count)
    poisoned = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    replay = Replay(calls, poisoned)
    assert replay.failed == [calls[index] for index in sorted(poisoned)]
    # In arrival order, for the longest has waited longest.
    assert replay.answered == [one for index, one in enumerate(calls) if index not in poisoned]
    assert len(replay.runs) <= most_runs(count)


@given(sizes, st.data())
def test_hints_whatever_they_say_change_no_outcome_and_break_no_bound(
    count: int, data: st.DataObject
) -> None:
    calls = calls_of(*[1] * count)
    poisoned = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    memory_rows = data.draw(st.sampled_from([10**9, 10**9, 3]))

    def forged(part: Sequence[Call]) -> Call | None:
        return data.draw(st.none() | st.sampled_from(list(part)))

    replay = Replay(calls, poisoned, memory_rows, forged)
    numbers = {one: number for number, one in enumerate(calls)}
    assert sorted(map(numbers.__getitem__, replay.failed)) == sorted(poisoned)
    assert sorted(map(numbers.__getitem__, replay.answered)) == sorted(set(range(count)) - poisoned)
    assert len(replay.runs) <= most_runs(count) + (memory_rows < count)


@given(sizes, st.data())
def test_hint_that_is_right_costs_two_runs_for_each_poisoned_call(count: int, data: st.DataObject) -> None:
    calls = calls_of(*[1] * count)
    most = max(int(log2(count)) + 1, count // 4)
    poisoned = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=min(most, count - 1)))
    bad = [calls[index] for index in poisoned]
    replay = Replay(calls, poisoned, hints=lambda part: next(one for one in part if one in bad))
    assert [len(run) for run in replay.runs[0::2]] == [1] * len(poisoned)
    assert len(replay.runs) == 2 * len(poisoned)
    assert len(replay.answered) == count - len(poisoned)


@pytest.mark.parametrize(("count", "bad"), [(8, 0), (64, 0), (64, 63)])
def test_wrong_hint_costs_one_run_and_is_the_last_that_is_asked_for(count: int, bad: int) -> None:
    calls = calls_of(*[1] * count)
    others = calls[:5] + calls[6:]
    misled = Replay(calls, {bad}, hints=lambda part: calls[5] if calls[5] in part else part[0])
    halved = Replay(others, {others.index(calls[bad])})
    assert misled.runs == [[calls[5]], *halved.runs]


@pytest.mark.parametrize(
    ("count", "bad", "runs"), [(2, 0, 2), (4, 3, 4), (8, 0, 6), (64, 63, 12), (64, 0, 12)]
)
def test_one_poisoned_call_costs_twice_the_logarithm_of_its_batch(count: int, bad: int, runs: int) -> None:
    assert len(Replay(calls_of(*[1] * count), {bad}).runs) == runs


def test_when_poison_is_the_rule_the_rest_goes_one_by_one() -> None:
    replay = Replay(calls_of(*[1] * 64), set(range(64)))
    assert [len(run) for run in replay.runs[-30:]] == [1] * 30


def test_out_of_memory_is_run_again_in_groups_of_half_the_rows() -> None:
    calls = calls_of(3, 2, 3, 4, 4)
    replay = Replay(calls, set(), memory_rows=8)
    assert [[one.rows for one in run] for run in replay.runs] == [[3, 2, 3], [4, 4]]
    assert replay.answered == calls


def test_groups_of_half_the_rows_that_fail_again_are_taken_apart() -> None:
    calls = calls_of(*[1] * 12)
    replay = Replay(calls, set(), memory_rows=2)
    assert replay.answered == calls
    assert not replay.failed
    assert len(replay.runs) <= most_runs(12) + 1
