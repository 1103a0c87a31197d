"""The pages for whoever changes the server name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codemap.page import BEGIN

from .test_architecture import THREADS

ROOT = Path(__file__).parents[1]
PAGES = ("docs/architecture.md", "CONTRIBUTING.md")

# A file with its ending, or anything below scripts/ and its like; NAME stands for what the reader chooses.
_PATH = re.compile(r"(?<![\w./])(?:[\w.]+/)*[\w]+\.(?:py|md)\b|\b(?:scripts|tests|docs|protos)/[\w/.-]*\w/?")


def paths(text: str) -> set[str]:
    """What looks like a path of ours."""
    return {path for path in _PATH.findall(text) if "NAME" not in path}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    places = (ROOT, ROOT / "server" / "hotgraph_server", ROOT / "docs")
    # In the table at the end rooms speak of modules of their own.
    named = paths((ROOT / page).read_text().partition(BEGIN)[0])
    assert len(named) > 20
    assert not {path for path in named if not any((place / path).exists() for place in places)}


def test_every_module_that_starts_threads_is_on_the_page() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert not {module for module in THREADS if f"{module.replace('.', '/')}.py" not in text}


def links(page: Path) -> set[Path]:
    """The files that a page leads to."""
    found = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    return {(page.parent / link).resolve() for link in found}


WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert not {link.relative_to(ROOT).as_posix() for link in links(page) if not link.exists()}


def test_index_has_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    assert not {page.name for page in (ROOT / "docs").rglob("*.md")} - {page.name for page in links(index)}


def test_paths_are_found_in_prose_code_and_tables() -> None:
    text = "See `batching/queue.py`, [that](docs/rest.md) | errors.py | `scripts/bench/run --short`, a.b"
    assert paths(text) == {"batching/queue.py", "docs/rest.md", "errors.py", "scripts/bench/run"}
    assert paths("`tests/server/NAME/test.py`, hotgraph_server.py2") == set()
