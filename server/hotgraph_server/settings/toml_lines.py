"""On which line of a TOML file a key stands, which its parser does not tell. Pure.

For texts that the parser has taken. A line is found by its look: a header ``[a.b]`` or ``KEY =``, outside of
texts of several lines. A key that is not found so (inside braces that go over lines) has no line, and one in
braces that of their table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_QUOTES = ('"""', "'''")
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*\[[ \t]*({_DOTTED})[ \t]*\]")
_PAIR = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_NAME = re.compile(_PART)


def line_of(text: str, path: Sequence[str]) -> int | None:
    """The number of the line, from 1, that sets this key or what it lies in; None: it is not found.

    Args:
        path: the keys that lead to it, as ("models", "flowers", "max_batch_rows").
    """
    lines = dict(_keys(text))
    for end in range(len(path), 0, -1):
        if (found := lines.get(tuple(path[:end]))) is not None:
            return found
    return None


def _keys(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    table: tuple[str, ...] = ()
    inside = ""
    for number, line in enumerate(text.split("\n"), 1):
        if not inside:
            if header := _HEADER.match(line):
                table = _parts(header[1])
                yield table, number
            elif pair := _PAIR.match(line):
                yield (*table, *_parts(pair[1])), number
        inside = _after(line, inside)


def _after(line: str, inside: str) -> str:
    """The quotes of the text of several lines that goes on after this one; empty: none does."""
    rest = line
    while True:
        if inside:
            _, closed, rest = rest.partition(inside)
            if not closed:
                return inside
            inside = ""
        opened = [(rest.find(quotes), quotes) for quotes in _QUOTES if quotes in rest]
        if not opened or 0 <= rest.find("#") < min(opened)[0]:
            return ""
        at, inside = min(opened)
        rest = rest[at + len(inside) :]


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(
        part[1:-1] if part[0] in "\"'" else part for part in (one[0] for one in _NAME.finditer(dotted))
    )
