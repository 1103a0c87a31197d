from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from hotgraph_server.errors import FleetError
from hotgraph_server.fleet.ray_cluster import Local


@pytest.mark.parametrize(
    "text",
    [
        *("", "no JSON", "[]", "{}", "null", '{"pid": "x"}'),
        json.dumps({"pid": 2**22 + 1, "began": "1", "address": "127.0.0.1:1", "folder": "f"}),
        # A process of that number is there, and is another one.
        json.dumps({"pid": os.getpid(), "began": "1", "address": "127.0.0.1:1", "folder": "f"}),
        json.dumps({"pid": os.getpid(), "began": "", "address": "127.0.0.1:1", "folder": "f"}),
    ],
    # Processes that share the tests must find the same names.
    ids=["empty", "text", "list", "object", "null", "word", "no process", "another process", "no beginning"],
)
def test_ray_that_is_not_ours_is_neither_used_nor_ended(text: str, tmp_path: Path) -> None:
    (tmp_path / "ray.json").write_text(text)
    with pytest.raises(FleetError, match=r"no fleet runs here: .* hotgraph fleet up starts one"):
        Local(tmp_path).address()
    Local(tmp_path).stop()
    assert not (tmp_path / "ray.json").exists()


def test_one_whose_beginning_was_cut_short_is_ended_and_its_folder_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "hotgraph-ray-x"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        began = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        told = {"pid": process.pid, "began": began, "address": "", "folder": str(folder)}
        (tmp_path / "ray.json").write_text(json.dumps(told))
        with pytest.raises(FleetError, match="no fleet runs here"):
            Local(tmp_path).address()
        Local(tmp_path).stop()
        assert not Path(f"/proc/{process.pid}").exists()
        assert not folder.exists()
        process.returncode = 0


@pytest.mark.parametrize(
    ("name", "goes"), [("hotgraph-ray-x", True), ("precious", False), ("a/hotgraph-ray-x", False)]
)
def test_folder_of_one_that_was_killed_goes_and_no_other(
    name: str, goes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / name
    folder.mkdir(parents=True)
    told = {"pid": os.getpid(), "began": "1", "address": "127.0.0.1:1", "folder": str(folder)}
    (tmp_path / "ray.json").write_text(json.dumps(told))
    Local(tmp_path).stop()
    assert folder.exists() is not goes


def test_no_ray_is_begun_where_its_processes_cannot_be_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(FleetError, match='address = "local" needs Linux'):
        Local(tmp_path).start()
    assert not list(tmp_path.iterdir())


# Who begins a Ray does not wait for it, which Python says when it forgets the process.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="of Linux alone")
def test_two_commands_at_once_begin_one_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, gate, found = tmp_path / "program", threading.Barrier(2), list[str]()
    program.write_text(f"#!/bin/sh\necho x >>{tmp_path}/begun\nsleep 0.2\necho 127.0.0.1:1\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def command() -> None:
        gate.wait()
        found.append(Local(tmp_path / "state").start())

    threads = [threading.Thread(target=command) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert found == ["127.0.0.1:1"] * 2
        assert (tmp_path / "begun").read_text() == "x\n"
    finally:
        Local(tmp_path / "state").stop()


def test_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(FleetError, match="state cannot be written"):
        Local(tmp_path / "state").start()
