"""The peers file as it changes: read again when it is another, kept as it was when it is none."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hotgraph_server.forwarding.peers_file import PeersFile


def peers_file(path: Path, own: str = "", changed: list[frozenset[str]] | None = None) -> PeersFile:
    told = [] if changed is None else changed
    return PeersFile(path, lambda address: address == own, told.append)


def test_it_may_come_later(tmp_path: Path) -> None:
    path = tmp_path / "peers"
    file = peers_file(path)
    file.look()
    assert file.peers.having("a") == ()
    path.write_text("h:1 a")
    file.look()
    assert file.peers.having("a") == ("h:1",)


def test_each_change_is_told_once(tmp_path: Path) -> None:
    path, changed = tmp_path / "peers", list[frozenset[str]]()
    file = peers_file(path, changed=changed)
    for text in ("h:1 a", "h:1 a", "h:2 a", "h:2 a"):
        path.write_text(text)
        file.look()
    assert changed == [frozenset({"h:1"}), frozenset({"h:2"})]


def test_the_server_itself_is_no_peer(tmp_path: Path) -> None:
    path = tmp_path / "peers"
    path.write_text("h:1 a\nh:2 a")
    file = peers_file(path, own="h:1")
    file.look()
    assert file.peers.having("a") == ("h:2",)


def test_what_is_no_peers_file_changes_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "peers"
    path.write_text("h:1 a")
    file = peers_file(path)
    file.look()
    path.write_text("what is this")
    with caplog.at_level(logging.WARNING):
        file.look()
        file.look()
    assert file.peers.having("a") == ("h:1",)
    assert len(caplog.records) == 1
    assert "line 1" in caplog.text
    path.write_text("h:3 a")
    file.look()
    assert file.peers.having("a") == ("h:3",)


def test_a_folder_in_its_place_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = peers_file(tmp_path)
    file.look()
    assert len(caplog.records) == 1
    assert file.peers.addresses == frozenset()
