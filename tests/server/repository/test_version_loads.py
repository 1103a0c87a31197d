"""Loads, unloads and looks alone: what comes of each is returned, whatever happens."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from hotgraph_server.errors import LoadError
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.version import Version
from hotgraph_server.repository import version_loads
from hotgraph_server.repository.entry import Entry
from hotgraph_server.repository.layout import Found, Interest, Look
from hotgraph_server.repository.version_loads import VersionLoads
from hotgraph_server.settings import ModelSettings, StateSettings

from ..fakes import HANG_S

BROKEN = LoadError("model 'm' version 1", "broken")
FOUND = Found(Path("/m/1"))


class Stub:
    """Of a version what is asked of it here."""

    title = "model 'm' version 1"
    memory = MemoryUsage(5)

    def __init__(self, *, ends: bool = True, folder: str | None = None) -> None:
        self.stopped: list[float] = []
        self._ends = ends
        self.snapshotter = None if folder is None else cast(Any, self)
        self.status = cast(Any, self)
        self.folder = folder

    def stop(self, timeout_s: float) -> bool:
        self.stopped.append(timeout_s)
        return self._ends


class World:
    def __init__(self, outcome: Any = None, look: Any = None, grace_s: float = 0.0) -> None:
        self.given_back = 0
        self.loaded: list[tuple[ModelSettings, int, Path]] = []
        self._outcome, self._look_outcome = outcome, look
        self.loads = VersionLoads(self._load, self._look, self._give_back, grace_s)

    def load(self, before: Any = None, **state: Any) -> Any:
        settings = ModelSettings("m", Path("/m"), state=StateSettings(**state))
        return self.loads.load("model 'm'", Entry(1, FOUND, settings), lambda: before)

    def _load(self, settings: ModelSettings, number: int, folder: Path) -> Version:
        self.loaded.append((settings, number, folder))
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return cast(Version, self._outcome)

    def _look(self, *_: object) -> Look:
        if isinstance(self._look_outcome, Exception):
            raise self._look_outcome
        return cast(Look, self._look_outcome)

    def _give_back(self, taken: MemoryUsage) -> None:
        self.given_back += 1


def entry(version: Stub) -> Entry:
    return Entry(1, FOUND, ModelSettings("m", Path("/m")), version=cast(Version, version))


def test_version_is_loaded_from_its_folder_by_its_settings() -> None:
    version = Stub()
    world = World(version)
    assert world.load() is version
    ((settings, number, folder),) = world.loaded
    assert (settings.name, number, folder) == ("m", 1, Path("/m/1"))
    assert (world.given_back, version.stopped) == (0, [])


def test_load_that_fails_returns_why_and_gives_memory_back() -> None:
    world = World(BROKEN)
    assert world.load() is BROKEN
    assert BROKEN.__traceback__ is None
    assert world.given_back == 1


def test_bug_of_ours_is_logged_and_told_without_details(caplog: pytest.LogCaptureFixture) -> None:
    failure = World(RuntimeError("secret")).load()
    assert isinstance(failure, LoadError)
    assert str(failure) == "model 'm' version 1: internal error: RuntimeError"
    assert "secret" in caplog.text


class Handed:
    """Stands in for hand_over, and notes what was handed over to what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.over: list[tuple[Any, Any, bool]] = []
        self._error = error
        monkeypatch.setattr(version_loads, "hand_over", self)

    def __call__(self, old: Any, new: Any, *, replaced: bool) -> None:
        self.over.append((old, new, replaced))
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    ("state", "folders", "hands_over"),
    [
        ({}, (None, None), False),
        ({"transfer_state": True}, (None, None), True),
        ({"state_dir": "/s"}, ("/s/m/1", "/s/m/2"), False),
        ({"state_dir": "/s"}, ("/s/m/1", "/s/m/1"), True),
    ],
)
def test_values_go_on_where_that_is_wanted_or_the_snapshots_are_the_same(
    monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], folders: tuple[Any, Any], hands_over: bool
) -> None:
    handed = Handed(monkeypatch)
    old, new = (Stub(folder=folder) for folder in folders)
    assert World(new).load((old, True), **state) is new
    assert handed.over == ([(old, new, True)] if hands_over else [])


def test_first_version_has_nothing_to_go_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    handed = Handed(monkeypatch)
    World(Stub()).load(None, transfer_state=True)
    assert handed.over == []


def test_version_that_cannot_take_over_is_closed_and_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    Handed(monkeypatch, BROKEN)
    new = Stub()
    world = World(new)
    assert world.load((Stub(), False), transfer_state=True) is BROKEN
    assert (new.stopped, world.given_back) == ([0.0], 1)


def test_unloaded_version_has_time_for_what_it_took_and_its_memory_is_given_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    for version, state in ((Stub(), "closed"), (Stub(ends=False), "left, its run does not end")):
        world, one = World(), entry(version)
        world.loads.unload(one)
        assert one.version is None
        assert version.stopped[0] >= 60.0
        assert world.given_back == 1
        assert f"model 'm' version 1 is {state}" in caplog.text


def test_grace_and_time_to_drain_end_with_the_server() -> None:
    world, version = World(grace_s=3600.0), Stub()
    unloading = threading.Thread(target=world.loads.unload, args=(entry(version),), daemon=True)
    unloading.start()
    assert not world.loads.is_stopping
    world.loads.stop_by(time.monotonic() - 1.0)
    unloading.join(HANG_S)
    assert version.stopped == [0.0]
    assert world.loads.is_stopping


def test_look_returns_what_is_there_or_why_that_cannot_be_said(caplog: pytest.LogCaptureFixture) -> None:
    settings, interest = ModelSettings("m", Path("/m")), Interest()
    look = Look({}, ())
    assert World(look=look).loads.look_at(settings, interest) is look
    assert World(look=BROKEN).loads.look_at(settings, interest) is BROKEN
    failure = World(look=RuntimeError("secret")).loads.look_at(settings, interest)
    assert str(failure) == "/m: cannot be looked at: RuntimeError"
    assert "secret" in caplog.text
