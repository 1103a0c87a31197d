"""What may be asked that is no call."""

from __future__ import annotations

from hotgraph_server.transport.http2.calm import MOST, PER_S, Allowance


def test_allowance_is_spent_and_comes_back_with_time() -> None:
    now = [100.0]
    allowance = Allowance(lambda: now[0])
    assert all(allowance.spend() for _ in range(int(MOST)))
    assert not allowance.spend()
    now[0] += 1.0
    assert sum(allowance.spend() for _ in range(2 * int(PER_S))) in (int(PER_S) - 1, int(PER_S))


def test_what_is_earned_is_no_more_than_there_was() -> None:
    allowance = Allowance(lambda: 100.0)
    allowance.earn(5 * MOST)
    assert allowance.spend(MOST)
    assert not allowance.spend()
