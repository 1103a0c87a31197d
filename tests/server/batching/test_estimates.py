"""How long what waits keeps the executor, and how late a call will be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hotgraph_server.batching.estimates import SLACK_S, late_by_s, shared_work_s, slack_s, work_s

from .flows import LINEAR, flow_of

NOW = 1000.0


@pytest.mark.parametrize(("count", "seconds"), [(0, 0.0), (3, 3.0), (4, 4.0), (9, 9.0)])
def test_work_is_full_batches_and_what_is_left_over(count: int, seconds: float) -> None:
    assert work_s(count, 4, flow_of(LINEAR).curve) == pytest.approx(seconds)
    flat = flow_of({1: 2.0, 4: 2.0}).curve
    assert work_s(count, 4, flat) == 2.0 * math.ceil(count / 4)


def test_calls_that_will_come_in_time_make_the_shared_batch_longer() -> None:
    steady: Any = flow_of(LINEAR, gap_s=1.0)
    assert shared_work_s(1, 8, steady, 0.0) == pytest.approx(1.0)
    assert shared_work_s(1, 8, steady, 3.5) == pytest.approx(4.0)
    assert shared_work_s(1, 8, steady, 99.0) == pytest.approx(8.0)
    assert shared_work_s(8, 8, steady, 99.0) == pytest.approx(8.0)
    # The full batch before it gives eight more the time to come.
    assert shared_work_s(9, 8, steady, 0.0) == pytest.approx(16.0)
    assert shared_work_s(1, 8, flow_of(LINEAR), 99.0) == pytest.approx(1.0)


def test_lateness_counts_the_present_run_and_what_is_ahead_with_a_margin() -> None:
    assert late_by_s(NOW, NOW + 3.6, NOW + 1.0, 2.0, 1.2) == pytest.approx(SLACK_S)
    assert late_by_s(NOW, NOW + 2.6, NOW + 1.0, 2.0, 1.2) == pytest.approx(1.0 + SLACK_S)


def test_run_that_is_overdue_counts_for_nothing() -> None:
    assert late_by_s(NOW, NOW + 1.0, NOW - 9.0, 0.5, 1.1) < 0.0


def test_answering_takes_little_beside_little_and_nothing_of_nothing() -> None:
    assert slack_s(0.0) == 0.0
    assert slack_s(0.016) == pytest.approx(0.001)
    assert slack_s(9.0) == SLACK_S
