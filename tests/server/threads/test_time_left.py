"""time_left.py: several waits have one sum between them."""

from __future__ import annotations

from hotgraph_server.threads.time_left import TimeLeft


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_one_wait_takes_the_next_one_has_not() -> None:
    clock = Clock()
    left = TimeLeft(5.0, clock)
    assert left.seconds() == 5.0
    clock.now += 3.0
    assert left.seconds() == 2.0


def test_who_comes_after_one_that_hangs_has_a_moment() -> None:
    clock = Clock()
    left = TimeLeft(5.0, clock)
    clock.now += 60.0
    assert 0.0 < left.seconds() < 1.0
