from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from hotgraph_server.fleet.versions import VersionsThere
from tests.server.fakes import until


def put(repository: Path, name: str, number: int, content: str = "graph") -> Path:
    folder = repository / name / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_text(content)
    return folder


@pytest.fixture
def there(tmp_path: Path) -> VersionsThere:
    return VersionsThere(tmp_path, ["m", "n"])


def test_nothing_is_known_before_the_first_look(there: VersionsThere) -> None:
    assert there.there == {}


def test_what_is_there_at_the_first_look_counts(there: VersionsThere, tmp_path: Path) -> None:
    put(tmp_path, "m", 1)
    put(tmp_path, "m", 3)
    there.look()
    assert there.there == {"m": {1, 3}, "n": set()}


def test_version_that_comes_counts_when_two_looks_have_found_the_same(
    there: VersionsThere, tmp_path: Path
) -> None:
    put(tmp_path, "m", 1)
    there.look()
    put(tmp_path, "m", 2, "gra")
    there.look()
    put(tmp_path, "m", 2, "graph, whole")
    there.look()
    assert there.there == {"m": {1}, "n": set()}
    there.look()
    assert there.there == {"m": {1, 2}, "n": set()}


def test_version_whose_folder_goes_counts_no_more(there: VersionsThere, tmp_path: Path) -> None:
    put(tmp_path, "m", 1)
    folder = put(tmp_path, "m", 2)
    there.look()
    shutil.rmtree(folder)
    there.look()
    assert there.there == {"m": {1}, "n": set()}
    shutil.rmtree(tmp_path / "m")
    there.look()
    assert there.there == {"m": set(), "n": set()}


def test_folder_that_is_no_version_counts_for_nothing(there: VersionsThere, tmp_path: Path) -> None:
    put(tmp_path, "m", 1)
    (tmp_path / "m" / "2").mkdir()
    (tmp_path / "m" / "old").mkdir()
    for _ in range(3):
        there.look()
    assert there.there == {"m": {1}, "n": set()}


def test_model_that_comes_later_is_found(there: VersionsThere, tmp_path: Path) -> None:
    there.look()
    put(tmp_path, "n", 5)
    there.look()
    there.look()
    assert there.there == {"m": set(), "n": {5}}


def test_machine_without_the_repository_says_that(tmp_path: Path) -> None:
    there = VersionsThere(tmp_path / "nowhere", ["m"])
    there.look()
    assert there.there is None
    put(tmp_path / "nowhere", "m", 1)
    there.look()
    assert there.there == {"m": {1}}


def test_thread_looks_until_it_is_stopped_and_none_is_left(there: VersionsThere, tmp_path: Path) -> None:
    put(tmp_path, "m", 1)
    there.start()
    until(lambda: there.there == {"m": {1}, "n": set()})
    there.stop()
    there.stop()
    assert "fleet versions" not in {thread.name for thread in threading.enumerate()}
