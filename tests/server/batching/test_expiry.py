"""Who still wants an answer, and how a call ends whose deadline has passed."""

from __future__ import annotations

import pytest

from hotgraph_server.batching.expiry import end_expired, is_wanted
from hotgraph_server.errors import Cancelled, DeadlineExceeded
from hotgraph_server.statistics import Event, Statistics

from ..fakes import Caller, call, signature

NOW = 1000.0


def expired(statistics: Statistics) -> int:
    return statistics.snapshot().events[Event.EXPIRED]


def test_call_is_wanted_until_the_moment_of_its_deadline() -> None:
    one = call(deadline=NOW)
    assert is_wanted(one, NOW - 1e-6)
    assert not is_wanted(one, NOW)
    assert is_wanted(call(), NOW)


def test_call_that_has_ended_is_not_wanted() -> None:
    one = call()
    one.completion.finish(Cancelled())
    assert not is_wanted(one, NOW)


@pytest.mark.parametrize("writes", [False, True])
def test_expired_call_ends_once_and_hears_that_it_has_changed_nothing(writes: bool) -> None:
    caller, statistics = Caller(), Statistics()
    one = call(of=signature(writes=writes), completion=caller.completion, deadline=NOW)
    for _ in range(2):
        end_expired([one], statistics)
    assert isinstance(caller.error(), DeadlineExceeded)
    assert ("has changed nothing" in str(caller.error())) is writes
    assert (len(caller.outcomes), expired(statistics)) == (1, 1)
    assert statistics.by_signature()[one.signature.name].events[Event.EXPIRED] == 1


def test_call_that_ended_otherwise_or_whose_run_has_begun_is_left_alone() -> None:
    statistics, caller = Statistics(), Caller()
    ended, begun = call(), call(completion=caller.completion, deadline=NOW)
    ended.completion.finish(Cancelled())
    assert begun.completion.begin()
    end_expired([ended, begun], statistics)
    assert (caller.outcomes, expired(statistics)) == ([], 0)
