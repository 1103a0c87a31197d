"""formats.py: one line for an entry whatever callers have put into it, as text and as JSON."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.observability.logs.context import TRACE_ID
from hotgraph_server.observability.logs.formats import FIELDS, MAX_MESSAGE, JsonFormat, TextFormat, escaped

FORGED = 'no model\n12:00:00 E forged\r\x1b[31m\u2028\u202e"'


def record(message: str, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("hotgraph_server.a", logging.INFO, "a.py", 1, "told: %s", (message,), None)
    made.__dict__.update(more)
    made.created = 0.25
    return made


@given(st.text())
def test_escaped_text_is_one_line_without_control_characters(text: str) -> None:
    found = escaped(text)
    assert len(found.splitlines()) <= 1
    assert found.encode().decode() == found
    assert not {unicodedata.category(char) for char in found} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(found) & set("\u202a\u202e\u2066\u2069\u200f")


@given(st.text(max_size=100), st.dictionaries(st.sampled_from(["model", "peer"]), st.text(max_size=50)))
def test_whatever_is_said_is_one_line_in_either_format(text: str, fields: dict[str, str]) -> None:
    for formatter in (TextFormat(), JsonFormat()):
        line = formatter.format(record(text, fields=fields))
        assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == f"told: {text}"


def test_text_is_time_level_and_message() -> None:
    line = TextFormat("[2] ", "%Y", utc=True).format(record("well"))
    assert line == "1970 I [2] told: well"


def test_fields_follow_as_pairs_and_cannot_be_mistaken_for_others() -> None:
    line = TextFormat(date="-").format(record("x", fields={"model": 'a b" status=OK', "rows": 3, "ms": 0.5}))
    assert line == '- I told: x model="a b\\" status=OK" rows=3 ms=0.5'


def test_json_has_what_there_is() -> None:
    entry = json.loads(JsonFormat({"process": 2}).format(record(FORGED, fields={"rows": 3})))
    assert entry == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "hotgraph_server.a",
        "message": f"told: {FORGED}",
        "process": 2,
        "rows": 3,
    }


@pytest.mark.parametrize("formatter", [TextFormat(), JsonFormat()])
def test_trace_of_the_thread_is_said(formatter: logging.Formatter) -> None:
    token = TRACE_ID.set("abc")
    try:
        assert "abc" in formatter.format(record("x"))
        # What has fields knows its own.
        assert "abc" not in formatter.format(record("x", **{FIELDS: {}}))
    finally:
        TRACE_ID.reset(token)
    assert "abc" not in formatter.format(record("x"))


def failing() -> Any:
    try:
        raise ValueError(FORGED)
    except ValueError:
        return sys.exc_info()


def test_no_line_of_a_traceback_looks_like_an_entry() -> None:
    _, *lines = TextFormat().format(record("x", exc_info=failing())).split("\n")
    assert len(lines) > 2
    assert all(line.startswith("    ") for line in lines)


def test_traceback_is_a_string_in_json() -> None:
    line = JsonFormat().format(record("x", exc_info=failing()))
    assert len(line.splitlines()) == 1
    assert "ValueError" in json.loads(line)["exception"]


@pytest.mark.parametrize("formatter", [TextFormat(), JsonFormat()])
def test_traceback_has_an_end_and_it_is_its_own(formatter: logging.Formatter) -> None:
    # Not where it is raised, which the traceback quotes.
    message = "x\n" * MAX_MESSAGE + "at last"
    try:
        raise ValueError(message)
    except ValueError:
        line = formatter.format(record("x", exc_info=sys.exc_info()))
    assert len(line) < 8 * MAX_MESSAGE
    assert "Traceback" in line
    assert "at last" in line


@given(st.binary(), st.floats(), st.text(st.characters(exclude_categories=()), max_size=50))
def test_any_bytes_are_valid_json_on_one_line(data: bytes, number: float, text: str) -> None:
    said = data.decode("utf-8", "surrogateescape") + data.decode("latin-1") + text
    line = JsonFormat().format(record(said, fields={"model": said, "number": number}))
    assert line.isascii()
    assert len(line.splitlines()) == 1

    def refuse(word: str) -> None:
        raise AssertionError(word)

    # Two halves that stand side by side are one character to who reads it.
    assert json.loads(line, parse_constant=refuse)["model"] == json.loads(json.dumps(said))


@pytest.mark.parametrize("formatter", [TextFormat(), JsonFormat()])
def test_message_has_an_end(formatter: logging.Formatter) -> None:
    line = formatter.format(record("x" * 2 * MAX_MESSAGE))
    assert len(line) < MAX_MESSAGE + 300
    assert "... cut" in line
