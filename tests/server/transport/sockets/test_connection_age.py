"""When a connection has its age, by a clock of the test's."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.sockets.connection_age import SPREAD, ConnectionAge, Step
from hotgraph_server.transport.sockets.times import Times


def age(share: float = 0.0, **times: float) -> ConnectionAge:
    """Of a connection that was opened at 100."""
    return ConnectionAge(Times(**times), 100.0, share)


def steps(
    one: ConnectionAge, until: float, *, calls: int = 0, quiet: bool = True
) -> list[tuple[float, Step]]:
    """All that is done, and when, if nothing comes that the arguments do not say."""
    found: list[tuple[float, Step]] = []
    due = 0.0
    while (due := max(one.due_at, due)) <= until:
        step = one.look(due, calls, quiet)
        if step is not Step.NOTHING:
            found.append((due, step))
    return found


def test_connection_without_limits_is_never_looked_at() -> None:
    assert age().due_at == math.inf


def test_connection_is_asked_to_go_at_its_age_and_closed_once_it_is_quiet() -> None:
    one = age(max_age_s=50.0)
    assert one.due_at == 150.0
    assert one.look(149.0, 3, True) is Step.NOTHING
    assert one.look(150.0, 7, True) is Step.ASK
    assert one.due_at == 152.0
    # It has called since, and may again.
    assert one.look(152.0, 8, True) is Step.ASK
    assert one.look(154.0, 8, True) is Step.CLOSE_IF_QUIET


@given(share=st.floats(-1.0, 1.0), max_age_s=st.floats(0.01, 1e6))
def test_ages_differ_by_a_tenth_at_most(share: float, max_age_s: float) -> None:
    lives_s = age(share, max_age_s=max_age_s).due_at - 100.0
    assert 1 - SPREAD - 1e-6 <= lives_s / max_age_s <= 1 + SPREAD + 1e-6
    assert (lives_s < max_age_s) == (share < 0) or math.isclose(lives_s, max_age_s)


def test_calls_that_do_not_end_are_cut_off_after_the_grace_and_once() -> None:
    one = age(max_age_s=50.0, age_grace_s=7.0)
    found = steps(one, 200.0, calls=1, quiet=False)
    assert found[0] == (150.0, Step.ASK)
    assert [at for at, step in found if step is Step.CUT] == [157.0]


def test_without_a_grace_calls_have_all_the_time_that_they_like() -> None:
    found = steps(age(max_age_s=50.0), 10_000.0, calls=1, quiet=False)
    assert {step for _, step in found} == {Step.ASK}


def test_peer_that_was_asked_and_stays_without_a_call_is_closed_after_a_while() -> None:
    found = steps(age(max_age_s=50.0), 200.0)
    assert found[0] == (150.0, Step.ASK)
    assert next(at for at, step in found if step is Step.CLOSE) == 170.0
    # Not one with a call under way, however long it was asked ago.
    assert Step.CLOSE not in {step for _, step in steps(age(max_age_s=50.0), 500.0, calls=1, quiet=False)}


def test_idle_connection_is_asked_to_go() -> None:
    assert steps(age(max_idle_s=8.0), 108.0) == [(108.0, Step.CLOSE_IF_QUIET)]


def test_call_that_crossed_the_end_of_an_idle_connection_has_until_its_age_and_the_grace() -> None:
    one = age(max_age_s=50.0, max_idle_s=8.0, age_grace_s=7.0)
    assert steps(one, 108.0) == [(108.0, Step.CLOSE_IF_QUIET)]
    found = steps(one, 200.0, calls=1, quiet=False)
    assert [at for at, step in found if step is Step.CUT] == [157.0]


def test_connection_that_calls_is_not_idle() -> None:
    one = age(max_idle_s=8.0)
    for calls in range(1, 100):
        assert one.look(one.due_at, calls, True) is Step.NOTHING


def test_connection_with_a_call_under_way_is_not_idle() -> None:
    assert steps(age(max_idle_s=8.0), 1000.0, calls=1, quiet=False) == []


@given(
    st.floats(1.0, 100.0),
    st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), max_size=20),
)
def test_idle_connection_goes_at_most_a_quarter_late_and_never_early(
    max_idle_s: float, calls: list[tuple[float, bool]]
) -> None:
    """However calls come before, each either short or one that goes on to the next."""
    one, at, last, count, quiet = age(max_idle_s=max_idle_s), 100.0, 100.0, 0, True
    for gap, goes_on in [*calls, (0.0, False)]:
        until = at + gap * max_idle_s
        while one.due_at < until:
            due = one.due_at
            if one.look(due, count, quiet) is Step.CLOSE_IF_QUIET:
                assert quiet
                assert due - last >= max_idle_s * (1 - 1e-9)
                return
        at, count, last, quiet = until, count + 1, until, not goes_on
    found: list[Any] = steps(one, last + 2 * max_idle_s, calls=count)
    ((closed_at, step), *_) = found
    assert step is Step.CLOSE_IF_QUIET
    assert max_idle_s * (1 - 1e-9) <= closed_at - last <= 1.25 * max_idle_s * (1 + 1e-9)


def test_age_comes_though_a_connection_is_busy_and_idle_though_it_is_young() -> None:
    one = age(max_age_s=50.0, max_idle_s=20.0)
    assert steps(one, 150.0, calls=1, quiet=False) == [(150.0, Step.ASK)]
    assert steps(age(max_age_s=50.0, max_idle_s=20.0), 130.0)[0] == (120.0, Step.CLOSE_IF_QUIET)
