"""`hotgraph fleet plan`: on paper, against what runs, and a day simulated."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.commands.fleet import command
from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.paper import nodes_in, replicas_on
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.reading import read
from hotgraph_server.fleet.spec import ReplicaSpec
from hotgraph_server.fleet.status import DriverFigures, status_document

FILE = """
[fleet]
repository = "models"
state = "state"
[replicas]
count = 2
model_memory_mb = 1000
[models.flowers]
copies = 2
memory_mb = 400
rate_per_s = 100
cost_ms = { 1 = 2.0 }
[models.voices]
memory_mb = 500
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(FILE)
    return path


def fleet(*words: str) -> int:
    parser = argparse.ArgumentParser("hotgraph fleet")
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    fleet("plan", *words, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_without_an_action_there_is_help_that_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet() == 2
    shown = capsys.readouterr().out
    assert "first steps:" in shown
    assert "the least that fleet.toml says:" in shown


def test_plan_on_paper_tells_what_goes_where_and_why(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet("plan", "-f", str(file)) == 0
    shown = capsys.readouterr().out
    assert "on paper: 2 nodes, 2 replicas, 2 models" in shown
    assert "2 copies: as asked for; 100 calls/s keep each busy for 10%; 400 MB each (said)" in shown
    assert "all is placed; 2 replicas would be enough" in shown


def test_models_without_a_place_are_told_and_the_exit_status_says_so(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FILE + "[models.huge]\nmemory_mb = 900\n")
    assert fleet("plan", "-f", str(file)) == 1
    shown = capsys.readouterr().out
    assert "without a place" in shown
    assert "3 replicas would have room for all" in shown


def test_nodes_on_paper_hold_as_many_replicas_as_they_have_room_for(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = as_json(capsys, "-f", str(file), "--nodes", "2x4cpu16gb", "--replicas", "4")
    assert [one["node"] for one in found["replicas"]] == ["node0", "node1", "node0", "node1"]
    with pytest.raises(SettingsError, match="the nodes have room for 2 of 3 replicas"):
        fleet("plan", "-f", str(file), "--nodes", "1x2cpu16gb", "--replicas", "3")


@pytest.mark.parametrize(
    "text", ["", "3", "3x8cpu", "0x8cpu32gb", "3x8cpu32gbx", "99999x1cpu1gb", "8cpu32gb,"]
)
def test_nodes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="as 3x8cpu32gb"):
        nodes_in(text)


def test_nodes_of_several_kinds() -> None:
    nodes = nodes_in("2x4cpu16gb, 32cpu256gb8gpu")
    assert [(one.cpus, one.memory_mb, one.gpus) for one in nodes] == [
        *[(4, 16384, 0)] * 2,
        (32, 262144, 8),
    ]
    replicas = replicas_on(nodes, ReplicaSpec(cpus=4, memory_mb=16384, gpus=1), 100)
    assert [one.node_id for one in replicas] == ["node2"] * 8


def test_what_runs_is_planned_against(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = read(file)
    live = ModelSeen((3,), 400 * 2**20, calls=10, run_s=0.02, calls_per_s=5)
    seen = FleetSeen(
        0.0,
        (NodeSeen("x", "10.0.0.1", 4, 8192), NodeSeen("y", "10.0.0.2", 4, 8192)),
        (
            ReplicaSeen("r0", ReplicaState.READY, node_id="x", models={"flowers": live, "old": live}),
            ReplicaSeen("r1", ReplicaState.STARTING, node_id="y"),
            ReplicaSeen("r2", ReplicaState.DRAINING, node_id="y"),
        ),
    )
    status = status_document(spec, seen, Placement(), {}, DriverFigures(time.time()))
    spec.state.mkdir()
    (spec.state / "status.json").write_text(json.dumps(status))
    found = as_json(capsys, "-f", str(file))
    assert not found["on_paper"]
    changes = {one["replica_id"]: (one["load"], one["unload"]) for one in found["replicas"]}
    assert changes == {"r0": ([], ["old"]), "r1": (["flowers", "voices"], [])}
    assert fleet("plan", "-f", str(file)) == 0
    assert "would change" in capsys.readouterr().out
    assert as_json(capsys, "-f", str(file), "--replicas", "2")["on_paper"]


def test_status_that_is_none_is_told(file: Path) -> None:
    state = read(file).state
    state.mkdir()
    (state / "status.json").write_text('{"at_s": "x"}')
    with pytest.raises(SettingsError, match=r"status\.json: no status of a fleet"):
        fleet("plan", "-f", str(file))


def test_status_that_nobody_writes_any_more_is_nothing(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = read(file)
    spec.state.mkdir()
    status = status_document(spec, FleetSeen(0.0), Placement(), {}, DriverFigures(time.time() - 3600))
    (spec.state / "status.json").write_text(json.dumps(status))
    assert as_json(capsys, "-f", str(file))["on_paper"]


def test_file_without_models_is_told(file: Path) -> None:
    file.write_text('[fleet]\nrepository = "a"\nstate = "b"')
    with pytest.raises(SettingsError, match=r"no models are in it; a table \[models.NAME\]"):
        fleet("plan", "-f", str(file))


def test_day_of_the_fleet_of_a_file_is_simulated(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet("plan", "-f", str(file), "--simulate", "--hours", "1", "--nodes", "3x4cpu8gb") == 0
    shown = capsys.readouterr().out
    assert "simulated: 3 nodes, 2 replicas (2 to 2), 2 models, 1 hours" in shown
    assert "all placed after" in shown


def test_simulated_day_is_drawn(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("-f", str(file), "--simulate", "--hours", "1", "--html")
    page = tmp_path / "day.html"
    assert fleet("plan", *words, str(page)) == 0
    assert "simulated: 2 nodes" in capsys.readouterr().out
    text = page.read_text()
    assert "1 hours of fleet hotgraph on paper" in text
    assert text.count('class="plot"') == 4
    with pytest.raises(StartError, match="there is no such folder to write it to"):
        fleet("plan", *words, str(tmp_path / "none" / "day.html"))
    with pytest.raises(StartError, match="Is a directory"):
        fleet("plan", *words, str(tmp_path))
    with pytest.raises(SettingsError, match="--html draws what --simulate has played through"):
        fleet("plan", "-f", str(file), "--html", str(page))
    monkeypatch.setitem(sys.modules, "hotgraph_client.loadtest.report", None)
    with pytest.raises(StartError, match=r"pip install 'hotgraph\[loadtest\]'"):
        fleet("plan", *words, str(page))


def test_fleet_that_has_no_file_is_simulated_for_nodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "fleet.toml")
    words = ("-f", nowhere, "--simulate", "--hours", "0.5", "--models", "30")
    found = as_json(capsys, *words, "--nodes", "10x8cpu32gb")
    assert (found["nodes"], found["models"]) == (10, 30)
    assert found["found_at_once"] == pytest.approx(1)
    with pytest.raises(SettingsError, match="is not there; simulate it, or some nodes"):
        fleet("plan", *words)
    with pytest.raises(SettingsError, match="wave must be 0 to 1, got 3"):
        fleet("plan", *words, "--nodes", "10x8cpu32gb", "--wave", "3")
