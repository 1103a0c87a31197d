"""Pieces of HTML: all that comes in as `str` is text, and is escaped here; `Markup` has been. Pure."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class Markup(str):
    """HTML that may stand in a page as it is."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Text in a page; what is no character of a page is replaced."""
    if isinstance(value, Markup):
        return value
    sent = str(value).encode("utf-8", "replace").decode()
    return Markup(html.escape(sent.replace("\0", "\N{REPLACEMENT CHARACTER}")))


def tag(name: str, *inside: object, **attributes: object) -> Markup:
    """An element; `class_` is its class, `data_x` its data-x, True an attribute without a value."""
    said = "".join(
        _attribute(key, value) for key, value in attributes.items() if value not in (None, False, "")
    )
    return Markup(f"<{name}{said}>{''.join(map(text, inside))}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(value)}"'


def join(parts: Iterable[object]) -> Markup:
    """One after the other."""
    return Markup("\n".join(map(text, parts)))


def json_block(value: Any) -> Markup:
    """JSON that may stand between script tags: no `<`, and ASCII alone, so no U+2028.

    Raises:
        ValueError: a number in it is none, or is infinite.
    """
    found = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        found = found.replace(character, f"\\u{ord(character):04x}")
    return Markup(found)


@dataclass(frozen=True)
class Row:
    """Of a table; the first of its cells is its head.

    Attributes:
        look: a class: `void`, `best`.
    """

    cells: Sequence[object]
    look: str = ""


def table(caption: str, columns: Sequence[str], rows: Iterable[Row], texts: Sequence[int] = ()) -> Markup:
    """A table that scrolls within itself, with figures to the right but in the columns `texts`."""
    head = tag(
        "tr", *(tag("th", one, scope="col", class_=_side(place, texts)) for place, one in enumerate(columns))
    )
    body = (tag("tr", *_cells(row.cells, texts), class_=row.look) for row in rows)
    inner = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cells(cells: Sequence[object], texts: Sequence[int]) -> Iterable[Markup]:
    for place, cell in enumerate(cells):
        yield tag("td", cell, class_=_side(place, texts)) if place else tag("th", cell, scope="row")


def _side(place: int, texts: Sequence[int]) -> str:
    return "" if place == 0 or place in texts else "figure"
