from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hotgraph_server.conversion.cache import Cache, content_hash, usual_folder
from hotgraph_server.errors import LoadError


def made(cache: Cache, stem: str, size: int = 10, *, used: float = 0.0) -> Path:
    entry = cache.entry(stem, "0" * 64)
    entry.mkdir()
    (entry / "saved_model.pb").write_bytes(b"x" * size)
    os.utime(entry, (used, used))
    return entry


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache", most=2, most_bytes=100)
    cache.prepare()
    return cache


def test_usual_folder_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert usual_folder() == Path("/somewhere/hotgraph/models")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/me")
    assert usual_folder() == Path("/home/me/.cache/hotgraph/models")


def test_folder_is_its_users_alone(cache: Cache) -> None:
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


def test_folder_that_others_may_write_in_is_refused(cache: Cache) -> None:
    cache.folder.chmod(0o777)
    with pytest.raises(LoadError, match="others may write here"):
        cache.prepare()


def test_folder_that_cannot_be_made_is_told_with_the_ways_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LoadError, match=r"cannot be made.*XDG_CACHE_HOME.*--no-conversion-cache"):
        Cache(tmp_path / "file" / "cache").prepare()


def test_content_and_words_beside_it_make_the_hash(tmp_path: Path) -> None:
    file = tmp_path / "m.keras"
    file.write_bytes(b"one")
    first = content_hash(file, "a")
    assert content_hash(file, "a") == first
    assert content_hash(file, "b") != first
    file.write_bytes(b"two")
    assert content_hash(file, "a") != first


@pytest.mark.parametrize("stem", ["m", "../../etc", "a b/c", ".hidden", "", "x" * 300])
def test_entry_lies_in_the_folder_whatever_the_file_is_called(cache: Cache, stem: str) -> None:
    entry = cache.entry(stem, "0" * 64)
    assert entry.parent == cache.folder
    assert not entry.name.startswith(".")
    entry.mkdir()


def test_entry_is_there_once_it_holds_a_graph(cache: Cache) -> None:
    assert not cache.take(cache.entry("m", "0" * 64))
    assert cache.take(made(cache, "m"))


def test_what_is_too_much_goes_the_longest_unused_first(cache: Cache) -> None:
    old, new, newest = (made(cache, stem, used=used) for stem, used in (("a", 1.0), ("b", 2.0), ("c", 3.0)))
    cache.trim()
    assert (old.exists(), new.exists(), newest.exists()) == (False, True, True)


def test_bytes_count_as_entries_do_and_the_last_one_stays(cache: Cache) -> None:
    small, large = made(cache, "small", 10, used=1.0), made(cache, "large", 1000, used=2.0)
    cache.trim()
    assert (small.exists(), large.exists()) == (False, True)


def test_what_a_process_has_taken_stays(cache: Cache) -> None:
    taken = made(cache, "taken", used=1.0)
    # As another process does it: a lock is its holder's, not its process's.
    assert Cache(cache.folder).take(taken)
    for stem, used in (("b", 2.0), ("c", 3.0), ("d", 4.0)):
        made(cache, stem, used=used)
    os.utime(taken, (1.0, 1.0))
    cache.trim()
    assert taken.exists()
    assert not cache.entry("b", "0" * 64).exists()


def test_taking_an_entry_counts_as_use(cache: Cache) -> None:
    entry = made(cache, "m", used=1.0)
    assert cache.take(entry)
    assert entry.stat().st_mtime > 1.0
