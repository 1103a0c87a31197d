"""Threads that get on, and threads that hang, by what is seen of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.threads.progress import Progress, Sign, Steps

WITHIN_S = 30.0


def sign(steps: int, *, has_work: bool = True, alive: bool = True, long_since: float | None = None) -> Sign:
    return Sign("executor m", alive, steps, has_work, long_since)


def test_thread_that_does_nothing_though_there_is_work_hangs_after_its_time() -> None:
    progress = Progress(WITHIN_S)
    assert not progress.look(0.0, [sign(5)])
    assert not progress.look(30.0, [sign(5)])
    (said,) = progress.look(31.0, [sign(5)])
    assert said == "thread 'executor m' has done nothing for 31 s"


def test_each_step_is_progress_however_much_is_left_to_do() -> None:
    progress = Progress(WITHIN_S)
    for step in range(100):
        assert not progress.look(step * 29.0, [sign(step)])


def test_thread_with_nothing_to_do_may_do_nothing_for_ever() -> None:
    progress = Progress(WITHIN_S)
    progress.look(0.0, [sign(5, has_work=False)])
    assert not progress.look(1e6, [sign(5, has_work=False)])
    # Its time begins when there is something.
    assert not progress.look(1e6 + 30.0, [sign(5)])
    assert progress.look(1e6 + 31.0, [sign(5)])


def test_thread_that_waits_for_more_has_that_time_beside() -> None:
    progress = Progress(1.0)
    holding = sign(5)._replace(may_hold_s=10.0)
    progress.look(0.0, [holding])
    assert not progress.look(11.0, [holding])
    assert progress.look(12.0, [holding])


def test_long_run_of_a_graph_is_no_lack_of_progress() -> None:
    progress = Progress(WITHIN_S)
    progress.look(0.0, [sign(5)])
    assert not progress.look(1e6, [sign(5, long_since=1.0)])
    # What comes after it has its whole time.
    assert not progress.look(1e6 + 30.0, [sign(5)])
    assert progress.look(1e6 + 31.0, [sign(5)])


def test_long_run_hangs_where_its_owner_has_said_how_long_it_may_be() -> None:
    progress = Progress(WITHIN_S, step_s=60.0)
    assert not progress.look(100.0, [sign(5, long_since=40.0)])
    assert progress.look(101.0, [sign(5, long_since=40.0)]) == ["thread 'executor m' is in one run for 61 s"]


def test_thread_that_has_ended_hangs_at_once_and_though_there_is_no_work() -> None:
    said = Progress(WITHIN_S).look(0.0, [sign(5, has_work=False, alive=False)])
    assert said == ["thread 'executor m' has ended"]


def test_thread_that_gets_on_again_is_well() -> None:
    progress = Progress(WITHIN_S)
    progress.look(0.0, [sign(5)])
    assert progress.look(31.0, [sign(5)])
    assert not progress.look(32.0, [sign(6)])


def test_process_that_stood_still_has_no_thread_that_hangs() -> None:
    """It was stopped, or its machine was: the first to run again may be the one who looks."""
    progress = Progress(WITHIN_S, look_s=5.0)
    progress.look(0.0, [sign(5)])
    assert not progress.look(1e6, [sign(5)])
    for look in range(1, 6):
        assert not progress.look(1e6 + 5.0 * look, [sign(5)])
    assert progress.look(1e6 + 31.0, [sign(5)])


def test_process_that_stood_still_has_no_run_that_is_too_long() -> None:
    """Even where its owner has said how long runs may be."""
    progress = Progress(WITHIN_S, step_s=60.0, look_s=5.0)
    progress.look(0.0, [sign(5)])
    assert not progress.look(1e6, [sign(5, long_since=1.0)])
    assert not progress.look(2e6, [sign(5, long_since=1.0)])
    for look in range(1, 11):
        assert not progress.look(2e6 + 5.0 * look, [sign(5, long_since=1.0)])
    assert progress.look(2e6 + 51.0, [sign(5, long_since=1.0)])


def test_each_long_run_has_its_own_time() -> None:
    progress = Progress(WITHIN_S, step_s=60.0)
    for step in range(10):
        assert not progress.look(50.0 * (step + 1), [sign(step, long_since=50.0 * step)])


def test_thread_that_is_not_asked_about_is_forgotten() -> None:
    """A version went, and another came by its name: it has its whole time."""
    progress = Progress(WITHIN_S)
    progress.look(0.0, [sign(5)])
    progress.look(10.0, [])
    assert not progress.look(40.0, [sign(5)])


def test_one_that_hangs_hides_no_other() -> None:
    progress = Progress(WITHIN_S)
    both = [sign(1), Sign("serving", True, 1, True)]
    progress.look(0.0, both)
    assert len(progress.look(31.0, both)) == 2


def test_steps_are_counted_and_the_long_one_ends_with_its_count() -> None:
    steps = Steps()
    steps.begin_long(7.0)
    assert (steps.count, steps.long_since) == (0, 7.0)
    steps.done()
    assert (steps.count, steps.long_since) == (1, None)


@given(
    st.lists(
        st.tuples(st.floats(0.0, WITHIN_S), st.booleans(), st.booleans()),
        max_size=30,
    )
)
def test_nothing_hangs_that_was_idle_or_got_on_within_its_time(looks: list[tuple[float, bool, bool]]) -> None:
    progress, now, steps, idle_s = Progress(WITHIN_S), 0.0, 0, 0.0
    for passed_s, gets_on, has_work in looks:
        now += passed_s
        steps += gets_on
        idle_s = 0.0 if gets_on or not has_work else idle_s + passed_s
        hangs = bool(progress.look(now, [sign(steps, has_work=has_work)]))
        if idle_s <= WITHIN_S:
            assert not hangs
