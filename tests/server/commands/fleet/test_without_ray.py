"""What the commands say before there is any Ray."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.commands.cli import main

FILE = """
[fleet]
name = "a"
repository = "models"
state = "state"
address = "{address}"
[replicas]
{replicas}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was, for who joins a Ray tells it there."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def found(name: str, *others: Any) -> Any:
        return None if name == "ray" else find(name, *others)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def written(folder: Path, address: str = "local", replicas: str = "count = 1") -> str:
    (folder / "models").mkdir()
    file = folder / "fleet.toml"
    file.write_text(FILE.format(address=address, replicas=replicas))
    return str(file)


@pytest.mark.parametrize("words", [("up",), ("scale", "2"), ("down",)])
@pytest.mark.parametrize("address", ["local", "auto", "127.0.0.1:6379"])
@pytest.mark.usefixtures("without_ray")
def test_ray_that_is_not_installed_is_one_line_that_says_how(
    words: tuple[str, ...], address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fleet", *words, "-f", written(tmp_path, address)]) == 1
    assert capsys.readouterr().err == (
        "hotgraph fleet: Ray is not installed, which carries a fleet: pip install 'hotgraph[fleet]'\n"
    )
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("count", ["0", "-1", "1000000"])
def test_no_fleet_has_so_many_replicas(
    count: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fleet", "scale", "-f", written(tmp_path), "--", count]) == 1
    assert "a fleet has 1 to 10000 replicas" in capsys.readouterr().err


def test_scale_keeps_to_the_bounds_where_the_load_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, replicas="count = 2\nleast = 2\nmost = 4")
    for count in ("1", "5"):
        assert main(["fleet", "scale", count, "-f", file]) == 1
        assert f"has least = 2 and most = 4; {count} is not between them" in capsys.readouterr().err
