"""Who waits, who goes and who is told what: the promises at the head of coordinator.py."""

from __future__ import annotations

import logging
import math
import threading
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import LoadError, StartError
from hotgraph_server.models.status import State, Unavailable
from hotgraph_server.models.version import Version
from hotgraph_server.on_demand.learnt import Failure
from hotgraph_server.repository.room import Held, Holding
from hotgraph_server.settings import ModelSettings

from ..fakes import signature, until
from .fakes import MB, FakeSnapshotter, FakeVersion, World

PATIENCE_S = 30.0


def test_however_many_wait_there_is_one_load_and_all_go_on() -> None:
    world = World({"a": 10})
    assert [world.call("a", f"call {number}") for number in range(50)] == ["waits"] * 50
    world.tick()
    world.tick()
    assert world.models.log == ["call a"]
    assert world.ended == {}
    world.models.live("a")
    world.tick()
    until(lambda: len(world.ended) == 50)
    assert set(world.ended.values()) == {"live"}
    assert world.call("a", "later") == "live"
    figures = world.demand.figures()
    assert (figures.misses, figures.loads, figures.waiting) == (50, 1, 0)


def test_models_are_loaded_in_the_order_of_their_first_calls() -> None:
    world = World({"a": 10, "b": 10, "c": 10}, slots=1)
    for model, name in (("c", "1"), ("a", "2"), ("c", "3"), ("b", "4")):
        world.call(model, name)
    world.tick()
    for model in ("c", "a"):
        world.models.live(model)
        world.tick()
    assert world.models.log == ["call c", "call a", "call b"]


def test_the_idle_one_that_was_called_longest_ago_goes_and_only_then_the_other_comes() -> None:
    world = World({"a": 40, "b": 40, "c": 40})
    world.load("a", "b")
    world.models.versions["a"].call()
    world.tick()
    assert world.call("c") == "waits"
    world.models.log.clear()
    world.tick()
    assert world.models.log == ["give up b"]
    world.tick()
    assert world.models.log == ["give up b"]
    world.models.closed("b")
    world.tick()
    assert world.models.log == ["give up b", "call c"]
    assert world.models.held_bytes() <= 100 * MB
    assert world.demand.figures().evictions == 1


@pytest.mark.parametrize("busy", ["waiting", "in_run_for_s"])
def test_one_with_calls_inside_is_not_given_up(busy: str) -> None:
    world = World({"a": 80, "b": 40})
    world.load("a")
    setattr(world.models.versions["a"], busy, 1)
    world.call("b")
    world.models.log.clear()
    assert world.tick() <= world.clock() + 0.1
    assert world.models.log == []
    setattr(world.models.versions["a"], busy, 0)
    world.tick()
    assert world.models.log == ["give up a"]


def test_a_pinned_model_is_never_given_up() -> None:
    world = World({"a": 50, "b": 40, "c": 40}, pinned=["a"])
    world.load("a", "b")
    world.call("c")
    world.tick()
    assert "give up a" not in world.models.log
    assert "give up b" in world.models.log


def test_a_pinned_model_that_could_not_be_loaded_is_tried_again_at_nobodys_call() -> None:
    world = World({"a": 60, "b": 10}, pinned=["a"])
    for name in "ab":
        world.models.call(name)
        world.models.fail(name)
    world.tick()
    assert world.models.log[-2:] == ["give up a", "give up b"]
    again = world.tick()
    assert world.clock() < again < math.inf
    world.clock.now = again
    world.tick()
    assert world.models.log[-1] == "call a"
    world.models.fail("a")
    world.tick()
    # Unless somebody wants it gone.
    world.demand.unload("a", lambda _: None)
    assert world.tick() == math.inf


def test_a_model_that_was_just_loaded_is_kept_as_long_as_its_load_took() -> None:
    world = World({"a": 80, "b": 80})
    world.models.load_s["a"] = 4.0
    world.call("a")
    world.tick()
    world.models.live("a")
    world.tick()
    until(lambda: world.ended)
    until(lambda: not world.demand.handing_out.models)
    world.call("b")
    world.clock.now += 3.9
    world.tick()
    assert "give up a" not in world.models.log
    world.clock.now += 0.2
    world.tick()
    assert "give up a" in world.models.log


def test_changed_state_is_saved_before_a_model_goes() -> None:
    world = World({"a": 80, "b": 80})
    world.load("a")
    version = world.models.versions["a"]
    version.signatures = {"s": signature(writes=True)}
    version.snapshotter = snapshotter = FakeSnapshotter()
    snapshotter.writes = 3
    world.call("b")
    world.tick()
    world.tick()
    assert len(snapshotter.asked) == 1
    assert "give up a" not in world.models.log
    snapshotter.done()
    world.tick()
    assert "give up a" in world.models.log


def test_a_model_whose_state_cannot_be_saved_stays_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World({"a": 80, "b": 80})
    world.load("a")
    version = world.models.versions["a"]
    version.signatures = {"s": signature(writes=True)}
    version.snapshotter = snapshotter = FakeSnapshotter()
    snapshotter.writes = 3
    world.call("b")
    world.tick()
    snapshotter.done("the disk is full")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            world.tick()
    assert "give up a" not in world.models.log
    assert [line.message for line in caplog.records] == [
        "model 'a' version 1 is not given up for others: its state cannot be saved: the disk is full"
    ]
    snapshotter.saved = 3
    world.tick()
    world.tick()
    assert "give up a" in world.models.log


@pytest.mark.parametrize(("writes", "stays"), [(0, False), (1, True)])
def test_a_model_that_has_changed_state_of_which_there_are_no_snapshots_stays(
    writes: int, stays: bool
) -> None:
    world = World({"a": 80, "b": 80})
    world.load("a")
    version = world.models.versions["a"]
    version.signatures = {"s": signature(writes=True)}
    version.snapshotter = FakeSnapshotter(None)
    version.snapshotter.writes = writes
    world.call("b")
    world.tick()
    assert ("give up a" not in world.models.log) is stays


def test_a_load_that_fails_tells_all_who_wait_and_those_who_come_soon() -> None:
    world = World({"a": 10})
    world.call("a", "1")
    world.call("a", "2")
    world.tick()
    world.models.fail("a", "no graph in it")
    world.tick()
    assert len(world.ended) == 2
    assert all("cannot be loaded: /a: no graph in it" in how for how in world.ended.values())
    assert "no graph in it; not tried again for 3.8 s" in world.call("a", "3")
    assert not world.registry.loaded_at_call["a"]
    assert world.changed == ["a"]
    world.clock.now += 3.8
    assert world.call("a", "4") == "waits"
    world.tick()
    assert world.models.log == ["call a", "give up a", "call a"]
    world.models.live("a")
    world.tick()
    until(lambda: world.ended.get("4") == "live")
    assert world.registry.loaded_at_call["a"]
    assert world.changed == ["a", "a"]


def test_a_model_larger_than_the_limit_is_refused_with_both_sizes() -> None:
    world = World({"a": 101, "b": 10})
    world.call("a", "1")
    world.tick()
    assert (
        world.ended["1"] == "model 'a' needs 101 MiB of memory, and all models may have 100 MiB (memory-mb)"
    )
    assert world.call("a", "2") == world.ended["1"]
    assert world.models.log == []
    world.clock.now += 60.0
    world.models.sizes["a"] = 90 * MB
    assert world.call("a", "3") == "waits"


def test_what_pinned_models_hold_is_no_room_for_others() -> None:
    world = World({"a": 60, "b": 50}, pinned=["a"])
    world.load("a")
    world.call("b", "1")
    world.tick()
    assert world.ended["1"].endswith("100 MiB (memory-mb), of which pinned models hold 60 MiB")


def test_pinned_models_that_do_not_fit_together_end_the_start() -> None:
    world = World({"a": 60, "b": 50}, pinned=["a", "b"])
    world.load("a")
    world.demand.check_pinned()
    world.models.call("b")
    world.models.states["b"] = State.WAITING
    world.tick()
    with pytest.raises(StartError, match=r"model 'b' needs 50 MiB .* it is pinned"):
        world.demand.check_pinned()


def test_a_call_that_the_load_cannot_be_in_time_for_is_refused_at_once_and_has_it_begun() -> None:
    world = World({"a": 80, "b": 80})
    world.models.load_s = {"a": 5.0, "b": 5.0}
    world.load("a", "b")
    assert world.call("a", "hurried", within_s=4.9).startswith(
        "model 'a' is not loaded; that takes about 5.0 s, and the call can wait for 4.9 s"
    )
    world.tick()
    world.models.closed("b")
    world.tick()
    assert world.models.states == {"a": State.LOADING}
    world.models.live("a")
    world.tick()
    assert world.call("a", "again", within_s=1.0) == "live"
    assert world.ended.keys() == {"first a", "first b"}


def test_of_a_load_under_way_only_what_is_left_counts() -> None:
    world = World({"a": 80, "b": 80})
    world.models.load_s = {"a": 5.0}
    world.load("a", "b")
    world.call("a", "1")
    world.tick()
    world.models.closed("b")
    world.tick()
    world.tick()
    assert "is not loaded" in world.call("a", "2", within_s=4.0)
    world.clock.now += 2.0
    assert world.call("a", "3", within_s=4.0) == "waits"


def test_nobody_is_refused_for_time_as_long_as_nothing_is_known() -> None:
    world = World({"a": 80})
    assert world.call("a", within_s=0.001) == "waits"


def test_one_call_too_many_is_refused() -> None:
    world = World({"a": 80, "b": 80}, max_load_waits=2)
    assert world.call("a", "1") == "waits"
    assert world.call("b", "2") == "waits"
    assert "is full: 2 calls wait, the limit is 2" in world.call("a", "3")


def test_calls_end_when_they_have_waited_as_long_as_they_may() -> None:
    world = World({"a": 10})
    world.call("a", "1", within_s=5.0)
    assert world.tick() <= world.clock() + 5.0
    world.clock.now += 5.0
    world.tick()
    assert "the call can wait for 5.0 s" in world.ended["1"]


def test_a_model_whose_callers_have_all_left_is_not_loaded() -> None:
    world = World({"a": 80, "b": 80})
    world.load("a")
    world.models.versions["a"].waiting = 1
    world.call("b", "1")
    world.tick()
    world.demand.callers.leave(world.waiters["1"])
    world.models.versions["a"].waiting = 0
    world.models.log.clear()
    world.tick()
    assert world.models.log == []
    assert world.demand.figures().waiting == 0


def test_one_that_waits_for_its_turn_in_vain_is_taken_back_from_the_repository() -> None:
    world = World({"a": 10})
    world.call("a", "1")
    world.tick()
    world.models.states["a"] = State.WAITING
    world.demand.callers.leave(world.waiters["1"])
    world.tick()
    assert world.models.log == ["call a", "give up a"]


def test_a_model_that_is_known_no_more_has_its_callers_told() -> None:
    world = World({"a": 10, "b": 10})
    world.call("a", "1")
    world.demand.know([world.settings["b"]])
    world.tick()
    assert world.ended == {"1": "model 'a' is not known any more"}
    assert world.call("a", "2") == "model 'a' is not known"


def test_a_stop_tells_who_waits_and_who_comes_and_begins_nothing() -> None:
    world = World({"a": 10, "b": 10})
    world.call("a", "1")
    world.demand.wind_down()
    assert "this server" in world.ended["1"]
    assert "this server" in world.call("b", "2")
    assert world.tick() == math.inf
    assert world.models.log == []
    world.demand.stop(5.0)


def test_models_come_and_go_by_request_too() -> None:
    world = World({"a": 80, "b": 80}, pinned=["a"])
    told: list[object] = []
    world.demand.load("a", told.append)
    world.tick()
    assert told == []
    world.models.live("a")
    world.tick()
    until(lambda: told == [None])
    world.demand.unload("a", told.append)
    world.tick()
    assert told == [None, None]
    assert world.models.states == {"a": State.DRAINING}
    assert world.demand.figures().evictions == 0
    # Nobody has called it.
    assert world.demand.figures().misses == 0


def test_a_request_to_load_tries_what_has_failed_and_tells_why_it_fails_again() -> None:
    world = World({"a": 80})
    told: list[object] = []
    world.call("a", "1")
    world.tick()
    world.models.fail("a")
    world.tick()
    world.demand.load("a", told.append)
    world.tick()
    world.models.fail("a", "still broken")
    world.tick()
    assert "failed to load 'a', " in str(told[0])
    assert "still broken" in str(told[0])


def test_a_request_to_load_looks_anew_at_what_was_too_large() -> None:
    world, told = World({"a": 200}), list[object]()
    world.call("a")
    world.tick()
    assert "needs" in world.ended["a"]
    world.models.sizes["a"] = 20 * MB
    assert "needs" in world.call("a", "too soon")
    world.demand.load("a", told.append)
    world.tick()
    world.models.live("a")
    world.tick()
    until(lambda: told == [None])


def test_a_request_to_load_what_is_live_waits_for_what_is_on_its_way() -> None:
    world = World({"a": 80})
    world.load("a")
    told: list[object] = []
    world.demand.load("a", told.append)
    ((name, settled),) = world.models.settled
    assert (name, told) == ("a", [])
    settled([Unavailable("a", 2, LoadError("/a", "broken"))])
    assert "failed to load 'a', /a: broken" in str(told[0])


def test_what_measures_larger_than_it_was_thought_makes_room_for_itself() -> None:
    world = World({"a": 40, "b": 40})
    world.load("a")
    world.models.measured["b"] = 70 * MB
    world.load("b")
    world.tick()
    assert "give up a" in world.models.log


@pytest.mark.parametrize("pinned", [(), ("a",)])
def test_a_new_version_that_does_not_fit_takes_the_place_of_the_old_at_nobodys_call(
    pinned: tuple[str, ...],
) -> None:
    world = World({"a": 60, "b": 30}, pinned=pinned)
    world.load("a")
    world.models.newer.add("a")
    world.models.versions["a"].waiting = 1
    # As long as the old one is busy, nothing goes, and who else is called is not held up.
    world.call("b")
    world.tick()
    assert world.models.log[-1] == "call b"
    world.models.live("b")
    world.tick()
    until(lambda: not world.demand.handing_out.models)
    world.clock.now += 10.0
    world.tick()
    world.models.versions["a"].waiting = 0
    world.tick()
    world.models.closed("a")
    world.tick()
    assert world.models.log[-2:] == ["give up a", "call a"]
    world.models.live("a")
    world.tick()
    figures = world.demand.figures()
    assert (figures.evictions, figures.reloads) == (0, 0)


@pytest.mark.parametrize("fits", [True, False])
def test_the_first_of_several_versions_is_kept_until_the_others_are_there(fits: bool) -> None:
    world = World({"a": 40 if fits else 60})
    models = world.models
    world.call("a")
    world.tick()
    models.versions["a"] = FakeVersion("a", 1, models.sizes["a"], 1.0)
    models.states["a"] = State.LIVE
    models.newer.add("a")
    world.clock.now += 10.0
    world.tick()
    if fits:
        assert (world.ended, "give up a" in models.log) == ({}, False)
        models.newer.clear()
        models.publish("a", [cast(Version, models.versions["a"])])
        world.tick()
        until(lambda: world.ended == {"a": "live"})
    else:
        assert "model 'a' needs" in world.ended["a"]
        assert models.log[-1] == "give up a"


def test_what_is_known_to_be_smaller_by_now_is_offered_to_the_repository_again() -> None:
    """It was refused by what was known before, and nothing else would have it asked for again."""
    world = World({"a": 60, "b": 70})
    world.load("a")
    world.models.versions["a"].waiting = 1
    world.models.states["b"] = State.WAITING
    world.models.called.add("b")
    world.call("b")
    world.tick()
    world.tick()
    assert world.models.log.count("reconsider") == 1
    world.models.sizes["b"] = 40 * MB
    world.tick()
    assert world.models.log.count("reconsider") == 2


def test_who_waits_for_a_model_that_came_and_went_between_two_looks_waits_for_the_next_load() -> None:
    world = World({"a": 60})
    world.call("a")
    world.tick()
    holdings, models = world.models.holdings, world.models

    def before_it_is_live() -> list[Holding]:
        found = holdings()
        models.live("a")
        return found

    models.holdings = before_it_is_live  # type: ignore[method-assign]
    world.tick()
    models.holdings = holdings  # type: ignore[method-assign]
    models.give_up("a")
    models.closed("a")
    world.tick()
    assert models.log[-1] == "call a"
    models.live("a")
    world.tick()
    until(lambda: world.ended == {"a": "live"})


def test_a_model_that_becomes_known_while_others_are_told_of_can_be_called() -> None:
    """A load that has failed is told at the same time as a new list of models is."""
    world = World({"a": 10})
    world.call("a")
    world.tick()
    world.models.fail("a")
    failure, changing = world.demand.learnt.failure, threading.Event()
    added = [*world.settings.values(), ModelSettings("new", Path("/new"))]

    def know() -> None:
        assert changing.wait(PATIENCE_S)
        world.demand.know(added)

    thread = threading.Thread(target=know)

    def slowly(name: str) -> Failure | None:
        changing.set()
        # So long the other one has to come first, if nothing keeps it from that.
        if threading.current_thread() is not thread:
            thread.join(0.2)
        return failure(name)

    thread.start()
    world.demand.learnt.failure = slowly  # type: ignore[method-assign]
    world.tick()
    thread.join(PATIENCE_S)
    assert set(world.registry.loaded_at_call) == {"a", "new"}


def test_a_version_is_admitted_if_it_fits_beside_all_that_is_in_memory() -> None:
    world = World({"a": 40, "b": 70})
    world.load("a")
    (held,) = world.models.held("a")
    unknown = Held("b", 7, State.WAITING, world.settings["b"].path)
    assert not world.demand.admits([], unknown)
    world.demand.learnt.holds("b", 7, 60 * MB)
    assert world.demand.admits([held], unknown)
    world.demand.learnt.holds("b", 7, 61 * MB)
    assert not world.demand.admits([held], unknown)
    world.demand.learnt.holds("b", 7, 101 * MB)
    assert world.demand.admits([], unknown)


def test_calls_that_found_their_model_live_are_counted_beyond_its_life() -> None:
    world = World({"a": 80, "b": 80})
    world.load("a")
    world.models.versions["a"].call(7)
    world.tick()
    assert world.demand.figures().hits == 6
    world.call("b")
    world.tick()
    world.models.versions["a"].call(2)
    world.models.closed("a")
    world.tick()
    assert world.demand.figures().hits == 9 - world.demand.figures().misses


def test_thrash_is_said_once_with_the_size_of_the_working_set(caplog: pytest.LogCaptureFixture) -> None:
    world = World({"a": 80, "b": 70})
    world.models.load_s = {"a": 4.0, "b": 4.0}
    with caplog.at_level(logging.WARNING):
        world.load("a")
        for model, other in (("b", "a"), ("a", "b")) * 4:
            world.models.versions[other].call()
            world.call(model, f"{model} at {world.clock()}")
            world.tick()
            world.models.closed(other)
            world.tick()
            world.models.live(model)
            world.tick()
            until(lambda: not world.demand.handing_out.models)
            world.clock.now += 5.0
    assert [line.message for line in caplog.records] == [
        "models are loaded again that were given up within the minute: the 2 models that were called in it"
        " hold 150 MiB, and memory-mb is 100"
    ]
    assert world.demand.figures().reloads >= 4


NAMES = "abcdef"
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(NAMES)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("go on"), st.integers(0, 5)),
        st.tuples(st.just("fail"), st.integers(0, 5)),
        st.tuples(st.just("run"), st.sampled_from(NAMES)),
        st.tuples(st.just("idle"), st.sampled_from(NAMES)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 20.0])),
        st.tuples(st.just("unload"), st.sampled_from(NAMES)),
    ),
    max_size=40,
)


@given(HAPPENINGS, st.lists(st.integers(1, 70), min_size=6, max_size=6))
def test_whatever_happens_the_limit_holds_and_each_call_ends_once(
    happenings: list[tuple[str, object]], sizes: list[int]
) -> None:
    world = World(dict(zip(NAMES, sizes, strict=True)), pinned=["a"] if sizes[0] < 40 else [])
    models, waits, left = world.models, list[str](), set[str]()

    def step(which: int, fails: bool = False) -> None:
        """Something under way comes to its end."""
        moving = [name for name, state in models.states.items() if state is not State.LIVE]
        if not moving:
            return
        name = moving[which % len(moving)]
        if models.states[name] is State.DRAINING:
            models.closed(name)
        elif fails:
            models.fail(name)
        else:
            models.live(name)

    for number, (what, which) in enumerate(happenings):
        match what:
            case "call":
                if world.call(str(which), str(number)) == "waits":
                    waits.append(str(number))
            case "leave" if waits:
                name = waits[int(str(which)) % len(waits)]
                world.demand.callers.leave(world.waiters[name])
                left.add(name)
            case "go on":
                step(int(str(which)))
            case "fail":
                step(int(str(which)), fails=True)
            case "run" | "idle" if which in models.versions:
                models.versions[str(which)].waiting = int(what == "run")
            case "wait":
                world.clock.now += float(str(which))
            case "unload":
                world.demand.unload(str(which), lambda _: None)
        before = list(models.log)
        busy = {name for name, version in models.versions.items() if version.waiting}
        world.tick()
        assert models.held_bytes() <= 100 * MB
        gave_up = {line.removeprefix("give up ") for line in models.log[len(before) :] if "give up" in line}
        if what != "unload":
            assert gave_up.isdisjoint(busy & models.called)
            assert not ("a" in gave_up and world.settings["a"].residency.pin and what != "fail")
    for version in models.versions.values():
        version.waiting = 0
    for _ in range(200):
        world.clock.now += 0.2
        world.tick()
        step(0)
        until(lambda: not world.demand.handing_out.models)
    world.clock.now += 100.0
    world.tick()
    assert set(waits) - left <= world.ended.keys()
    assert world.demand.figures().waiting == 0


def test_what_a_model_needs_is_guessed_anew_when_more_is_known() -> None:
    world = World({"a": 40, "b": 40, "c": 40})
    for model in "abc":
        world.call(model)
    world.tick()
    # Before the first load all is a guess, and so there is one.
    assert world.models.log == ["call a"]
    world.models.live("a")
    world.models.sizes["b"] = 70 * MB
    world.tick()
    assert world.models.log == ["call a"]
    assert world.demand.figures().loads == 1
