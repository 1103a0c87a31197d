"""What became of calls, and what that says of the server."""

from __future__ import annotations

import pytest

from bench.outcomes import Ended, Outcome, judge, judge_idle, outcome, percentile

RIGHT = b"\x00\x00\x80?"


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("", b"head" + RIGHT + b"tail", Outcome.RIGHT),
        ("", b"something else", Outcome.WRONG),
        ("RESOURCE_EXHAUSTED", b"", Outcome.REFUSED),
        ("UNAVAILABLE", b"", Outcome.REFUSED),
        ("DEADLINE_EXCEEDED", b"", Outcome.EXPIRED),
        ("NO_ANSWER", b"", Outcome.SILENT),
        ("DISCONNECTED", b"", Outcome.FAILED),
        ("INTERNAL", RIGHT, Outcome.FAILED),
    ],
)
def test_outcome_of_a_call(status: str, message: bytes, expected: Outcome) -> None:
    assert outcome(status, message, RIGHT) is expected


def test_goodput_counts_right_answers_within_their_deadline() -> None:
    ended = [
        Ended(Outcome.RIGHT, 0.049),
        Ended(Outcome.RIGHT, 0.0505),
        Ended(Outcome.RIGHT, 0.055),
        Ended(Outcome.REFUSED, 0.001),
        Ended(Outcome.EXPIRED, 0.061),
        Ended(Outcome.SILENT, 1.05, lag_s=0.002),
    ]
    level = judge("a", 0, 2.0, 10.0, 2.0, ended, 0.050)
    assert level.good_per_s == 0.5
    assert level.goodput == 0.05
    assert level.offered == 3.0
    # Half a millisecond past the deadline it may have been on its way.
    assert level.late == 1
    assert level.latest_ms == pytest.approx(5.0)
    assert level.stalled == 2
    assert level.ends == {"right": 3, "refused": 1, "expired": 1, "silent": 1}


def test_with_an_idle_server_two_runs_and_a_little_are_the_limit() -> None:
    ended = [Ended(Outcome.RIGHT, 0.016), Ended(Outcome.RIGHT, 0.041), Ended(Outcome.FAILED, 0.0421)]
    idle = judge_idle("a", 0, 2, ended, run_s=0.016)
    assert (idle.calls, idle.others, idle.outliers) == (2, 1, 1)
    assert idle.bound_ms == pytest.approx(42.0)
    assert idle.max_ms == pytest.approx(42.1)


def test_percentiles_of_little() -> None:
    assert percentile([], 99) == 0.0
    assert percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
