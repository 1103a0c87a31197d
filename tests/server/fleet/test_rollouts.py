from __future__ import annotations

from pathlib import Path

from hotgraph_server.fleet.actions import Action, Load, Start
from hotgraph_server.fleet.crashes import MOST
from hotgraph_server.fleet.memory import Failure
from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.rolling import Rolling
from hotgraph_server.fleet.rollout import Rollout, Step
from hotgraph_server.fleet.rollouts import Followed, follow_all
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec

SPEC = FleetSpec("f", Path("models"), Path("state"), models=(ModelSpec("m"), ModelSpec("n", version=3)))
BOTH = frozenset({"m", "n"})
PLACED = Placement({"r0": BOTH, "r1": frozenset({"m"})})


def replica(name: str, state: ReplicaState = ReplicaState.READY, **versions: tuple[int, ...]) -> ReplicaSeen:
    models = {model: ModelSeen(numbers, default=numbers[0]) for model, numbers in versions.items()}
    return ReplicaSeen(name, state, "h:1", models=models)


def seen(*replicas: ReplicaSeen, at_s: float = 100.0) -> FleetSeen:
    return FleetSeen(at_s, (), replicas)


def test_each_replica_is_told_the_versions_of_what_is_placed_on_it() -> None:
    now = follow_all(SPEC, seen(), PLACED, {"m": {1, 2}, "n": {3, 4}}, {}, {})
    assert now.versions == {("r0", "m"): (2,), ("r1", "m"): (2,), ("r0", "n"): (3,)}
    assert now.waiting == frozenset()


def test_model_that_was_not_looked_at_yet_waits() -> None:
    now = follow_all(SPEC, seen(), PLACED, {"m": {1}}, {}, {})
    assert now.waiting == {"n"}
    assert ("r0", "n") not in now.versions


def test_model_whose_folder_cannot_be_looked_at_goes_on_as_it_was() -> None:
    rollouts = {"n": Rollout(serving=3)}
    now = follow_all(SPEC, seen(), PLACED, {"m": {1}}, {}, rollouts)
    assert now.waiting == frozenset()
    assert now.versions["r0", "n"] == (3,)


def test_load_that_failed_is_held_against_its_version_and_other_failures_are_not() -> None:
    replicas = replica("r0", m=(1,), n=(3,)), replica("r1", m=(1,))
    there = {"m": {1, 2}, "n": {3}}
    begun = follow_all(SPEC, seen(*replicas), PLACED, there, {}, {})
    again = follow_all(SPEC, seen(*replicas), PLACED, there, {}, begun.rollouts)
    assert again.rollouts["m"].step is Step.LOADING
    assert again.versions["r1", "m"] == (1, 2)
    failed: dict[Action, Failure] = {
        Start("r9"): Failure(1, 0.0, "no room", 101.0),
        Load("r1", "m", (1, 2)): Failure(1, 0.0, "no such op", 101.0),
    }
    now = follow_all(SPEC, seen(*replicas, at_s=102.0), PLACED, there, failed, again.rollouts)
    assert "no such op" in now.rollouts["m"].refused[2]
    assert now.versions["r1", "m"] == (1,)


def test_replica_that_was_lost_while_it_loaded_is_held_against_no_version_unless_again_and_again() -> None:
    replicas = replica("r0", m=(1,), n=(3,)), replica("r1", m=(1,))
    there = {"m": {1, 2}, "n": {3}}
    begun = follow_all(SPEC, seen(*replicas), PLACED, there, {}, {})
    for times, refused in ((1, False), (2, False), (MOST, True)):
        failed: dict[Action, Failure] = {
            Load("r1", "m", (1, 2)): Failure(times, 0.0, "its server is gone", 101.0, gone=True)
        }
        now = follow_all(SPEC, seen(*replicas, at_s=102.0), PLACED, there, failed, begun.rollouts)
        assert bool(now.rollouts["m"].refused) == refused


def test_failure_of_an_earlier_rollout_is_not_held_against_this_one() -> None:
    replicas = replica("r0", m=(1,), n=(3,)), replica("r1", m=(1,))
    failed: dict[Action, Failure] = {Load("r1", "m", (1, 2)): Failure(1, 0.0, "no such op", 50.0)}
    now = follow_all(SPEC, seen(*replicas), PLACED, {"m": {1, 2}, "n": {3}}, failed, {})
    assert now.rollouts["m"].refused == {}


def test_replica_that_is_not_ready_has_no_copy_and_is_waited_for() -> None:
    starting = replica("r0", ReplicaState.STARTING, m=(1,))
    now = follow_all(SPEC, seen(starting), PLACED, {"m": {1, 2}, "n": {3}}, {}, {})
    assert now.waiting == BOTH


class There:
    def __init__(self) -> None:
        self.there: dict[str, set[int]] | None = {"m": {1}, "n": {3}}


def test_changes_are_said_once() -> None:
    there = There()
    rolling = Rolling(SPEC, there)
    replicas = replica("r0", m=(1,), n=(3,)), replica("r1", m=(1,))
    assert rolling.follow(seen(*replicas), PLACED, {})[1] == []
    there.there = {"m": {1, 2}, "n": {3}}
    _, said = rolling.follow(seen(*replicas), PLACED, {})
    assert said == ["m: version 2 is loaded beside version 1"]
    assert rolling.follow(seen(*replicas), PLACED, {})[1] == []


def test_driver_that_cannot_see_the_repository_leaves_versions_to_the_servers() -> None:
    there = There()
    there.there = None
    assert Rolling(SPEC, there).follow(seen(), PLACED, {}) == (Followed({}, {}, frozenset()), [])
