from __future__ import annotations

import json
import math
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.report.markup import Markup, Row, join, json_block, table, tag, text

from .documents import HOSTILE


class Read(HTMLParser):
    """What a page's reader makes of markup."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(st.text())
def test_text_is_text_inside_and_in_attributes(said: str) -> None:
    found = Read(tag("p", said, title=said, class_="said"))
    assert [name for name, _ in found.tags] == ["p"]
    seen = said.replace("\0", "\N{REPLACEMENT CHARACTER}")
    assert "".join(found.texts) == seen
    assert found.tags[0][1] == ({"title": seen} if said else {}) | {"class": "said"}


def test_half_a_character_can_be_written() -> None:
    assert text("a\ud800b").encode() == b"a?b"


def test_markup_is_not_escaped_twice() -> None:
    assert tag("p", tag("b", "<"), "<") == "<p><b>&lt;</b>&lt;</p>"
    assert join(["<", Markup("<br>")]) == "&lt;\n<br>"


def test_attributes_that_say_nothing_are_left_out() -> None:
    assert tag("option", "a", selected=False, value="0", data_x=None) == '<option value="0">a</option>'
    assert tag("option", "a", selected=True) == "<option selected>a</option>"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_ends_no_script_and_comes_back_as_it_was(value: object) -> None:
    block = json_block(value)
    assert not set("<>&\u2028\u2029") & set(block)
    assert block.isascii()
    assert json.loads(block) == value


def test_json_has_no_number_that_is_none() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON"):
            json_block([value])


def test_a_table_has_heads_for_its_columns_and_its_rows() -> None:
    found = Read(table("All", ["Step", "p99", "Why"], [Row([HOSTILE, "3", "so"], "void")], texts=(2,)))
    heads = [attributes.get("scope") for name, attributes in found.tags if name == "th"]
    assert heads == ["col", "col", "col", "row"]
    cells = [attributes.get("class") for name, attributes in found.tags if name == "td"]
    assert cells == ["figure", None]
    assert {name for name, _ in found.tags} == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
