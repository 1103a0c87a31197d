from __future__ import annotations

import json
from pathlib import Path

from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.spec import FleetSpec
from hotgraph_server.fleet.status import FORMAT, DriverFigures, status_document
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
