"""scripts/architecture as a command, in a repository with two rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

from codemap.__main__ import main
from codemap.page import BEGIN, END

FLOORS = [("graph",), ("errors",)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    server = tmp_path / "server" / "hotgraph_server"
    (server / "graph").mkdir(parents=True)
    (server / "graph" / "__init__.py").write_text('"""A graph."""\nimport hotgraph_server.errors\n')
    (server / "errors.py").write_text('"""Errors."""\n')
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "architecture.md").write_text(f"{BEGIN}\n{END}\n")
    return tmp_path


def run(root: Path, *argv: str) -> int:
    return main(argv, root, FLOORS, base=1)


def test_check_says_what_is_stale_and_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--check") == 1
    assert "docs/architecture.svg is not what the code gives" in capsys.readouterr().err
    assert not (root / "docs" / "architecture.svg").exists()


def test_what_has_been_drawn_passes_the_check_until_a_room_says_something_else(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root) == 0
    assert "errors.py" in capsys.readouterr().out
    assert run(root, "--check") == 0
    (root / "server" / "hotgraph_server" / "graph" / "__init__.py").write_text('"""Something else."""\n')
    assert run(root, "--check") == 1
    error = capsys.readouterr().err
    assert "docs/architecture.svg" in error
    assert "docs/architecture.md" in error


def test_room_on_no_floor_cannot_be_drawn(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "server" / "hotgraph_server" / "attic.py").touch()
    assert run(root) == 1
    assert "attic is on no floor" in capsys.readouterr().err


def test_page_without_its_marks_is_an_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "docs" / "architecture.md").write_text("nothing")
    assert run(root) == 1
    assert "the page has no lines" in capsys.readouterr().err
