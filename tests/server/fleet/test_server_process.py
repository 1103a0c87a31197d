from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.errors import FleetError, ReplicaGone
from hotgraph_server.fleet.cores import Cores
from hotgraph_server.fleet.crashes import MOST, PAUSE_S
from hotgraph_server.fleet.observed import ReplicaSeen, ReplicaState
from hotgraph_server.fleet.server_process import ServerProcess, ServerSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from ..fakes import until

PATIENCE_S = 60.0
FAKE = (sys.executable, str(Path(__file__).with_name("fake_server.py")))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for what is temporary, and the test's own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def spec(folder: Path, **settings: object) -> ServerSpec:
    return ServerSpec("127.0.0.1", str(folder), settings, command=FAKE)


@contextmanager
def running(of: ServerSpec, folder: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(of, Cores(folder / "cores"))
    process.start()
    try:
        until(lambda: is_ready(process), PATIENCE_S, 0.01)
        yield process
    finally:
        process.stop()
    assert not [one for one in threading.enumerate() if "of a replica" in one.name]


def is_ready(process: ServerProcess) -> bool:
    return process.report().state is ReplicaState.READY


def pid(folder: Path) -> int:
    return int((folder / "pid").read_text())


def is_there(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def loads(seen: ReplicaSeen) -> Any:
    with urllib.request.urlopen(f"http://{seen.rest_address}/loads", timeout=PATIENCE_S) as answer:
        return json.loads(answer.read())


def test_replica_says_where_its_server_is_and_who(tmp_path: Path) -> None:
    with running(spec(tmp_path), tmp_path) as process:
        seen = process.report("r0", "n")
        assert seen.state is ReplicaState.READY
        assert seen.address == "127.0.0.1:8500"
        assert seen.rest_address != seen.admin_address
        assert (seen.replica_id, seen.node_id, seen.restarts) == ("r0", "n", 0)
        assert str(pid(tmp_path)) in seen.incarnation
        assert seen.rss_bytes > 0


def test_settings_reach_the_server_and_models_are_loaded_when_they_are_asked_for(tmp_path: Path) -> None:
    said = {"max_batch_rows": 16, "log_level": 'a "b" \\ c', "load_reports": True, "buckets": (1, 2)}
    with running(spec(tmp_path, **said), tmp_path):
        assert tomllib.loads((tmp_path / "config").read_text()) == {
            **{"model_control": "explicit", "max_batch_rows": 16, "log_level": 'a "b" \\ c'},
            **{"load_reports": True, "buckets": [1, 2]},
        }


def test_settings_are_one_file_for_all_that_have_them_and_nobody_elses_to_read(
    tmp_path: Path, temporary: Path
) -> None:
    for settings in ({}, {"max_batch_rows": 16}, {}):
        with running(spec(tmp_path, **settings), tmp_path):
            pass
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 2


def test_settings_are_not_written_into_somebody_elses_folder(
    tmp_path: Path, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (temporary / f"hotgraph-replicas-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    process = ServerProcess(spec(tmp_path), Cores(tmp_path / "cores"))
    process.start()
    try:
        until(lambda: "is not a folder of this user's own" in caplog.text, PATIENCE_S, 0.01)
    finally:
        process.stop()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_model_that_is_there_is_not_loaded_again_unless_it_is_asked_for_otherwise(tmp_path: Path) -> None:
    with running(spec(tmp_path), tmp_path) as process:
        process.load("a", {})
        process.load("a", {})
        assert loads(process.report())["a"]["times"] == 1
        process.load("a", {"hotgraph_versions": "1"})
        assert loads(process.report())["a"] == {"times": 2, "parameters": {"hotgraph_versions": "1"}}
        assert process.report().models["a"].versions == (1,)
        process.unload("a")
        assert not process.report().models


def test_version_that_the_server_does_not_find_is_a_failure(tmp_path: Path) -> None:
    with running(spec(tmp_path), tmp_path) as process:
        process.load("a", {"hotgraph_versions": "1"})
        with pytest.raises(FleetError, match="its server has no version 2 of it in"):
            process.load("a", {"hotgraph_versions": "1,2"})
        assert process.report().models["a"].versions == (1,)


def test_what_the_server_says_of_a_model_is_what_is_told(tmp_path: Path) -> None:
    with running(spec(tmp_path), tmp_path) as process:
        with pytest.raises(FleetError, match=r"^failed to load 'broken', it is broken$"):
            process.load("broken", {})
        assert not process.report().models
        assert not process.report().loading


def test_server_that_is_killed_comes_back_with_its_models(tmp_path: Path) -> None:
    with running(spec(tmp_path), tmp_path) as process:
        process.load("a", {"hotgraph_versions": "1"})
        process.load("b", {})
        process.unload("b")
        before = process.report()
        os.kill(pid(tmp_path), signal.SIGKILL)
        until(lambda: process.report().restarts == 1 and is_ready(process), PATIENCE_S, 0.01)
        after = process.report()
        assert after.incarnation != before.incarnation
        assert set(after.models) == {"a"}
        assert loads(after) == {"a": {"times": 1, "parameters": {"hotgraph_versions": "1"}}}


def test_model_that_ends_its_server_is_left_out_in_the_end_and_tried_again_later(
    tmp_path: Path,
) -> None:
    now_s = [0.0]
    process = ServerProcess(spec(tmp_path), Cores(tmp_path / "cores"), lambda: now_s[0])
    process.start()
    try:
        until(lambda: is_ready(process), PATIENCE_S, 0.01)
        for name in ("a", "deadly", "b", "c"):
            process.load(name, {})
        (tmp_path / "kill").touch()
        os.kill(pid(tmp_path), signal.SIGKILL)
        # It ends at each new beginning, until the one is left out.
        until(lambda: process.report().restarts >= MOST + 1 and is_ready(process), PATIENCE_S, 0.01)
        assert set(process.report().models) == {"a", "b", "c"}
        assert process.report().restarts <= MOST + 2
        restarts = process.report().restarts
        with pytest.raises(FleetError, match="its server has ended 3 times while it loaded it; tried again"):
            process.load("deadly", {})
        assert process.report().restarts == restarts
        (tmp_path / "kill").unlink()
        process.load("deadly", {"hotgraph_versions": "1"})
        now_s[0] += PAUSE_S
        process.load("deadly", {})
        assert set(process.report().models) == {"a", "b", "c", "deadly"}
    finally:
        process.stop()


def test_server_that_ends_while_it_loads_is_told_from_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    with running(spec(tmp_path), tmp_path) as process:
        (tmp_path / "kill").touch()
        with pytest.raises(ReplicaGone, match="its server does not answer"):
            process.load("deadly", {})
        until(lambda: process.report().restarts == 1 and is_ready(process), PATIENCE_S, 0.01)
        assert not process.report().models


def test_server_that_does_not_come_to_serve_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "no-start").touch()
    process = ServerProcess(spec(tmp_path), Cores(tmp_path / "cores"))
    process.start()
    try:
        until(lambda: process.report().restarts >= 1, PATIENCE_S, 0.01)
        assert process.report().state is ReplicaState.STARTING
        assert process.report().trouble == "its server does not start: it does not start"
        (tmp_path / "no-start").unlink()
        until(lambda: is_ready(process), PATIENCE_S, 0.01)
        assert not process.report().trouble
    finally:
        process.stop()


def test_program_that_is_not_there_is_tried_again_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = ServerProcess(replace(spec(tmp_path), command=(str(tmp_path / "none"),)), Cores(tmp_path))
    process.start()
    try:
        until(lambda: "cannot be begun" in caplog.text, PATIENCE_S, 0.01)
        assert "none" in process.report().trouble
        (tmp_path / "none").write_text(f'#!/bin/sh\nexec {" ".join(FAKE)} "$@"\n')
        (tmp_path / "none").chmod(0o755)
        until(lambda: is_ready(process), PATIENCE_S, 0.01)
    finally:
        process.stop()


def test_drained_server_ends_and_stays_away_though_its_parent_has_signals_blocked(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with running(spec(tmp_path), tmp_path) as process:
            process.drain()
            assert process.report().state is ReplicaState.DRAINING
            until(lambda: not process.report().address, PATIENCE_S, 0.01)
            assert not is_there(pid(tmp_path))
            assert process.report().state is ReplicaState.DRAINING
            with pytest.raises(FleetError, match="not there"):
                process.load("a", {})
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_stop_leaves_no_process(tmp_path: Path) -> None:
    with running(spec(tmp_path), tmp_path) as process:
        number = pid(tmp_path)
        assert is_there(number)
        process.stop()
        process.stop()
        assert not is_there(number)


_HOST = """
import sys, threading
from hotgraph_server.fleet.server_process import ServerProcess, ServerSpec
ServerProcess(ServerSpec("127.0.0.1", sys.argv[1], {}, command=sys.argv[2:])).start()
threading.Event().wait()
"""


def test_server_ends_with_its_replica_whatever_ends_that(tmp_path: Path) -> None:
    host = subprocess.Popen([sys.executable, "-c", _HOST, str(tmp_path), *FAKE])
    try:
        until((tmp_path / "pid").exists, PATIENCE_S, 0.01)
        until(lambda: (tmp_path / "pid").read_text(), PATIENCE_S, 0.01)
        assert is_there(pid(tmp_path))
    finally:
        host.kill()
        host.wait()
    until(lambda: not is_there(pid(tmp_path)), PATIENCE_S, 0.01)


def test_server_runs_on_processors_of_its_own(tmp_path: Path) -> None:
    usable = os.sched_getaffinity(0)
    with running(replace(spec(tmp_path), cores=1), tmp_path):
        held = os.sched_getaffinity(pid(tmp_path))
        assert held < usable if len(usable) > 1 else held == usable
