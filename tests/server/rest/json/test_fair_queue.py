"""Whose large job comes next, and how much may wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import QueueFull
from hotgraph_server.rest.json.fair_queue import FairQueue, Ticket

SMALL = 10


def queue(most_bytes: int = 10_000) -> FairQueue[str]:
    return FairQueue(SMALL, most_bytes)


def taken(jobs: FairQueue[str], *, small: bool = True, large: bool = True) -> str | None:
    ticket = jobs.take(small=small, large=large)
    if ticket is None:
        return None
    jobs.done(ticket)
    return ticket.job


def test_jobs_of_one_size_go_as_they_came() -> None:
    jobs = queue()
    for name, caller in (("a", "1"), ("b", "2"), ("c", "3")):
        jobs.put(name, 5, caller)
    assert [taken(jobs) for _ in range(4)] == ["a", "b", "c", None]


def test_small_job_passes_large_ones() -> None:
    jobs = queue()
    jobs.put("large", 500, "one")
    jobs.put("larger", 600, "one")
    jobs.put("small", 20, "one")
    assert [taken(jobs) for _ in range(3)] == ["small", "large", "larger"]


def test_flood_of_one_caller_does_not_keep_out_another() -> None:
    jobs = queue()
    for number in range(100):
        jobs.put(f"flood {number}", 20, "attacker")
    jobs.put("good", 20, "good")
    assert "good" in [taken(jobs) for _ in range(2)]


def test_large_job_is_not_passed_for_ever() -> None:
    jobs = queue()
    jobs.put("large", 1000, "patient")
    for number in range(1000):
        jobs.put(f"{number}", 20, f"caller {number}")
        if taken(jobs) == "large":
            assert number <= 1000 // 20
            return
    pytest.fail("the large job still waits")


def test_who_takes_small_ones_takes_no_others_and_the_other_way_round() -> None:
    jobs = queue()
    jobs.put("large", SMALL + 1, "one")
    jobs.put("small", SMALL, "one")
    assert taken(jobs, large=False) == "small"
    assert taken(jobs, large=False) is None
    jobs.put("small", SMALL, "one")
    assert taken(jobs, small=False) == "large"
    assert taken(jobs, small=False) is None


def test_more_than_the_edge_is_refused_of_either_kind_alone() -> None:
    jobs = queue(100)
    jobs.put("a", 50, "one")
    jobs.put("b", 50, "two")
    with pytest.raises(QueueFull, match="the queue for large JSON"):
        jobs.put("c", 11, "three")
    assert jobs.put("small", 10, "three")
    taken(jobs)
    taken(jobs)
    assert jobs.put("c", 11, "three")


def test_one_caller_has_half_of_the_room_but_always_for_one_job() -> None:
    jobs = queue(100)
    jobs.put("a", 99, "one")
    with pytest.raises(QueueFull):
        jobs.put("b", 11, "one")
    jobs = queue(100)
    jobs.put("a", 30, "one")
    with pytest.raises(QueueFull):
        jobs.put("b", 30, "one")
    assert jobs.put("b", 30, "two")


def test_job_that_is_given_up_makes_room_and_is_never_taken() -> None:
    jobs = queue(100)
    ticket = jobs.put("a", 99, "one")
    jobs.give_up(ticket)
    jobs.give_up(ticket)
    assert jobs.put("b", 99, "one")
    assert [taken(jobs), taken(jobs)] == ["b", None]


@given(st.lists(st.tuples(st.sampled_from("ptgd"), st.integers(1, 30), st.sampled_from("ab")), max_size=60))
def test_whatever_happens_the_books_are_even_in_the_end(steps: list[tuple[str, int, str]]) -> None:
    jobs = queue(1000)
    waiting: list[Ticket[str]] = []
    running: list[Ticket[str]] = []
    for step, nbytes, caller in steps:
        if step == "p":
            waiting.append(jobs.put("job", nbytes, caller))
        elif step == "t":
            ticket = jobs.take()
            assert (ticket is None) == (not waiting)
            if ticket is not None:
                waiting.remove(ticket)
                running.append(ticket)
        elif step == "g" and waiting:
            jobs.give_up(waiting.pop())
        elif step == "d" and running:
            jobs.done(running.pop())
    while ticket := jobs.take():
        waiting.remove(ticket)
        running.append(ticket)
    for ticket in running:
        jobs.done(ticket)
    assert not waiting
    assert not jobs._here
    # Only where nothing waits is there room for as much as this.
    for caller in "ab":
        jobs.put("large", 10**6, caller)
        assert taken(jobs) == "large"
