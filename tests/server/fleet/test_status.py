from __future__ import annotations

import json
from pathlib import Path

from hotgraph_server.fleet.actions import Action, Load, Start
from hotgraph_server.fleet.memory import Failure
from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.rollout import Rollout
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec
from hotgraph_server.fleet.status import FORMAT, DriverFigures, status_document
from hotgraph_server.fleet.status_tables import plain, shown
from tests.server.fleet.documents import document


def test_document_is_json_and_says_of_which_format_it_is() -> None:
    found = document()
    assert json.loads(json.dumps(found)) == found
    assert found["format"] == FORMAT


def test_copies_are_those_that_answer() -> None:
    models = {one["name"]: one for one in document()["models"]}
    assert (models["flowers"]["copies"], models["flowers"]["copies_wanted"]) == (2, 2)
    assert (models["voices"]["copies"], models["voices"]["copies_wanted"]) == (1, 2)
    assert (models["words"]["copies"], models["words"]["unplaced"]) == (0, "no replica has 9000 MB")


def test_figures_of_a_model_are_of_all_its_copies() -> None:
    flowers = document()["models"][0]
    assert flowers["replicas"] == ["r0", "r1"]
    assert (flowers["versions"], flowers["defaults"]) == ([3, 4], [3])
    assert flowers["calls_per_s"] == 103.25
    assert flowers["failed_per_s"] == 0.5
    assert flowers["memory_bytes"] == 315 * 2**20
    assert flowers["p99_ms"] == 12.3


def test_rollout_says_how_the_comparison_goes() -> None:
    flowers, voices, words = document()["models"]
    assert (flowers["rollout"]["step"], flowers["rollout"]["compared"]) == ("comparing", 31)
    assert list(voices["rollout"]["refused"]) == ["2"]
    assert words["rollout"] is None


def test_nodes_have_the_replicas_that_are_on_them() -> None:
    assert [(one["address"], one["replicas"], one["alive"]) for one in document()["nodes"]] == [
        ("10.0.0.1", 1, True),
        ("10.0.0.2", 1, True),
        ("10.0.0.3", 1, False),
    ]


def test_model_on_a_replica_that_is_not_ready_is_no_copy() -> None:
    replica = ReplicaSeen("r0", ReplicaState.DRAINING, models={"m": ModelSeen((1,))})
    spec = FleetSpec("f", Path("models"), Path("state"))
    found = status_document(spec, FleetSeen(0.0, (), (replica,)), Placement(), {}, DriverFigures(0.0))
    assert found["models"] == []
    assert found["replicas"][0]["models"] == ["m"]


def test_model_that_could_not_be_loaded_says_where_and_why() -> None:
    replicas = tuple(
        ReplicaSeen(name, ReplicaState.READY, models=models)
        for name, models in (("r0", {}), ("r1", {"m": ModelSeen((1,))}))
    )
    failed: dict[Action, Failure] = {
        Load("r0", "m", (2,)): Failure(3, 9.0, "no\nsuch op"),
        Load("r1", "m", (2,)): Failure(1, 9.0, "it has another version all the same"),
        Load("r9", "n"): Failure(1, 9.0, "its server is not there"),
        Start("r8"): Failure(1, 9.0, "no room"),
    }
    spec = FleetSpec("f", Path("models"), Path("state"), models=(ModelSpec("m"), ModelSpec("n")))
    found = status_document(spec, FleetSeen(0.0, (), replicas), Placement(), {}, DriverFigures(0.0), failed)
    assert {one["name"]: one["not_loaded"] for one in found["models"]} == {
        "m": {"r0": "no such op"},
        "n": {"r9": "its server is not there"},
    }
    assert "! m is not on r0: no such op" in plain(shown(found, 0.0))


def test_model_without_any_version_is_told_of() -> None:
    spec = FleetSpec("f", Path("models"), Path("state"), models=(ModelSpec("m"),))
    rollouts = {"m": Rollout(reason="the repository has no version of it that is complete")}
    found = status_document(spec, FleetSeen(0.0), Placement(), rollouts, DriverFigures(0.0))
    assert "! m: the repository has no version of it that is complete" in plain(shown(found, 0.0))
