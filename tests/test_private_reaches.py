"""How often the tests reach into what the packages keep to themselves, which may only become rarer.

A test that knows private names has to change with every move behind the face that it tests. What is still
there is counted; whoever mends one lowers MAX_REACHES.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGES = [TESTS.parent / side / f"hotgraph_{side}" for side in ("protos", "server", "client")]

MAX_REACHES = 19

PRIVATE_NAME = re.compile(r"\b_[A-Za-z]\w*")


def reaches_in(tree: ast.AST, private: set[str]) -> Iterator[int]:
    """The lines that read, set, import or patch one of these names, but on self, cls and super()."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super"))):
                pass
            case ast.Attribute(attr=name) if name in private:
                yield node.lineno
            case ast.ImportFrom(names=names):
                yield from (node.lineno for alias in names if alias.name in private)
            case ast.Call(func=ast.Name(id="getattr" | "setattr") | ast.Attribute(attr="setattr")):
                given = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                texts = [one for one in given if isinstance(one, str)]
                yield from (node.lineno for text in texts if text.rpartition(".")[2] in private)


@pytest.fixture(scope="module")
def private() -> set[str]:
    """Every name in the packages that starts with a single underscore."""
    texts = [path.read_text() for package in PACKAGES for path in package.rglob("*.py")]
    # What every named tuple offers is public, and one of TensorFlow's own is used on both sides.
    return {name for text in texts for name in PRIVATE_NAME.findall(text)} - {
        "_replace",
        "_asdict",
        "_fields",
        "_make_callable_from_options",
    }


def test_tests_reach_into_private_names_no_oftener_than_they_did(private: set[str]) -> None:
    found = Counter(
        str(path.relative_to(TESTS))
        for path in sorted(TESTS.rglob("*.py"))
        for _ in reaches_in(ast.parse(path.read_text()), private)
    )
    assert found.total() <= MAX_REACHES, found.most_common()


@pytest.mark.parametrize(
    "line",
    [
        *("queue._lock", "queue.lane._lock", "make()._lock", "queue._lock = 1", "del queue._lock"),
        *("from hotgraph_server.batching.queue import _lock", "import a; a._lock"),
        *("monkeypatch.setattr(queue, '_lock', 1)", "monkeypatch.setattr('a.b._lock', 1)"),
        *("getattr(queue, '_lock')", "setattr(queue, '_lock', 1)"),
    ],
)
def test_every_way_to_a_private_name_counts(line: str) -> None:
    assert list(reaches_in(ast.parse(line), {"_lock"})) == [1]


@pytest.mark.parametrize(
    "line",
    [
        *("self._lock", "cls._lock", "super()._lock", "queue.lock", "queue._own", "queue.__class__"),
        *("monkeypatch.setattr(queue, 'lock', '_lock')", "_lock = 1"),
    ],
)
def test_what_is_public_or_ones_own_does_not_count(line: str) -> None:
    assert not list(reaches_in(ast.parse(line), {"_lock"}))
