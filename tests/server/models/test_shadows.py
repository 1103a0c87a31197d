from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.batching.request import InSequence, Request
from hotgraph_server.errors import Draining, InternalError
from hotgraph_server.models import shadows
from hotgraph_server.models.admission import cancel
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.shadow_figures import Told
from hotgraph_server.models.shadows import MAX_WAITING, Shadows
from hotgraph_server.models.version import Version
from hotgraph_server.settings import ModelSettings, ShadowSettings, WarmupSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from tests.server.fakes import Caller, FakeGraph, rows, signature, until

BOTH = ShadowSettings(default_version=1, shadow_version=2)


class World:
    """A model `m` with two versions, of which 2 is in the shadow of 1.

    Attributes:
        old, new: the graphs.
    """

    def __init__(self, old: FakeGraph, new: FakeGraph) -> None:
        self.old, self.new = old, new
        self.shadows = Shadows()
        self.versions = {1: self.opened(1, old), 2: self.opened(2, new)}
        self.follow()

    def follow(self, settings: ShadowSettings = BOTH) -> None:
        self.shadows.follow("m", self.versions, settings)

    def call(self, *values: float, of: Signature | None = None) -> Caller:
        caller, version = Caller(), self.versions[1]
        asked = version.signatures[(of or signature()).name]
        version.submit(Request(asked, [rows(*values)], asked.output_aliases, caller.completion))
        return caller

    def told(self) -> Told:
        shadowing = self.versions[2].shadowing
        assert shadowing is not None
        return shadowing.told()

    def stop(self) -> None:
        self.shadows.stop(30.0)
        for graph in (self.old, self.new):
            graph.let_all_go()
        for version in self.versions.values():
            version.stop(0.0)

    def opened(self, number: int, graph: FakeGraph) -> Version:
        settings = ModelSettings("m", Path("unused"), warmup=WarmupSettings(warm_up=False))
        return open_version(settings, number, graph.open)


Made = Callable[..., World]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Makes worlds, whose shadows need no pause."""
    monkeypatch.setattr(shadows, "PAUSES", 0.0)
    worlds: list[World] = []

    def make(old: FakeGraph | None = None, new: FakeGraph | None = None) -> World:
        worlds.append(World(old or FakeGraph(), new or FakeGraph()))
        return worlds[-1]

    yield make
    for world in worlds:
        world.stop()


def tripled(inputs: Sequence[Array]) -> Sequence[Array]:
    return [inputs[0] * 3]


def test_calls_are_asked_of_both_and_callers_get_the_answer_of_the_one_in_service(made: Made) -> None:
    world = made(new=FakeGraph(compute=tripled))
    assert np.array_equal(world.call(1, 2).answer()[0], rows(2, 4))
    until(lambda: world.told().compared == 1)
    told = world.told()
    assert (told.differed, told.failed, told.dropped) == (1, 0, 0)
    assert told.largest == pytest.approx(1 / 3)
    assert "output 'y' differs" in told.reason


def test_same_answers_are_counted_as_that(made: Made) -> None:
    world = made()
    for value in range(5):
        world.call(value).answer()
        until(lambda value=value: world.told().compared == value + 1)  # type: ignore[misc]
    assert world.told().differed == 0
    assert world.told().slower is not None


def test_shadow_that_fails_fails_no_caller(made: Made) -> None:
    def broken(_: Sequence[Array]) -> Sequence[Array]:
        raise InternalError()

    world = made(new=FakeGraph(compute=broken))
    assert np.array_equal(world.call(1).answer()[0], rows(2))
    until(lambda: world.told().failed == 1)
    assert world.told().reason


def test_shadow_that_hangs_holds_up_no_caller_and_what_it_cannot_take_is_dropped(made: Made) -> None:
    world = made()
    world.new.shut()
    for value in range(MAX_WAITING + 5):
        assert np.array_equal(world.call(value).answer()[0], rows(2 * value))
    world.new.wait_until_held()
    assert len(world.new.runs) == 1
    assert world.told().dropped == 5


def test_caller_that_is_failed_is_not_compared(made: Made) -> None:
    def broken(_: Sequence[Array]) -> Sequence[Array]:
        raise InternalError()

    world = made(old=FakeGraph(compute=broken))
    for _ in range(2 * MAX_WAITING):
        assert world.call(1).error()
    # Had they kept their places, there would be none left.
    world.old.compute = lambda inputs: [inputs[0] * 2]
    world.call(1).answer()
    until(lambda: world.told().compared == 1)
    assert world.told().failed == 0


def test_caller_that_leaves_gives_its_place_back(made: Made) -> None:
    world = made()
    world.old.shut()
    first = world.call(1)
    world.old.wait_until_held()
    for _ in range(2 * MAX_WAITING):
        caller, version = Caller(), world.versions[1]
        asked = version.signatures["serving_default"]
        cancel(version.submit(Request(asked, [rows(1)], asked.output_aliases, caller.completion)))
        assert caller.error()
    world.old.let_all_go()
    first.answer()
    world.call(1).answer()
    until(lambda: world.told().compared == 2)


def test_inputs_are_as_they_were_when_the_call_came(made: Made) -> None:
    world = made()
    memory = rows(1)
    caller, version = Caller(), world.versions[1]
    asked = version.signatures["serving_default"]
    world.new.shut()
    version.submit(Request(asked, [memory], asked.output_aliases, caller.completion))
    caller.answer()
    memory[:] = 77
    assert np.array_equal(world.new.wait_until_held()[0], rows(1))


def test_calls_that_change_state_are_not_asked_again(made: Made) -> None:
    both = (signature(), signature("add", writes=True))
    world = made(FakeGraph(*both), FakeGraph(*both))
    world.call(1, of=both[1]).answer()
    world.call(1).answer()
    until(lambda: world.told().compared == 1)
    assert len(world.new.runs) == 1


def test_calls_of_several_callers_are_not_asked_again(made: Made) -> None:
    world = made()
    caller = Caller()
    version = world.versions[1]
    asked = version.signatures["serving_default"]
    version.submit(Request(asked, [rows(1)], asked.output_aliases, caller.completion, member_arrivals=(1.0,)))
    caller.answer()
    world.call(1).answer()
    until(lambda: world.told().compared == 1)
    assert len(world.new.runs) == 1


def test_calls_are_in_a_sequence_only_where_their_version_keeps_sequences(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = made()
    version = world.versions[1]
    asked = version.signatures["serving_default"]

    def call() -> None:
        caller, sequence = Caller(), InSequence(0, start=False, end=False)
        version.submit(Request(asked, [rows(1)], asked.output_aliases, caller.completion, sequence=sequence))
        caller.answer()

    with monkeypatch.context() as patch:
        patch.setattr(version, "sequences", object())
        call()
    call()
    until(lambda: world.told().compared == 1)
    assert len(world.new.runs) == 1


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (signature("other"), "it has no signature 'serving_default'"),
        (signature(inputs={"z": (None, 2)}), "wants another input, 'z'"),
        (
            signature(dtype=np.dtype(np.float64)),
            "input 'x' of signature 'serving_default' is of another type",
        ),
        (signature(outputs={"z": (None, 2)}), "has no output 'y'"),
        (signature(writes=True), "changes state"),
    ],
)
def test_version_that_cannot_take_the_call_has_failed_it(made: Made, other: Signature, why: str) -> None:
    world = made(new=FakeGraph(other))
    world.call(1).answer()
    until(lambda: world.told().failed == 1)
    assert why in world.told().reason


def test_share_of_the_calls_is_taken_and_no_more(made: Made) -> None:
    world = made()
    world.follow(ShadowSettings(default_version=1, shadow_version=2, shadow_share=0.25))
    for value in range(20):
        world.call(value).answer()
        until(lambda value=value: world.told().compared == (value + 1) // 4)  # type: ignore[misc]
    assert world.told().dropped == 0


def test_shadow_that_ends_leaves_calls_as_they_were(made: Made) -> None:
    world = made()
    direct = world.versions[1].submit
    world.follow(ShadowSettings())
    assert world.versions[1].submit != direct
    assert world.versions[2].shadowing is None
    world.call(1).answer()
    assert world.new.runs == []


def test_figures_go_on_while_the_pair_is_the_same_and_begin_anew_with_another(made: Made) -> None:
    world = made()
    world.call(1).answer()
    until(lambda: world.told().compared == 1)
    world.follow(ShadowSettings(default_version=1, shadow_version=2, shadow_share=0.5))
    assert world.told().compared == 1
    world.follow(ShadowSettings(default_version=1, shadow_version=2, shadow_tolerance=0.5))
    assert world.told().compared == 0


@pytest.mark.parametrize(
    "settings",
    [
        ShadowSettings(shadow_version=2),
        ShadowSettings(default_version=1, shadow_version=1),
        ShadowSettings(default_version=1, shadow_version=3),
    ],
)
def test_version_is_in_the_shadow_of_another_or_of_none(made: Made, settings: ShadowSettings) -> None:
    world = made()
    world.follow(settings)
    assert [version.shadowing for version in world.versions.values()] == [None, None]


def test_refused_call_gives_its_place_back(made: Made) -> None:
    world = made()
    world.versions[1].stop(0.0)
    for _ in range(2 * MAX_WAITING):
        with pytest.raises(Draining):
            world.call(1)
    world.versions[1] = world.opened(1, FakeGraph())
    world.follow()
    world.call(1).answer()
    until(lambda: world.told().compared == 1)


def test_stop_ends_the_thread_while_the_shadow_hangs(made: Made) -> None:
    world = made()
    world.new.shut()
    world.call(1).answer()
    world.new.wait_until_held()
    world.shadows.stop(30.0)
    assert "shadow" not in {thread.name for thread in threading.enumerate()}
    world.call(1).answer()
    assert len(world.new.runs) == 1


def test_pause_is_three_times_what_the_comparison_took_and_not_for_ever() -> None:
    assert shadows.pause_after(0.1) == pytest.approx(0.3)
    assert shadows.pause_after(1000.0) == 10.0


def test_pause_follows_each_comparison(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []

    def pause_after(took_s: float) -> float:
        paused.append(took_s)
        return 0.0

    monkeypatch.setattr(shadows, "pause_after", pause_after)
    world = made()
    for count in (1, 2):
        world.call(1).answer()
        until(lambda count=count: len(paused) == count)  # type: ignore[misc]
    assert world.told().compared == 2


def test_registry_shows_the_shadow_that_its_settings_name(made: Made) -> None:
    world = made()
    world.follow(ShadowSettings())
    registry = Registry()
    try:
        registry.replace("m", world.versions.values(), {}, BOTH)
        assert registry.find("m") is world.versions[1]
        assert registry.find("m", 2) is world.versions[2]
        assert world.versions[2].shadowing is not None
        registry.replace("m", world.versions.values())
        assert registry.find("m") is world.versions[2]
    finally:
        registry.shadows.stop(30.0)
