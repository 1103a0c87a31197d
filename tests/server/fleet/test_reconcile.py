from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.fleet.actions import Drain, Endpoint, Load, Publish, Start, Stop, Unload
from hotgraph_server.fleet.memory import Memory, times_of
from hotgraph_server.fleet.observed import FleetSeen, NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.reconcile import Desired, reconcile, roles
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec, ReplicaSpec

from .fake_fleet import LIVE, FakeFleet, everywhere, in_turns

A, B = ModelSpec("a", copies=2), ModelSpec("b")


def spec(*models: ModelSpec) -> FleetSpec:
    return FleetSpec("paper", Path("models"), Path("state"), models=models)


def ready(name: str, *models: str) -> ReplicaSeen:
    return ReplicaSeen(name, ReplicaState.READY, f"h:{name}", models=dict.fromkeys(models, LIVE))


def running(wanted: int, *models: ModelSpec) -> FakeFleet:
    """A fleet that has come up."""
    fleet = FakeFleet(spec(*models), wanted)
    assert fleet.until_quiet()
    fleet.asked.clear()
    return fleet


def decided(wanted: int, *replicas: ReplicaSeen, memory: Memory | None = None) -> list[object]:
    """What is begun for a fleet whose driver has been there for long."""
    memory = memory or Memory(-1000.0, tuple(Endpoint(one.replica_id, one.address) for one in replicas))
    seen = FleetSeen(0.0, (), replicas)
    memory = memory.looked(seen)
    placement = everywhere(spec(A), roles(wanted, seen, memory).places)
    return list(reconcile(Desired(spec(A), wanted, placement), seen, memory)[0])


def test_model_of_which_no_version_is_known_yet_is_loaded_nowhere() -> None:
    seen = FleetSeen(0.0, (), (ready("r0"),))
    memory = Memory(-1000.0).looked(seen)
    desired = Desired(spec(A, B), 1, everywhere(spec(A, B), ("r0",)), waiting=frozenset({"a"}))
    assert reconcile(desired, seen, memory)[0] == [Load("r0", "b")]


def test_fleet_comes_up_and_is_published_when_its_models_are_live() -> None:
    fleet = FakeFleet(spec(A, B), 2)
    assert fleet.tick() == [Start("r0"), Start("r1")]
    for _ in fleet.ticks(200):
        assert all(one.models == {"a", "b"} for one in fleet.file)
    assert [one.replica_id for one in fleet.file] == ["r0", "r1"]


def test_nothing_is_done_to_a_fleet_that_is_as_it_shall_be() -> None:
    fleet = running(2, A)
    fleet.driver_comes()
    assert not [action for actions in fleet.ticks(100) for action in actions]


def test_scaling_in_takes_callers_away_first_then_drains_then_stops() -> None:
    fleet = running(3, A)
    fleet.wanted = 2
    assert fleet.until_quiet()
    (published, first), (drained, second), (_, third) = fleet.asked
    assert isinstance(first, Publish)
    assert [one.replica_id for one in first.endpoints] == ["r0", "r1"]
    assert second == Drain("r2")
    assert drained - published >= fleet.memory.times.settle_s
    assert third == Stop("r2")
    assert set(fleet.replicas) == {"r0", "r1"}


def test_driver_that_dies_between_the_file_and_the_drain_is_followed_by_one_that_drains() -> None:
    fleet = running(3, A)
    fleet.wanted = 2
    while not any(isinstance(action, Publish) for action in fleet.tick()):
        pass
    fleet.tick()
    fleet.driver_comes()
    came_s = fleet.now_s
    assert fleet.until_quiet()
    drained_s = next(at_s for at_s, action in fleet.asked if action == Drain("r2"))
    assert drained_s - came_s >= fleet.memory.times.settle_s
    assert set(fleet.replicas) == {"r0", "r1"}


def test_lost_replica_leaves_the_endpoints_at_once_and_is_waited_for() -> None:
    fleet = running(2, A)
    fleet.lose("r0", comes_back=True)
    (publish,) = fleet.tick()
    assert isinstance(publish, Publish)
    assert [one.replica_id for one in publish.endpoints] == ["r1"]
    assert fleet.until_quiet()
    assert not [action for _, action in fleet.asked if isinstance(action, Start | Stop)]
    assert [one.replica_id for one in fleet.file] == ["r0", "r1"]


def test_replica_that_is_lost_for_good_is_replaced() -> None:
    fleet = running(2, A)
    fleet.lose("r0", comes_back=False)
    assert fleet.until_quiet()
    assert set(fleet.replicas) == {"r1", "r2"}
    assert fleet.holders("a") == {"r1", "r2"}


def test_replicas_of_a_dead_node_are_lost() -> None:
    node = NodeSeen("n", "h", 1, 1, alive=False)
    seen = FleetSeen(0.0, (node,), (replace(ready("r0", "a"), node_id="n"),))
    memory = Memory(-1000.0, (Endpoint("r0", "h:r0", "", frozenset("a")),)).looked(seen)
    actions, _ = reconcile(Desired(spec(A), 1, Placement({"r0": frozenset("a")})), seen, memory)
    assert actions == [Publish(())]


def test_models_of_a_replica_lost_for_long_are_placed_elsewhere() -> None:
    seen = FleetSeen(0.0, (), (ReplicaSeen("r0", ReplicaState.LOST), ready("r1")))
    memory = Memory(-1000.0).looked(seen)
    assert roles(2, seen, memory).places == ("r0", "r1")
    later = replace(seen, at_s=memory.times.grace_s + 1)
    assert roles(2, later, memory.looked(later)).places == ("r1",)


def test_model_moves_only_once_it_is_elsewhere() -> None:
    fleet = FakeFleet(spec(B), 2, place=in_turns)
    assert fleet.until_quiet()
    assert fleet.holders("b") == {"r0"}
    fleet.asked.clear()
    fleet.place = lambda spec, places: Placement({"r0": frozenset(), "r1": frozenset("b")})
    for _ in fleet.ticks(60):
        assert fleet.holders("b")
    moves = [type(action) for _, action in fleet.asked]
    assert moves == [Load, Publish, Publish, Unload]
    (_, _), (_, _), (withdrawn_s, _), (unloaded_s, _) = fleet.asked
    assert unloaded_s - withdrawn_s >= fleet.memory.times.settle_s
    assert fleet.holders("b") == {"r1"}


def only(replica: str) -> Callable[[FleetSpec, tuple[str, ...]], Placement]:
    """All models on one replica, where it is a place."""
    return lambda spec, places: Placement(
        {name: frozenset(one.name for one in spec.models if name == replica) for name in places}
    )


def test_model_that_is_being_unloaded_where_it_shall_be_again_counts_for_nothing() -> None:
    fleet = running(2, B)
    fleet.place = only("r0")
    while Unload("r1", "b") not in fleet.calls:
        fleet.tick()
    fleet.place = only("r1")
    for _ in fleet.ticks(60):
        assert fleet.holders("b")
        assert not {Unload("r1", "b"), Load("r1", "b")} <= fleet.calls.keys()
    assert fleet.holders("b") == {"r1"}


def test_replica_that_is_being_drained_when_it_shall_stay_counts_for_nothing() -> None:
    fleet = running(2, B)
    fleet.wanted = 1
    while Drain("r1") not in fleet.calls:
        fleet.tick()
    fleet.wanted, fleet.place = 2, only("r1")
    for _ in fleet.ticks(60):
        assert fleet.holders("b")
        fleet.place = only(max(fleet.replicas))
    assert fleet.until_quiet()
    assert len(fleet.replicas) == 2


def test_next_driver_waits_before_it_unloads_what_the_one_before_has_withdrawn() -> None:
    fleet = FakeFleet(spec(B), 2, place=in_turns)
    assert fleet.until_quiet()
    fleet.place = lambda spec, places: Placement({"r0": frozenset(), "r1": frozenset("b")})
    while fleet.holders("b") != {"r1"}:
        fleet.tick()
    fleet.driver_comes()
    came_s = fleet.now_s
    assert fleet.until_quiet()
    unloaded_s = next(at_s for at_s, action in fleet.asked if action == Unload("r0", "b"))
    assert unloaded_s - came_s >= fleet.memory.times.settle_s


@pytest.mark.parametrize("later", range(5))
def test_replica_that_was_to_go_stays_where_the_other_has_lost_its_models(later: int) -> None:
    fleet = running(2, B)
    fleet.wanted = 1
    while fleet.holders("b") != {"r0"}:
        fleet.tick()
    for _ in fleet.ticks(later):
        pass
    drained = Drain("r1") in fleet.calls or fleet.replicas["r1"].state is ReplicaState.DRAINING
    fleet.replicas["r0"] = replace(fleet.replicas["r0"], models={})
    assert Drain("r1") not in fleet.tick() or drained
    assert fleet.until_quiet()
    assert fleet.holders("b") == {"r0"}


def test_replica_with_the_only_copy_stays_until_there_is_another() -> None:
    fleet = running(2, A)
    fleet.fails = lambda action: isinstance(action, Load)
    fleet.place = lambda spec, places: Placement({name: frozenset() for name in places})
    fleet.wanted = 1
    assert not [action for actions in fleet.ticks(100) for action in actions if isinstance(action, Drain)]


def test_fleet_of_nothing_is_drained_whole() -> None:
    fleet = running(2, A, B)
    fleet.wanted = 0
    assert fleet.until_quiet()
    assert not fleet.replicas
    assert fleet.file == ()
    assert isinstance(fleet.asked[0][1], Publish)


def test_model_that_cannot_be_loaded_keeps_no_other_from_callers_and_is_tried_ever_later() -> None:
    fleet = FakeFleet(spec(A, B), 1, fails=lambda action: action == Load("r0", "a"))
    for _ in fleet.ticks(150):
        pass
    assert fleet.holders("b") == {"r0"}
    tries = [at_s for at_s, action in fleet.asked if action == Load("r0", "a")]
    pauses = [after - before for before, after in itertools.pairwise(tries)]
    assert 3 < len(tries) < 10
    assert pauses == sorted(pauses)
    assert fleet.memory.failed[Load("r0", "a")].why == "told to"


def test_replica_loads_one_model_at_a_time() -> None:
    fleet = FakeFleet(spec(*(ModelSpec(name) for name in "abcdef")), 2)
    for _ in fleet.ticks(100):
        loading = [action.replica_id for action in fleet.calls if isinstance(action, Load)]
        assert len(loading) == len(set(loading))
    assert len(fleet.holders("f")) == 2


def test_model_that_a_replica_loads_already_is_not_loaded_anew() -> None:
    assert Load("r0", "a") in decided(1, ready("r0"))
    assert not decided(1, replace(ready("r0"), loading=frozenset("a")))[1:]


def test_driver_that_has_just_come_leaves_callers_with_whom_it_has_not_heard_of() -> None:
    unheard, starting = Endpoint("", "h:r0", "", frozenset("a")), ReplicaSeen("r0", ReplicaState.STARTING)
    memory = Memory(0.0, (unheard,))
    assert decided(1, starting, memory=memory) == []
    assert decided(0, starting, memory=memory) == []
    later = replace(memory, begun_at_s=-memory.times.grace_s)
    assert decided(1, starting, memory=later) == [Publish(())]
    assert decided(0, starting, memory=later) == [Stop("r0"), Publish(())]
    # Heard of, it is the same endpoint, whatever the order.
    assert decided(1, ready("r0", "a"), memory=memory) == []


def test_replica_that_is_heard_of_late_stays_in_the_endpoints_while_it_lacks_a_model() -> None:
    memory = Memory(0.0, (Endpoint("", "h:r0", "", frozenset("b")),))
    seen = FleetSeen(memory.times.grace_s + 1, (), (ready("r0", "b"),))
    memory = memory.looked(seen)
    placed = Placement({"r0": frozenset("ab")})
    assert reconcile(Desired(spec(A, B), 1, placed), seen, memory)[0] == [Load("r0", "a")]


def test_failures_to_publish_are_not_gathered_and_soon_tried_again() -> None:
    memory = Memory(0.0)
    for number in range(20):
        action = Publish((Endpoint(f"r{number % 2}", "h:1"),))
        memory = memory.with_failed(action, "disk full", float(number))
        memory = memory.with_failed(Start("r0"), "no", float(number))
    assert set(memory.failed) == {action, Start("r0")}
    for _ in range(20):
        memory = memory.with_failed(action, "disk full", 100.0)
    assert memory.may_begin(action, 105.0)
    assert not memory.may_begin(Start("r0"), 75.0)
    assert set(memory.with_done(Publish(()), 200.0).failed) == {Start("r0")}


def test_model_without_any_version_keeps_no_replica_from_callers() -> None:
    seen = FleetSeen(0.0, (), (ready("r0", "b"),))
    memory = Memory(-1000.0).looked(seen)
    desired = Desired(spec(A, B), 1, everywhere(spec(A, B), ("r0",)), waiting=frozenset({"a"}))
    (published,) = reconcile(desired, seen, memory)[0]
    assert published == Publish((Endpoint("r0", "h:r0", "", frozenset("b")),))


@pytest.mark.parametrize("clean", [True, False])
def test_replica_loads_nothing_before_what_is_to_go_from_it_has_gone(clean: bool) -> None:
    fleet = FakeFleet(spec(B, ModelSpec("c")), 3 if clean else 2, place=in_turns)
    assert fleet.until_quiet()
    assert (fleet.holders("b"), fleet.holders("c")) == ({"r0"}, {"r1"})
    last = "r2" if clean else "r1"
    places = {"r0": frozenset("c"), "r1": frozenset(), last: frozenset("b")}
    fleet.place = lambda spec, _: Placement(places)
    most = {name: 0 for name in fleet.replicas}
    for _ in fleet.ticks(60):
        assert fleet.holders("b")
        assert fleet.holders("c")
        for name in most:
            most[name] = max(most[name], len(fleet.replicas[name].models))
    assert (fleet.holders("b"), fleet.holders("c")) == ({last}, {"r0"})
    # One of two that swap has to hold both for a while, or one of the models would be nowhere.
    assert sorted(most.values()) == ([1, 1, 1] if clean else [1, 2])


def test_model_that_cannot_be_unloaded_keeps_no_other_from_being_loaded() -> None:
    fleet = FakeFleet(spec(B, ModelSpec("c")), 2, place=in_turns)
    assert fleet.until_quiet()
    fleet.fails = lambda action: isinstance(action, Unload)
    fleet.place = lambda spec, places: Placement({"r0": frozenset("c"), "r1": frozenset("b")})
    assert any(fleet.holders("b") >= {"r1"} and fleet.holders("c") >= {"r0"} for _ in fleet.ticks(60))


def test_replica_that_starts_leaves_before_one_that_answers() -> None:
    memory = Memory(-1000.0, (Endpoint("r1", "h:r1", "", frozenset("a")),))
    starting = ReplicaSeen("r0", ReplicaState.STARTING)
    assert decided(1, starting, ready("r1", "a"), memory=memory) == [Stop("r0")]


def test_name_of_one_that_is_being_stopped_is_not_given_again() -> None:
    draining = ReplicaSeen("r0", ReplicaState.DRAINING)
    assert set(map(str, decided(1, draining))) >= set(map(str, [Stop("r0"), Start("r1")]))


def test_drain_that_does_not_end_is_stopped() -> None:
    draining = ReplicaSeen("r0", ReplicaState.DRAINING, "h:r0")
    memory = Memory(-1000.0)
    assert Stop("r0") not in decided(1, draining, memory=memory)
    memory = replace(memory, draining_at_s={"r0": -memory.times.drain_s - 1})
    assert Stop("r0") in decided(1, draining, memory=memory)


@pytest.mark.parametrize(
    ("settings", "at_least_s"), [({}, 25), ({"drain_s": 300}, 300), ({"drain_s": 0.0}, 0)]
)
def test_drain_is_waited_for_as_long_as_the_server_takes(
    settings: dict[str, object], at_least_s: float
) -> None:
    of = FleetSpec("a", Path("m"), Path("s"), replicas=ReplicaSpec(settings=settings))
    assert at_least_s + 10 < times_of(of).drain_s < at_least_s + 20


@pytest.mark.parametrize("exceptions", [{}, {("r0", "a"): (3,)}])
def test_versions_are_the_specs_but_for_exceptions(
    exceptions: dict[tuple[str, str], tuple[int, ...]],
) -> None:
    fleet = running(2, A)
    fleet.spec = spec(replace(A, version=2))
    fleet.versions = exceptions
    fleet.until_quiet()
    assert {action for _, action in fleet.asked} == {
        Load("r0", "a", exceptions.get(("r0", "a"), (2,))),
        Load("r1", "a", (2,)),
    }
    assert fleet.holders("a") == {"r0", "r1"}


def test_effect_that_never_shows_is_asked_for_again() -> None:
    fleet = running(1, A)
    fleet.change("r0", models={})
    fleet.set_model = lambda action: None  # type: ignore[method-assign]
    loads = [action for actions in fleet.ticks(50) for action in actions if isinstance(action, Load)]
    assert 2 <= len(loads) <= 50 / fleet.memory.times.patience_s


MODELS = st.lists(
    st.builds(ModelSpec, st.sampled_from("abcd"), st.integers(1, 3)), unique_by=lambda model: model.name
)


@st.composite
def replicas(draw: st.DrawFn) -> dict[str, ReplicaSeen]:
    """Any that could be seen."""
    names = draw(st.lists(st.sampled_from([f"r{number}" for number in range(6)] + ["odd"]), unique=True))
    found = {}
    for name in names:
        state = draw(st.sampled_from(ReplicaState))
        models = draw(st.sets(st.sampled_from("abcde")))
        answers = state in (ReplicaState.READY, ReplicaState.DRAINING)
        found[name] = replace(ready(name, *(models if answers else ())), state=state)
        if not answers:
            found[name] = replace(found[name], address="")
    return found


@st.composite
def files(draw: st.DrawFn) -> tuple[Endpoint, ...]:
    """Any endpoint file that a driver could find."""
    return tuple(
        Endpoint(
            name,
            draw(st.sampled_from([f"h:{name}", "h:gone"])),
            "",
            draw(st.frozensets(st.sampled_from("abcde"))),
        )
        for name in draw(st.lists(st.sampled_from(["r0", "r1", "r2", "r9"]), unique=True))
    )


PLACES = st.sampled_from([everywhere, in_turns])


@given(MODELS, st.integers(0, 4), replicas(), files(), PLACES, st.randoms(use_true_random=False))
def test_fleet_comes_to_what_is_wanted_from_any_state(models, wanted, present, file, place, chance) -> None:  # type: ignore[no-untyped-def]
    fleet = FakeFleet(spec(*models), wanted, present, file, place)
    # Trouble first: failures, losses and drivers that die. Then none.
    fleet.fails = lambda action: chance.random() < 0.2
    for _ in range(chance.randrange(40)):
        fleet.tick()
        if chance.random() < 0.1:
            fleet.lose(f"r{chance.randrange(4)}", comes_back=chance.random() < 0.5)
        if chance.random() < 0.1:
            fleet.driver_comes()
    fleet.fails = lambda action: False
    assert fleet.until_quiet(1000)
    assert len(fleet.replicas) == wanted
    placed = place(fleet.spec, roles(wanted, fleet.look(), fleet.memory).places)
    for name, replica in fleet.replicas.items():
        assert replica.state is ReplicaState.READY
        assert placed.models[name] <= replica.models.keys()
    assert {one.replica_id for one in fleet.file} == {
        name for name, replica in fleet.replicas.items() if replica.models
    }
    assert all(one.address == fleet.replicas[one.replica_id].address for one in fleet.file)
    for model in models:
        assert len(fleet.holders(model.name)) >= min(model.copies, wanted)


@given(MODELS, st.integers(1, 4), PLACES, st.randoms(use_true_random=False))
def test_planned_changes_leave_each_model_its_least_copies(models, wanted, place, chance) -> None:  # type: ignore[no-untyped-def]
    fleet = FakeFleet(spec(*models), wanted, place=place)
    assert fleet.until_quiet()
    for _ in range(4):
        before, fleet.wanted = fleet.wanted, chance.randrange(1, 5)
        if chance.random() < 0.5:
            fleet.place = chance.choice([everywhere, in_turns])
        for _ in range(chance.randrange(60)):
            out = [one for one in fleet.tick() if isinstance(one, Drain)]
            for model in models:
                assert len(fleet.holders(model.name)) >= min(model.copies, before, fleet.wanted)
            assert not [one for one in out if one.replica_id in {at.replica_id for at in fleet.file}]
            if chance.random() < 0.1:
                fleet.driver_comes()
        # Copies may be as few as any of the counts allowed since.
        fleet.until_quiet()
