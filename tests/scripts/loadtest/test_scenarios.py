"""The scenarios of scripts/loadtest against a server: each puts on the load that it is named for."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ...acceptance.command import serve
from ...ports import free_port

FOLDER = Path(__file__).parents[3] / "scripts" / "loadtest"
NAMES = ("steady", "ramp", "burst", "overload", "soak")
RUN_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """HOST:PORT of a server of the built-in model, and its admin port."""
    admin = free_port()
    with serve("--port", "0", "--admin-port", str(admin)) as serving:
        yield serving.address, admin


def run(name: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FOLDER / name, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


def document(name: str, server: tuple[str, int], cwd: Path, **environment: str) -> Any:
    """What a scenario found in steps of half a second."""
    address, admin = server
    metrics = f"http://127.0.0.1:{admin}/metrics"
    environment = {"DURATION": "0.5", "METRICS": metrics, **environment}
    done = run(name, address, "digits", "--warm-up", "0", cwd=cwd, **environment)
    assert done.returncode == 0, done.stderr
    assert "<html" in (cwd / f"{name}.html").read_text()
    return json.loads((cwd / f"{name}.json").read_text())


def answered(step: Any) -> int:
    """Calls of a step that were answered in time; fails where an answer was wrong."""
    assert not step["wrong"]
    return int(step["calls"] - sum(step["errors"].values()))


def test_steady_load_is_put_on_three_times(server: tuple[str, int], tmp_path: Path) -> None:
    found = document("steady", server, tmp_path, RATE="40")
    (step,) = found["steps"]
    assert found["load"]["repeats"] == 3
    assert step["kind"] == "open"
    assert answered(step) > 0
    assert set(step["spread"]) >= {"p50_ms", "p99_ms"}


def test_ramp_offers_more_and_more(server: tuple[str, int], tmp_path: Path) -> None:
    found = document("ramp", server, tmp_path, RATE="450")
    labels = [float(step["label"].removesuffix("/s")) for step in found["steps"]]
    assert labels == [100, 150, 200, 250, 300, 350, 400, 450]
    assert all(answered(step) for step in found["steps"])


def test_burst_has_many_calls_at_once_and_few_before_and_after(
    server: tuple[str, int], tmp_path: Path
) -> None:
    found = document("burst", server, tmp_path, DURATION="3", PERIOD="3", RATE="20", BURST="400", WIDTH="0.5")
    (step,) = found["steps"]
    calm, burst, after = (moment["due"] for moment in step["over_time"])
    # The burst is from 1.5 s to 2 s.
    assert burst > 4 * max(calm, after)
    moments = [float(line) for line in (tmp_path / "burst.moments").read_text().split()]
    assert moments == sorted(moments)
    assert step["calls"] == len(moments) == calm + burst + after
    assert sum(1.5 <= moment < 2.0 for moment in moments) > 100


def test_overload_sends_half_once_twice_and_thrice_with_a_deadline(
    server: tuple[str, int], tmp_path: Path
) -> None:
    found = document("overload", server, tmp_path, RATE="100", DEADLINE_MS="80")
    labels = [float(step["label"].removesuffix("/s")) for step in found["steps"]]
    assert labels == [50, 100, 200, 300]
    assert found["load"]["deadline_ms"] == 80


def test_soak_watches_the_servers_memory(server: tuple[str, int], tmp_path: Path) -> None:
    (step,) = document("soak", server, tmp_path, RATE="40", DURATION="2")["steps"]
    memory = step["server"]["resident_mib"]
    # A server with TensorFlow in it.
    assert 50 < memory["before"] <= memory["most"]
    assert memory["after"] <= memory["most"]
    assert len([moment for moment in step["server"]["over_time"] if moment["resident_mib"]]) >= 1


def test_options_of_the_command_line_win(server: tuple[str, int], tmp_path: Path) -> None:
    address, _ = server
    flags = ("--rate", "25", "--repeat", "1", "--duration", "0.5", "--warm-up", "0", "--rows", "3")
    done = run("steady", address, "digits", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "steady.json").read_text())
    assert [step["label"] for step in found["steps"]] == ["25/s"]
    assert found["input"]["rows"] == {"3": 1.0}


def test_server_that_is_not_there_is_one_line_and_a_status(tmp_path: Path) -> None:
    done = run("steady", "127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_help_tells_what_to_look_for_and_every_setting(name: str, tmp_path: Path) -> None:
    done = run(name, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hat to look for" in done.stdout
    assert f"scripts/loadtest/{name} [TARGET [MODEL]] [OPTION ...]" in done.stdout
    body = (FOLDER / name).read_text().partition("\nsource ")[2]
    read = set(re.findall(r"\$\{([A-Z_]+)(?::?-)", body))
    assert read
    assert not {setting for setting in read if f"\n  {setting}=" not in done.stdout}
    assert not list(tmp_path.iterdir())


def test_every_scenario_is_tried() -> None:
    scripts = {path.name for path in FOLDER.iterdir() if path.is_file() and not path.suffix}
    assert scripts == {*NAMES, "pictures"}
