from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotgraph_server.commands.cli import main
from hotgraph_server.fleet import ray_cluster
from hotgraph_server.fleet.ray_cluster import Wanted


@contextlib.contextmanager
def _joined(*_: object, **__: object) -> Iterator[None]:
    yield


@pytest.mark.parametrize("down", [False, True])
def test_fleet_that_is_being_ended_is_not_asked_for_replicas(
    down: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Wanted] = []
    monkeypatch.setattr(ray_cluster, "joined", _joined)
    monkeypatch.setattr(ray_cluster, "wanted", lambda _: Wanted(2, down))
    monkeypatch.setattr(ray_cluster, "want", lambda _, one: asked.append(one))
    monkeypatch.setattr(ray_cluster, "driver", lambda _: "another process")
    file = tmp_path / "fleet.toml"
    file.write_text('[fleet]\nrepository = "m"\nstate = "s"\naddress = "127.0.0.1:1"\n')
    assert main(["fleet", "scale", "3", "-f", str(file)]) == int(down)
    assert asked == ([] if down else [Wanted(3)])
    assert ("is being ended" in capsys.readouterr().err) == down
