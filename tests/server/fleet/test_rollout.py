from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, ShadowSeen
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.rollout import Copy, Rollout, Step, Versions, View, restored, verdict
from hotgraph_server.fleet.rollout_steps import HEARD_S, follow
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec, RolloutSpec
from hotgraph_server.fleet.status import DriverFigures, status_document

SPEC = RolloutSpec(calls=10, wait_s=60.0)


@dataclass
class Server:
    """A replica's, as far as one model goes.

    Attributes:
        versions: live; the first is what callers get.
        loading: what it was told to have, and when that will be so.
    """

    versions: Versions = ()
    incarnation: int = 0
    up: bool = True
    shadow: ShadowSeen | None = None
    loading: tuple[Versions, float] | None = None


@dataclass
class World:
    """Replicas that do what they are told, a second after the other.

    Attributes:
        there: versions in the repository.
        broken: those that cannot be loaded.
        compared: what a second of comparing adds, to the figures of the shadow.
        history: of what each replica was told to have, by change.
    """

    servers: dict[str, Server]
    there: set[int]
    spec: RolloutSpec = SPEC
    version: int | None = None
    broken: set[int] = field(default_factory=set)
    compared: Callable[[ShadowSeen], ShadowSeen] = lambda seen: dataclasses.replace(
        seen, compared=seen.compared + 5, slower=1.0
    )
    now: float = 1000.0
    rollout: Rollout | None = None
    failed: dict[tuple[str, Versions], tuple[float, str]] = field(default_factory=dict)
    history: list[tuple[str, Versions]] = field(default_factory=list)

    def tick(self) -> dict[str, Versions]:
        before = self.holders()
        self._time_passes()
        self.rollout, wanted = follow(self.view(), self.rollout)
        self._check(wanted)
        for name, versions in wanted.items():
            self._tell(name, versions)
        assert self.holders() >= before & {name for name, one in self.servers.items() if one.up}
        return wanted

    def until(self, *steps: Step, most: int = 300) -> Rollout:
        for _ in range(most):
            self.tick()
            assert self.rollout is not None
            if self.rollout.step in steps:
                return self.rollout
        raise AssertionError(f"it never came to {steps}: {self.rollout}")

    def settled(self, most: int = 500) -> Rollout:
        """Until nothing changes for a while."""
        quiet = 0
        for _ in range(most):
            told = len(self.history)
            self.tick()
            assert self.rollout is not None
            still = self.rollout.step is Step.STEADY and told == len(self.history)
            quiet = quiet + 1 if still else 0
            if quiet > 10:
                return self.rollout
        raise AssertionError(f"it never ends: {self.rollout}")

    def view(self) -> View:
        copies = {
            name: Copy(str(one.incarnation), ModelSeen(tuple(sorted(one.versions)), default=one.versions[0]))
            for name, one in self.servers.items()
            if one.up and one.versions
        }
        copies = {
            name: dataclasses.replace(
                copy, model=dataclasses.replace(copy.model, shadow=self.servers[name].shadow)
            )
            for name, copy in copies.items()
        }
        placed = sorted(self.servers)
        return View(self.spec, self.version, set(self.there), placed, copies, dict(self.failed), self.now)

    def holders(self) -> set[str]:
        return {name for name, one in self.servers.items() if one.up and one.versions}

    def served(self) -> set[int]:
        """What callers get who ask for no version."""
        return {one.versions[0] for one in self.servers.values() if one.up and one.versions}

    def lose(self, name: str) -> None:
        self.servers[name] = Server(incarnation=self.servers[name].incarnation + 1, up=False)

    def _time_passes(self) -> None:
        self.now += 1.0
        for name, one in self.servers.items():
            one.up = True
            if one.shadow is not None:
                one.shadow = self.compared(one.shadow)
            if one.loading is None or one.loading[1] > self.now:
                continue
            versions, one.loading = one.loading[0], None
            new = set(versions) - set(one.versions)
            if new & self.broken or not new <= self.there:
                self.failed[name, versions] = self.now, "it is broken"
                continue
            one.versions = versions
            one.shadow = ShadowSeen(versions[1]) if len(versions) > 1 else None

    def _tell(self, name: str, versions: Versions) -> None:
        one = self.servers[name]
        if not one.up or one.loading is not None or one.versions == versions:
            return
        # As the reconciler does, it waits before it tries again.
        if self.failed.get((name, versions), (0.0, ""))[0] > self.now - 5.0:
            return
        self.history.append((name, versions))
        one.loading = versions, self.now + 2.0

    def _check(self, wanted: dict[str, Versions]) -> None:
        assert self.rollout is not None
        assert all(
            len(versions) in (1, 2) and len(set(versions)) == len(versions) for versions in wanted.values()
        )
        shadowed = [name for name, versions in wanted.items() if len(versions) > 1]
        assert len(shadowed) <= 1, "one canary"
        # What is served somewhere is not taken from several replicas at the same time.
        changing = [
            name
            for name, versions in wanted.items()
            if (one := self.servers[name]).up and one.versions and not set(versions) <= set(one.versions)
        ]
        assert len(changing) <= 1, "one after the other"


def world(count: int = 3, version: int = 1, **more: Any) -> World:
    made = World({f"r{number}": Server((version,)) for number in range(count)}, {version}, **more)
    made.tick()
    return made


def test_model_that_is_new_gets_its_newest_version_everywhere_at_once() -> None:
    made = World({"a": Server(), "b": Server()}, {1, 2})
    assert made.tick() == {"a": (2,), "b": (2,)}
    assert made.settled().serving == 2


def test_newer_version_comes_to_one_replica_then_is_compared_then_to_the_others_one_by_one() -> None:
    made = world()
    made.there.add(2)
    assert made.until(Step.COMPARING).canary == "r2"
    assert made.history == [("r2", (1, 2))]
    assert made.served() == {1}
    found = made.settled()
    assert made.history == [("r2", (1, 2)), ("r2", (2,)), ("r0", (2,)), ("r1", (2,))]
    assert (found.serving, found.coming, found.refused) == (2, 0, {})
    assert "accepted after 10 calls" in found.reason
    assert made.served() == {2}


def test_replica_with_most_calls_is_the_canary() -> None:
    made = world()
    view = made.view()
    busy = dataclasses.replace(view.copies["r1"].model, calls_per_s=9.0)
    copies = {**view.copies, "r1": Copy("0", busy)}
    view = dataclasses.replace(view, there={1, 2}, copies=copies)
    assert follow(view, made.rollout)[0].canary == "r1"


@pytest.mark.parametrize(
    ("compared", "spec", "why"),
    [
        ({"failed": 1, "reason": "no such input"}, SPEC, "1 of 1 calls failed: no such input"),
        (
            {"compared": 4, "differed": 2, "reason": "output 'y' differs"},
            dataclasses.replace(SPEC, tolerance=1e-4),
            "2 of 4 calls were answered otherwise: output 'y' differs",
        ),
        ({"compared": 10, "slower": 1.6}, SPEC, "its runs take 1.60 times as long, 1.5 is allowed"),
    ],
)
def test_version_that_does_worse_is_refused_and_goes(
    compared: dict[str, Any], spec: RolloutSpec, why: str
) -> None:
    made = world(spec=spec, compared=lambda seen: dataclasses.replace(seen, **compared))
    made.there.add(2)
    found = made.settled()
    assert made.history == [("r2", (1, 2)), ("r2", (1,))]
    assert (found.serving, found.coming) == (1, 0)
    assert why in found.refused[2]
    assert why in found.reason
    assert made.served() == {1}


def test_version_that_cannot_be_loaded_is_refused_after_one_try() -> None:
    made = world(broken={2})
    made.there.add(2)
    found = made.settled()
    assert made.history == [("r2", (1, 2))]
    assert found.refused == {2: "version 2 cannot be loaded: it is broken"}


def test_refused_version_is_tried_again_when_its_folder_has_gone_and_come_back() -> None:
    made = world(broken={2})
    made.there.add(2)
    made.settled()
    made.there.discard(2)
    assert made.settled().refused == {}
    made.broken.clear()
    made.there.add(2)
    assert made.settled().serving == 2


def test_another_version_is_tried_after_one_was_refused() -> None:
    made = world(broken={2})
    made.there.add(2)
    made.settled()
    made.there.add(3)
    found = made.settled()
    assert found.serving == 3
    assert list(found.refused) == [2]


def test_load_that_fails_while_it_spreads_brings_the_old_version_back() -> None:
    made = world()
    made.there.add(2)
    made.until(Step.SPREADING)
    made.broken.add(2)
    found = made.settled()
    assert found.serving == 1
    assert "cannot be loaded on r0" in found.refused[2]
    assert made.served() == {1}
    assert made.history[-1] == ("r2", (1,))


def test_owner_who_wants_the_old_version_gets_it_back_while_the_new_one_spreads() -> None:
    made = world()
    made.there.add(2)
    made.until(Step.SPREADING)
    made.version = 1
    found = made.settled()
    assert (found.serving, found.refused) == (1, {})
    assert made.served() == {1}


def test_owner_may_ask_for_an_older_version() -> None:
    made = world(version=5)
    made.there.add(4)
    assert made.settled().serving == 5
    made.version = 4
    assert made.settled().serving == 4
    assert made.served() == {4}


def test_version_that_comes_while_another_is_compared_takes_its_place() -> None:
    made = world()
    made.there.add(2)
    made.until(Step.COMPARING)
    made.there.add(3)
    found = made.settled()
    assert (found.serving, found.refused) == (3, {})
    assert ("r2", (2,)) not in made.history


def test_lost_canary_is_replaced_once_and_then_the_version_is_refused() -> None:
    made = world(compared=lambda seen: seen)
    made.there.add(2)
    first = made.until(Step.COMPARING).canary
    made.lose(first)
    made.until(Step.LOADING)
    second = made.until(Step.COMPARING).canary
    assert second != first
    made.lose(second)
    found = made.settled()
    assert "was lost 2 times" in found.refused[2]
    assert made.served() == {1}


def test_lost_replica_gets_what_is_served_and_not_what_is_compared() -> None:
    made = world(compared=lambda seen: seen)
    made.there.add(2)
    canary = made.until(Step.COMPARING).canary
    made.lose("r0")
    for _ in range(5):
        assert made.tick()["r0"] == (1,)
    assert made.rollout is not None
    assert (made.rollout.step, made.rollout.canary) == (Step.COMPARING, canary)


def test_all_replicas_lost_is_no_reason_to_serve_what_was_never_compared() -> None:
    made = world(count=1, compared=lambda seen: seen)
    made.there.add(2)
    made.until(Step.COMPARING)
    made.lose("r0")
    made.rollout = dataclasses.replace(made.rollout or Rollout(), lost=0)
    for _ in range(10):
        made.tick()
        assert made.served() <= {1}


def test_version_whose_folder_has_gone_and_that_nobody_has_gives_way() -> None:
    made = world(count=2)
    made.there = {2}
    for name in made.servers:
        made.lose(name)
    assert made.settled().serving == 2


def test_older_version_is_served_where_the_newest_cannot_be_loaded_from_the_start() -> None:
    made = World({"a": Server(), "b": Server()}, {1, 2}, broken={2})
    found = made.settled()
    assert (found.serving, list(found.refused)) == (1, [2])
    assert made.served() == {1}


@pytest.mark.parametrize("step", [Step.LOADING, Step.COMPARING, Step.SPREADING])
def test_driver_that_comes_new_goes_on_from_what_it_sees(step: Step) -> None:
    made = world()
    made.there.add(2)
    made.until(step)
    made.rollout = None
    assert made.settled().serving == 2
    assert made.served() == {2}
    assert made.history.count(("r2", (1, 2))) <= 1


def test_driver_that_comes_new_while_it_goes_back_goes_on_with_what_was_refused() -> None:
    made = world()
    made.there.add(2)
    made.until(Step.SPREADING)
    made.broken.add(2)
    refused = made.until(Step.BACK)
    made.rollout = Rollout(refused=refused.refused)
    assert made.settled().serving == 1
    assert made.served() == {1}


def test_version_is_spread_blindly_where_no_call_comes_and_that_is_allowed() -> None:
    made = world(compared=lambda seen: seen)
    made.there.add(2)
    assert made.until(Step.COMPARING)
    began = made.now
    made.until(Step.SPREADING)
    assert made.now - began == SPEC.wait_s


def test_version_is_refused_where_no_call_comes_and_that_is_not_allowed() -> None:
    made = world(compared=lambda seen: seen, spec=dataclasses.replace(SPEC, blind=False))
    made.there.add(2)
    assert "no real call could be compared within 60 s" in made.settled().refused[2]


@pytest.mark.parametrize(
    ("seen", "waited_s", "expected"),
    [
        (ShadowSeen(2, compared=9), 59.9, None),
        (ShadowSeen(2, compared=9), 60.0, ""),
        (ShadowSeen(2, compared=10), 0.0, ""),
        (ShadowSeen(2, compared=10, slower=1.5), 0.0, ""),
        (ShadowSeen(2, compared=10, differed=10, largest=0.5), 0.0, ""),
        (None, 59.9, None),
        (None, 60.0, ""),
    ],
)
def test_verdict_waits_for_calls_or_for_its_time(
    seen: ShadowSeen | None, waited_s: float, expected: str | None
) -> None:
    assert verdict(SPEC, seen, waited_s) == expected


def test_no_calls_asked_for_is_accepted_at_once() -> None:
    assert verdict(dataclasses.replace(SPEC, calls=0, blind=False), None, 0.0) == ""


def test_what_was_refused_comes_back_from_the_status_document() -> None:
    models = (ModelSpec("m"), ModelSpec("n"))
    spec = FleetSpec("f", Path("models"), Path("state"), models=models)
    document = status_document(
        spec,
        FleetSeen(1.0),
        Placement(),
        {"m": Rollout(1, refused={2: "it was slow"}), "n": Rollout(1)},
        DriverFigures(0.0),
    )
    assert restored(document) == {
        "m": Rollout(refused={2: "it was slow"}, remembered=1),
        "n": Rollout(remembered=1),
    }


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["models", "rollout", "refused"]), inner),
)


@given(JSON)
def test_nothing_comes_back_from_what_is_no_status_document(document: Any) -> None:
    assert all(rollout.serving == 0 for rollout in restored(document).values())


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["none", "lose", "add", "remove", "break", "mend", "pin", "driver", "worse"]),
        st.integers(0, 3),
        st.integers(0, 12),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), EVENTS)
def test_whatever_happens_no_copy_goes_before_another_has_come_and_it_ends(
    count: int, events: list[tuple[str, int, int]]
) -> None:
    """The world itself asserts in each second that no replica that answers loses its last version, that one
    replica changes at a time, and that there is one canary."""
    made = world(count)
    accepted = {1}
    for kind, which, seconds in events:
        name = f"r{which % count}"
        if kind == "lose":
            made.lose(name)
        elif kind == "add":
            made.there.add(which + 1)
        elif kind == "remove":
            made.there.discard(which + 1)
        elif kind == "break":
            made.broken.add(which + 1)
        elif kind == "mend":
            made.broken.discard(which + 1)
        elif kind == "pin":
            made.version = which or None
        elif kind == "driver":
            made.rollout = None
        elif kind == "worse":
            made.compared = lambda seen: dataclasses.replace(seen, failed=seen.failed + 1)
        for _ in range(seconds):
            made.tick()
            assert made.rollout is not None
            accepted.add(made.rollout.serving)
            if made.rollout.step is Step.SPREADING:
                accepted.add(made.rollout.coming)
            assert made.served() <= accepted
    # What is served and nowhere to be had any more stays where it is, and alone, until its folder is back.
    made.there |= {1, *made.served()}
    made.broken.clear()
    made.version = None
    found = made.settled(most=2000)
    assert made.served() == {found.serving}
    assert all(one.versions == (found.serving,) for one in made.servers.values())


def test_driver_that_has_not_heard_of_its_replicas_decides_nothing() -> None:
    made = World({"a": Server(), "b": Server()}, {1, 2})
    view = dataclasses.replace(made.view(), unheard=True)
    rollout, wanted = follow(view, None)
    assert (rollout.serving, wanted) == (0, {})
    later = dataclasses.replace(view, now_s=view.now_s + HEARD_S - 0.1)
    rollout, wanted = follow(later, rollout)
    assert (rollout.serving, wanted) == (0, {})
    rollout, wanted = follow(dataclasses.replace(view, now_s=view.now_s + HEARD_S), rollout)
    assert (rollout.serving, wanted) == (2, {"a": (2,), "b": (2,)})


def test_driver_that_does_not_know_what_callers_get_decides_nothing() -> None:
    made = World({"a": Server((1, 2))}, {1, 2})
    view = made.view()
    unknown = dataclasses.replace(view, copies={"a": Copy("0", ModelSeen((1, 2)))})
    rollout, wanted = follow(unknown, None)
    assert (rollout.serving, wanted) == (0, {})
    assert follow(view, rollout)[0].serving == 1


def test_single_version_of_a_copy_is_what_callers_get() -> None:
    made = World({"a": Server((1,))}, {1, 2})
    view = dataclasses.replace(made.view(), copies={"a": Copy("0", ModelSeen((1,)))})
    assert follow(view, None)[0].serving == 1


def test_what_was_served_before_all_were_lost_is_served_again() -> None:
    made = World({"a": Server()}, {1, 2}, rollout=Rollout(remembered=1))
    assert made.tick() == {"a": (1,)}
    gone = World({"a": Server()}, {2}, rollout=Rollout(remembered=1))
    assert gone.tick() == {"a": (2,)}


def test_model_without_a_version_says_so() -> None:
    made = World({"a": Server()}, set())
    assert made.tick() == {}
    assert made.rollout is not None
    assert "no version of it that is complete" in made.rollout.reason
