"""Calls that find their model not loaded: they wait as data, go on, and end once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from hotgraph_server.errors import CallError, Cancelled, LoadFails, NotLoaded, NotReady, QueueFull
from hotgraph_server.models.registry import Registry
from hotgraph_server.on_demand.door import WaitingDoor
from hotgraph_server.on_demand.waiting import Waiter, Waiting
from hotgraph_server.transport.service import PlainMethod, Service

from ..fakes import FakeClock
from ..protocols.fakes import FakeReply


class FakeCallers:
    """Of callers.Callers what the door sees.

    Attributes:
        live: models that need not be waited for.
        refusal: what callers are refused with; None: they may wait.
    """

    def __init__(self) -> None:
        self.waiting = Waiting(100)
        self.live: set[str] = set()
        self.refusal: CallError | None = None
        self.came: list[Waiter] = []

    def wait(self, waiter: Waiter) -> bool:
        if waiter.model in self.live:
            return False
        if self.refusal is not None:
            raise self.refusal
        self.came.append(waiter)
        self.waiting.add(waiter)
        return True

    def leave(self, waiter: Waiter) -> None:
        self.waiting.leave(waiter)

    def expiry(self, now: float) -> float:
        return now + 60.0


class World:
    """A door, and a method behind it whose models are loaded when the test says so."""

    def __init__(self) -> None:
        self.callers, self.clock, self.registry = FakeCallers(), FakeClock(), Registry()
        self.door = WaitingDoor(self.callers, self.registry, self.clock)
        self.loaded: set[str] = set()
        self.calls: list[str] = []
        self.during_call: Callable[[], None] = lambda: None
        self.method = self.door.around(self._method)

    def go_on(self, model: str) -> None:
        for waiter in self.callers.waiting.take(model):
            waiter.go_on()

    def _method(self, message: Any, reply: Any) -> None:
        self.calls.append(message)
        self.during_call()
        if message not in self.loaded:
            raise NotLoaded(message)
        reply.finish(lambda: b"answer")


@pytest.fixture
def world() -> World:
    return World()


def test_a_call_of_a_live_model_passes(world: World) -> None:
    world.loaded.add("m")
    reply = FakeReply()
    world.method("m", reply)
    assert reply.answer() == b"answer"
    assert len(world.callers.waiting) == 0


def test_a_call_waits_and_is_made_again_when_the_model_is_live(world: World) -> None:
    reply = FakeReply()
    world.method("m", reply)
    assert world.calls == ["m"]
    assert not reply.finished
    world.loaded.add("m")
    world.go_on("m")
    assert world.calls == ["m", "m"]
    assert reply.answer() == b"answer"


@pytest.mark.parametrize(("deadline_s", "expires_s", "own"), [(5.0, 5.0, True), (math.inf, 60.0, False)])
def test_it_waits_as_long_as_it_may(world: World, deadline_s: float, expires_s: float, own: bool) -> None:
    world.method("m", FakeReply(deadline=world.clock() + deadline_s))
    (waiter,) = world.callers.came
    assert waiter.expires == world.clock() + expires_s
    assert waiter.has_deadline is own


def test_one_that_finds_the_model_gone_again_waits_again_and_no_longer(world: World) -> None:
    reply = FakeReply()
    world.method("m", reply)
    world.clock.now += 10.0
    world.go_on("m")
    first, second = world.callers.came
    assert (second.arrived, second.expires) == (first.arrived, first.expires)
    world.loaded.add("m")
    world.go_on("m")
    assert reply.answer() == b"answer"


def test_who_leaves_is_forgotten(world: World) -> None:
    reply = FakeReply()
    world.method("m", reply)
    assert len(world.callers.waiting) == 1
    assert reply.cancel is not None
    # No outcome is to come.
    assert reply.cancel() is None
    assert len(world.callers.waiting) == 0


def test_who_has_left_before_it_waits_is_not_kept(world: World) -> None:
    class Gone(FakeReply):
        def when_gone(self, cancel: Callable[[], object]) -> None:
            # As every transport does.
            cancel()

    world.method("m", Gone())
    assert len(world.callers.came) == 1
    assert len(world.callers.waiting) == 0


def test_how_a_call_that_goes_on_is_left_is_its_methods_to_say(world: World) -> None:
    """The thread that lets it go on may be quicker than the one that has it wait."""
    left: list[str] = []
    reply = FakeReply()
    wait = world.callers.wait

    def quick(waiter: Waiter) -> bool:
        waits = wait(waiter)
        world.during_call = lambda: reply.when_gone(lambda: left.append("by the method"))
        world.loaded.add("m")
        world.go_on("m")
        return waits

    world.callers.wait = quick  # type: ignore[method-assign]
    world.method("m", reply)
    assert reply.cancel is not None
    reply.cancel()
    assert left == ["by the method"]


def test_a_refusal_is_raised_at_once_and_kept_for_who_looks_after_the_model(world: World) -> None:
    world.registry.loaded_at_call = {"m": True}
    world.callers.refusal = QueueFull("it", 1, 1)
    with pytest.raises(QueueFull):
        world.method("m", FakeReply())
    assert world.registry.last_errors.counts == {("m", "RESOURCE_EXHAUSTED"): 1}


def test_one_that_waited_in_vain_is_told_why(world: World) -> None:
    reply = FakeReply()
    world.method("m", reply)
    (waiter,) = world.callers.waiting.take("m")
    waiter.fail(LoadFails("m", "broken", 3.0))
    with pytest.raises(LoadFails, match="broken") as raised:
        reply.answer()
    assert raised.value.about == ("m", 0, "")
    assert world.registry.last_errors.counts == {("m", "UNAVAILABLE"): 1}


def test_what_goes_wrong_at_the_second_try_is_the_answer(world: World) -> None:
    reply = FakeReply()
    world.method("m", reply)

    def breaks() -> None:
        raise Cancelled

    world.during_call = breaks
    world.go_on("m")
    with pytest.raises(Cancelled):
        reply.answer()


def test_a_model_that_is_live_by_now_is_called_at_once(world: World) -> None:
    tries: list[int] = []

    def live_at_the_third() -> None:
        tries.append(1)
        if len(tries) == 3:
            world.loaded.add("m")

    world.during_call = live_at_the_third
    world.callers.live.add("m")
    reply = FakeReply()
    world.method("m", reply)
    assert reply.answer() == b"answer"


def test_a_model_that_comes_and_goes_all_the_time_ends_the_call(world: World) -> None:
    world.callers.live.add("m")
    with pytest.raises(NotReady, match="all the time"):
        world.method("m", FakeReply())
    assert len(world.calls) < 10


def test_of_a_service_the_hot_methods_wait_and_the_plain_ones_that_are_named(world: World) -> None:
    class Message:
        @classmethod
        def FromString(cls, message: str) -> str:
            return message

    class Answer:
        def SerializeToString(self) -> bytes:
            return b"told"

    def tell(request: str) -> Answer:
        if request not in world.loaded:
            raise NotLoaded(request)
        return Answer()

    plain = {"Metadata": PlainMethod(Message, tell), "Other": PlainMethod(Message, tell)}
    service = world.door.around_service(Service("s", None, {"Predict": world.method}, plain), ["Metadata"])
    assert service.hot.keys() == {"Predict", "Metadata"}
    assert service.plain.keys() == {"Other"}
    reply = FakeReply()
    service.hot["Metadata"]("m", reply)
    world.loaded.add("m")
    world.go_on("m")
    assert reply.answer() == b"told"


def test_those_behind_a_call_that_waits_are_told_so_until_it_has_been_taken(world: World) -> None:
    reply, told = FakeReply(), list[object]()
    reply.held_up = told.append
    world.method("m", reply)
    assert told == [True]
    world.loaded = {"m"}
    world.during_call = lambda: told.append("called")
    world.go_on("m")
    assert told == [True, "called", False]


def test_those_behind_a_call_that_need_not_wait_after_all_are_told_so(world: World) -> None:
    reply, told = FakeReply(), list[object]()
    reply.held_up = told.append
    world.callers.live = {"m"}
    calls = world.calls

    def live_by_now() -> None:
        world.loaded = {"m"} if len(calls) > 1 else set()

    world.during_call = live_by_now
    world.method("m", reply)
    assert told == [True, False]
