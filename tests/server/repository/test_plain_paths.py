from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hotgraph_server.repository import plain_paths
from hotgraph_server.repository.plain_paths import plain


@pytest.fixture(autouse=True)
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are made: a folder of the test's."""
    (tmp_path / "links").mkdir()
    monkeypatch.setattr(plain_paths, "_links", {})
    monkeypatch.setattr(plain_paths, "_inside", [tmp_path / "links"])
    return tmp_path / "links"


@pytest.mark.parametrize("name", ["m", "a*b", "a?b", "a[b", "a]b", "{a}", "with space", "ümlaut"])
def test_path_that_finds_itself_is_left_as_it_is(tmp_path: Path, links: Path, name: str) -> None:
    assert plain(tmp_path / name) == tmp_path / name
    assert not list(links.iterdir())


@pytest.mark.parametrize("name", ["m[1]", "[a-z]", "a\\b"])
def test_path_that_is_a_pattern_gets_one_link_however_often_it_is_asked_for(
    tmp_path: Path, links: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    with ThreadPoolExecutor(8) as threads:
        (path,) = set(threads.map(plain, [tmp_path / name] * 8))
    assert path.parent == links
    assert path.resolve() == tmp_path / name
    assert len(list(links.iterdir())) == 1


def test_where_no_link_can_be_made_the_path_is_left_as_it_is(tmp_path: Path, links: Path) -> None:
    links.rmdir()
    assert plain(tmp_path / "m[1]") == tmp_path / "m[1]"
