"""What is below a folder, for whoever asks whether it still changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hotgraph_server.repository.tree import tree_of


def names(folder: Path) -> set[str]:
    return {path for path, _, _ in tree_of(folder).files}


def test_tree_is_every_file_below(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("123")
    (tmp_path / "d").write_text("")
    assert {(path, size) for path, size, _ in tree_of(tmp_path).files} == {("a/b/c", 3), ("d", 0)}


def test_links_are_followed_once_and_lead_in_no_circle(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "to").symlink_to(tmp_path / "real")
    (tmp_path / "m" / "up").symlink_to(tmp_path / "m")
    (tmp_path / "real" / "loop").symlink_to("loop")
    assert names(tmp_path / "m") == {"to/file"}


def test_what_cannot_be_looked_at_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    assert names(tmp_path) == {"file"}
    assert names(tmp_path / "gone") == set()


@pytest.mark.parametrize("what", ["file", "folder", "folder/file"])
def test_rights_that_change_are_a_change(tmp_path: Path, what: str) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder/file"):
        (tmp_path / name).write_text("")
    before = tree_of(tmp_path)
    assert tree_of(tmp_path) == before
    # Times on disk go on in steps of some milliseconds.
    while (probe := tmp_path.with_name("probe")).write_text(
        ""
    ) or probe.stat().st_ctime_ns == before.changed_ns:
        pass
    (tmp_path / what).chmod(0o700 if what == "folder" else 0o600)
    after = tree_of(tmp_path)
    assert after != before
    assert after.files == before.files


def test_name_that_is_no_text_is_as_good_as_any(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    with open(os.fsencode(tmp_path) + b"/caf\xe9/[*?]", "wb"):
        pass
    assert names(tmp_path) == {os.fsdecode(b"caf\xe9/[*?]")}
