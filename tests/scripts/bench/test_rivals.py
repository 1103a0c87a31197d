"""How rivals are started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.environment import Cache
from bench.places import Installed, Place
from bench.rivals import RIVALS
from bench.workload import MODELS


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(Cache(tmp_path), Installed(tmp_path / "python"), MODELS["softmax"], tmp_path, 7, [])


def ports(command: Sequence[str]) -> dict[str, str]:
    """Of the flags that end in ``-port``."""
    return {word: command[place + 1] for place, word in enumerate(command) if word.endswith("-port")}


@pytest.mark.parametrize("name", ["hotgraph-http", "hotgraph-json"])
def test_hotgraph_over_http_has_the_places_port(name: str, place: Place) -> None:
    found = ports(RIVALS[name].launch(place).command)
    assert found == {"--port": "0", "--rest-port": "7", "--admin-port": "0"}


def test_no_other_hotgraph_opens_a_port_that_its_neighbour_has(place: Place) -> None:
    for name in ("hotgraph", "hotgraph-tfs", "hotgraph-no-lane", "hotgraph-as-saved"):
        assert set(ports(RIVALS[name].launch(place).command).values()) == {"0"}
