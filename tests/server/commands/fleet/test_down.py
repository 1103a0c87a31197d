from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotgraph_server.commands.cli import main
from hotgraph_server.commands.fleet import up
from hotgraph_server.fleet import ray_cluster
from hotgraph_server.fleet.ray_cluster import Wanted


class Fleet:
    """One whose driver is there for some looks, and then ends: done with it, or in the middle."""

    def __init__(self, looks: int, does_it: bool) -> None:
        self.looks, self.does_it = looks, does_it
        self.wanted = Wanted(3)
        self.done: list[str] = []

    def driver(self, _: object) -> str | None:
        self.looks -= 1
        if self.looks < 0:
            if self.does_it:
                self.wanted = Wanted()
            return None
        return "another process"


@contextlib.contextmanager
def _joined(*_: object, **__: object) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("looks", "does_it", "done"),
    [(0, False, ["lease", "drive", "forget"]), (3, False, ["lease", "drive", "forget"]), (3, True, [])],
    ids=["no driver", "one that dies", "one that does it"],
)
def test_fleet_is_ended_by_its_driver_or_else_by_the_command(
    looks: int, does_it: bool, done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(looks, does_it)

    def noted(what: str) -> bool:
        fleet.done.append(what)
        return True

    monkeypatch.setattr(ray_cluster, "joined", _joined)
    monkeypatch.setattr(ray_cluster, "want", lambda _, asked: setattr(fleet, "wanted", asked))
    monkeypatch.setattr(ray_cluster, "wanted", lambda _: fleet.wanted)
    monkeypatch.setattr(ray_cluster, "driver", fleet.driver)
    monkeypatch.setattr(ray_cluster, "take_lease", lambda *_: noted("lease"))
    monkeypatch.setattr(ray_cluster, "forget", lambda _: noted("forget"))
    monkeypatch.setattr(up, "drive", lambda *_: noted("drive"))
    file = tmp_path / "fleet.toml"
    file.write_text('[fleet]\nrepository = "m"\nstate = "s"\naddress = "127.0.0.1:1"\n')
    assert main(["fleet", "down", "-f", str(file)]) == 0
    assert fleet.done == done
