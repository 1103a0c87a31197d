"""Which fields there can be; single cases are in test_rfc9113.py, by their sections."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.http2.field_rules import content_length, field_fault, request_fault

from .peer import REQUEST

ANY = st.text(st.characters(max_codepoint=0xFF), max_size=12)
NAMES = st.one_of(
    ANY, st.sampled_from([":path", ":method", ":x", "te", "host", "content-length", "upgrade", "x-y"])
)


@given(NAMES, ANY)
def test_field_that_is_let_through_cannot_be_read_as_another(name: str, value: str) -> None:
    """Written as HTTP/1.1 by whoever comes next, it is one line, and its name ends at the colon."""
    if field_fault(name, value):
        return
    line = f"{name}: {value}".encode("latin-1")
    assert re.fullmatch(rb":?[^\x00-\x20:\x7f-\xff]+: [^\r\n\0]*", line)
    assert name == name.lower()
    assert value == value.strip(" \t")


@given(st.lists(st.tuples(NAMES, ANY), max_size=6), st.integers(0, 6))
def test_request_has_one_path_one_method_and_says_one_length(fields: list[tuple[str, str]], at: int) -> None:
    whole = [*fields[:at], *REQUEST, *fields[at:]]
    if any(field_fault(*field) for field in whole) or request_fault(whole):
        return
    names = [name for name, _ in whole]
    assert names.count(":path") == names.count(":method") == names.count(":scheme") == 1
    assert [name[0] == ":" for name in names] == sorted([name[0] == ":" for name in names], reverse=True)
    lengths = {value for name, value in whole if name == "content-length"}
    assert len(lengths) <= 1
    assert content_length(whole) == (int(lengths.pop()) if lengths else None)
