"""Heads of answers, read by a reader that is another's."""

from __future__ import annotations

import io
from email.message import Message
from http.client import parse_headers
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.http1 import heads


def read(data: bytes) -> tuple[bytes, Message]:
    """The first line and the fields; nothing may be behind them."""
    stream = io.BytesIO(data)
    line = stream.readline()
    fields = parse_headers(stream)
    assert not stream.read()
    return line, fields


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"HTTP/1.1 200 OK\r\n"),
        (404, b"HTTP/1.1 404 Not Found\r\n"),
        (431, b"HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (499, b"HTTP/1.1 499 Client Closed Request\r\n"),
        (599, b"HTTP/1.1 599 Unknown\r\n"),
    ],
)
def test_first_line_says_the_status_and_its_phrase(status: int, line: bytes) -> None:
    assert read(heads.head(status, "text/plain", 0))[0] == line


def test_fields_are_the_length_the_kind_and_what_is_given() -> None:
    _, fields = read(heads.head(200, "application/json", 12, [("x-a", "b"), ("x-a", "c")], closes=True))
    assert fields.items() == [
        ("content-type", "application/json"),
        ("content-length", "12"),
        ("x-a", "b"),
        ("x-a", "c"),
        ("connection", "close"),
    ]


def test_answer_without_a_kind_says_nothing_of_it() -> None:
    assert read(heads.head(204, "", 0))[1].items() == [("content-length", "0")]


@given(st.lists(st.tuples(st.sampled_from(["x-a", "retry-after"]), st.text()), max_size=3), st.booleans())
def test_no_value_can_begin_another_field_or_end_the_head(headers: Any, closes: bool) -> None:
    data = heads.head(200, "text/plain", 5, headers, closes=closes)
    assert data.endswith(b"\r\n\r\n")
    lines = data[:-4].split(b"\r\n")
    assert len(lines) == 3 + len(headers) + closes
    assert not any(byte in line for line in lines for byte in (b"\r", b"\n", b"\0"))


def test_lists_of_fields_that_are_alike_are_not_taken_for_others() -> None:
    first = heads.head(200, "text/plain", 1, [("a", "b")])
    assert heads.head(200, "text/plain", 1, [("a", "b"), ("c", "d")]) != first
    assert heads.head(201, "text/plain", 1, [("a", "b")]) != first
    assert heads.head(200, "text/plain", 1, [("a", "b")]) == first
