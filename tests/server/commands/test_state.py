"""`hotgraph state`, on files and against an admin port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.access.keys import new_key
from hotgraph_server.batching.request import Request
from hotgraph_server.commands import cli
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.observability.admin.http import Request as HttpRequest
from hotgraph_server.observability.admin.http import Response, text
from hotgraph_server.observability.admin.pages import Pages
from hotgraph_server.observability.admin.server import AdminServer
from hotgraph_server.settings import ModelSettings, StateSettings
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.state.snapshot import Header, Snapshot
from hotgraph_server.state.store import Store

from ..fakes import Caller
from ..state.simulated import Adding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a version with the snapshots 1, 2 and a damaged 3."""
    store = Store(tmp_path / "m" / "1-aaaaaaaaaaaa", 9)
    for writes in (1, 2, 3):
        path = store.save(Snapshot(Header("m", 1, "a" * 32, writes, 0.0), {"W": np.array(writes)}))
    path.write_bytes(b"HOTGRST1 and then nothing of the kind that could be a snapshot")
    return store.folder


@pytest.fixture
def version(tmp_path: Path) -> Iterator[Version]:
    settings = StateSettings(state_dir=str(tmp_path))
    graph = Adding()
    restore = StateRestore(settings, "m", 1, "0" * 32)
    version = open_version(ModelSettings("m", Path("/m"), state=settings), 1, graph.open, restore=restore)
    yield version
    version.stop(10)


@pytest.fixture
def admin(version: Version) -> Iterator[str]:
    registry = Registry()
    registry.replace("m", [version], {})
    server = AdminServer("127.0.0.1", 0, Pages(registry, lambda: ["m"], lambda: State.LIVE).answer)
    server.start()
    yield server.address
    server.stop()


@pytest.mark.parametrize("below", ["", "m", "m/1-aaaaaaaaaaaa"])
def test_list_shows_whole_and_damaged_ones(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    assert cli.main(["state", "list", str(tmp_path / below)]) == 0
    damaged, second, first = capsys.readouterr().out.splitlines()
    assert damaged.startswith(f"{folder / '00000000000000000003.snapshot'}  damaged: ")
    assert "model 'm' version 1, 2 writes, " in second
    assert first.endswith(": W")


def test_list_of_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["state", "list", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"no snapshots in {tmp_path}\n"


def test_restore_sets_newer_ones_aside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["state", "restore", str(folder / "00000000000000000001.snapshot")]) == 0
    assert "the next start begins after 1 writes" in capsys.readouterr().out
    assert [found.writes for found in Store(folder, 9).find()] == [1]


def test_restore_of_what_was_set_aside_takes_it_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["state", "restore", str(folder / "00000000000000000001.snapshot")]) == 0
    assert cli.main(["state", "restore", str(folder / "00000000000000000002.aside")]) == 0
    assert "begins after 2 writes" in capsys.readouterr().out
    found = Store(folder, 9).newest("a" * 32)
    assert found is not None
    assert found[0].header.writes == 2


def test_restore_of_a_copy_where_no_start_looks_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.snapshot"
    copy.write_bytes((folder / "00000000000000000001.snapshot").read_bytes())
    assert cli.main(["state", "restore", str(copy)]) != 0
    assert "copy it to m/1-aaaaaaaaaaaa/00000000000000000001.snapshot" in capsys.readouterr().err
    assert (folder / "00000000000000000002.snapshot").exists()


def test_restore_names_snapshots_of_other_versions_that_transfer_state_would_take(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(folder.parent / "2-bbbbbbbbbbbb", 9).save(
        Snapshot(Header("m", 2, "b" * 32, 7, 0.0), {"W": np.array(7)})
    )
    assert cli.main(["state", "restore", str(folder / "00000000000000000001.snapshot")]) == 0
    assert "2-bbbbbbbbbbbb/00000000000000000007.snapshot" in capsys.readouterr().out


def test_restore_of_a_damaged_one_fails_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    assert cli.main(["state", "restore", str(folder / "00000000000000000003.snapshot")]) == 1
    assert "its checksum does not hold" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_save_returns_when_the_snapshot_is_on_disk(
    admin: str, version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    caller = Caller()
    version.submit(Request(version.signatures["add"], [np.array(4)], ("total",), caller.completion))
    caller.answer()
    assert cli.main(["state", "save", admin, "m"]) == 0
    assert "model 'm' version 1: 1 writes are saved in " in capsys.readouterr().out
    assert version.snapshotter is not None
    (found,) = Store(version.snapshotter.status.folder or Path(), 9).find()
    assert found.snapshot is not None
    assert int(found.snapshot.values["total"]) == 4


def test_save_of_what_is_not_served_fails(admin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["state", "save", admin, "nobody"]) == 1
    assert "no model 'nobody' with version latest is served" in capsys.readouterr().err
    assert cli.main(["state", "save", "127.0.0.1:1", "m"]) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["host:port", "a b"])
def test_save_at_what_is_no_address_fails_in_one_line(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["state", "save", address, "m"]) != 0
    assert f"{address!r} is no HOST:PORT" in capsys.readouterr().err


def test_no_thread_is_left_when_the_version_has_closed(version: Version) -> None:
    assert any(thread.name == f"state {version.title}" for thread in threading.enumerate())
    version.stop(10)
    assert not any(thread.name == f"state {version.title}" for thread in threading.enumerate())


@pytest.mark.parametrize("by", ["file", "environment"])
def test_save_sends_the_key_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key, came = new_key(), []

    def answer(request: HttpRequest) -> Response:
        came.append(request.headers.get("authorization"))
        return text(HTTPStatus.OK, "saved")

    server = AdminServer("127.0.0.1", 0, answer)
    server.start()
    words = ["state", "save", server.address, "m"]
    try:
        assert cli.main(words) == 0
        if by == "file":
            (tmp_path / "key").write_text(f"{key}\n")
            words += ["--key-file", str(tmp_path / "key")]
        else:
            monkeypatch.setenv("HOTGRAPH_KEY", key)
        assert cli.main(words) == 0
    finally:
        server.stop()
    assert came == [None, f"Bearer {key}"]
    assert key not in capsys.readouterr().out


def test_what_is_no_key_is_not_sent_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOTGRAPH_KEY", "se\ncret" * 9)
    assert cli.main(["state", "save", "127.0.0.1:1", "m"]) == 1
    (tmp_path / "key").write_text("secret")
    assert cli.main(["state", "save", "127.0.0.1:1", "m", "--key-file", str(tmp_path / "key")]) == 1
    told = capsys.readouterr().err
    assert "HOTGRAPH_KEY: a key has letters" in told
    assert "key: a key has at least 32 characters" in told
    assert "cret" not in told
