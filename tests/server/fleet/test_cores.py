from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotgraph_server.fleet.cores import Cores

_HOLDER = """
import os, sys, threading
from pathlib import Path
from hotgraph_server.fleet.cores import Cores
os.sched_getaffinity = lambda _: set(range(8))
cores = Cores(Path(sys.argv[1]))
print(len(cores.take(7)), flush=True)
threading.Event().wait()
"""


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def test_nobody_shares_a_processor(tmp_path: Path) -> None:
    one, two = Cores(tmp_path / "c"), Cores(tmp_path / "c")
    assert len(one.take(3)) == 3
    assert len(two.take(3)) == 3
    assert not one.held & two.held
    one.give_back()
    two.give_back()


def test_who_finds_too_few_holds_none(tmp_path: Path) -> None:
    one, two, three = (Cores(tmp_path / "c") for _ in range(3))
    one.take(6)
    assert two.take(3) == frozenset()
    # Nor keeps those that it has tried.
    assert len(three.take(2)) == 2
    one.give_back()
    assert len(two.take(3)) == 3
    two.give_back()
    three.give_back()


@pytest.mark.parametrize("count", [0, -1, 8, 100])
def test_all_or_none_of_a_machine_are_not_held(count: int, tmp_path: Path) -> None:
    assert Cores(tmp_path / "c").take(count) == frozenset()
    assert not (tmp_path / "c").exists()


def test_processors_are_free_again_when_their_holder_is_gone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path / "c")], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"7"
        one = Cores(tmp_path / "c")
        assert one.take(2) == frozenset()
    finally:
        child.kill()
        child.communicate()
    assert len(one.take(7)) == 7
    one.give_back()


def test_link_in_place_of_a_file_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    for core in range(8):
        (folder / str(core)).symlink_to(tmp_path / "precious")
    assert Cores(folder).take(2) == frozenset()
    assert not (tmp_path / "precious").exists()
