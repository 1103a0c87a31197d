"""The fast simulator makes of every trace what the queue's own decisions make of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.batching.plain_simulator import is_plain, simulate_plainly
from hotgraph_server.batching.simulator import Arrival, simulate
from hotgraph_server.settings import BatchSettings, QueuePolicy


def run_s(rows: int) -> float:
    return 0.010 + 0.001 * rows


CALLS = st.lists(st.tuples(st.floats(0.0, 0.2), st.integers(1, 8)), max_size=80)


@settings(deadline=None)
@given(
    CALLS, st.sampled_from([8, 11, 64]), st.sampled_from([3, 1024]), st.sampled_from([0, 64]), st.booleans()
)
def test_both_simulators_make_the_same_of_a_trace(
    calls: list[tuple[float, int]], most: int, most_calls: int, most_rows: int, joins: bool
) -> None:
    # One that runs alone is one row to the queue.
    calls = [(at, rows if joins else 1) for at, rows in sorted(calls)]
    batch = BatchSettings(max_batch_rows=most, max_queued_calls=most_calls, max_queued_rows=most_rows)
    assert is_plain(batch, 8, joins=joins)
    plain = simulate_plainly([at for at, _ in calls], [rows for _, rows in calls], run_s, batch, joins=joins)
    outcome = simulate(
        [Arrival(at, rows, lane="lane" if joins else None) for at, rows in calls], run_s, batch
    )
    assert plain.batches == outcome.batches
    assert plain.busy_s == pytest.approx(outcome.busy_s)
    for ended, fate in zip(plain.ended, outcome.fates, strict=True):
        assert math.isnan(ended) == (fate.refusal is not None)
        assert math.isnan(ended) or ended == pytest.approx(fate.ended, abs=1e-12)


@pytest.mark.parametrize(
    "batch",
    [
        BatchSettings(max_wait_us=1),
        BatchSettings(preferred_batch_rows=(4,)),
        BatchSettings(preserve_ordering=True),
        BatchSettings(priority_levels=2),
        BatchSettings(queue_policy=QueuePolicy(3)),
        BatchSettings(max_batch_rows=7),
    ],
)
def test_what_needs_more_decisions_is_not_called_plain(batch: BatchSettings) -> None:
    assert is_plain(BatchSettings(), 8, joins=True)
    assert not is_plain(batch, 8, joins=True)


def test_a_call_of_any_size_is_plain_where_none_share_runs() -> None:
    assert is_plain(BatchSettings(max_batch_rows=4), 100, joins=False)


def test_who_comes_at_the_very_moment_at_which_a_run_ends_goes_with_the_next() -> None:
    course = simulate_plainly([0.0, 0.5, 0.5], [1, 1, 1], lambda _: 0.5, BatchSettings())
    assert course.batches == [1, 2]
