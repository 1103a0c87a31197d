from __future__ import annotations

from hotgraph_server.fleet.crashes import MOST, PAUSE_S, Crashes


def test_model_is_left_out_after_so_many_times_and_tried_once_after_each_pause() -> None:
    crashes = Crashes()
    for time_s in range(MOST):
        assert not crashes.why_not("a", {}, time_s)
        crashes.ended("a", {}, time_s)
    last_s = MOST - 1
    assert crashes.why_not("a", {}, last_s + 1).startswith(f"its server has ended {MOST} times")
    assert not crashes.why_not("a", {}, last_s + PAUSE_S)
    crashes.ended("a", {}, last_s + PAUSE_S)
    assert crashes.why_not("a", {}, last_s + PAUSE_S + 1)


def test_other_models_and_versions_are_none_the_worse_for_it() -> None:
    crashes = Crashes()
    for time_s in range(MOST):
        crashes.ended("a", {"v": "1"}, time_s)
    assert not crashes.why_not("a", {"v": "2"}, 3)
    assert not crashes.why_not("b", {"v": "1"}, 3)
    assert crashes.is_suspect("a", {"v": "1"})
    assert not crashes.is_suspect("b", {"v": "1"})


def test_model_that_was_loaded_is_no_suspect_any_more() -> None:
    crashes = Crashes()
    for time_s in range(MOST):
        crashes.ended("a", {}, time_s)
    crashes.loaded("a", {})
    assert not crashes.is_suspect("a", {})
    assert not crashes.why_not("a", {}, 3)


def test_what_was_long_ago_is_not_kept() -> None:
    crashes = Crashes()
    for number in range(100):
        crashes.ended(f"m{number}", {}, number * 600.0)
    assert len(crashes.times) < 10
