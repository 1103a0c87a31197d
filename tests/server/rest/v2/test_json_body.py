"""Small JSON bodies: what is read, and the words for what is not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.v2 import json_body


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_object_is_read_from_whatever_holds_it(kind: Callable[[bytes], Any]) -> None:
    assert json_body.read_object(kind(b'{"a": 1}')) == {"a": 1}
    assert json_body.read_object(kind(b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}
    assert json_body.read_object(kind(b"")) == {}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "The document is empty. at 0"),
        (b"\xef\xbb\xbf", "The document is empty. at 0"),
        (b"[1]", "attempt to get members for non-object: [\n    1\n]"),
        (b'"\xff"', ""),
        (b'{"a": "\\ud800"}', ""),
        (b"NaN", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_what_is_no_object_is_refused(body: bytes, text: str) -> None:
    with pytest.raises(InvalidCall) as raised:
        json_body.read_object(body, needed=True)
    assert str(raised.value).startswith(f"failed to parse the request JSON buffer: {text}")
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    ("read", "right", "wrong", "kind"),
    [
        (json_body.string, ["", "a"], [1, None, True, [], {}], "string"),
        (json_body.boolean, [True, False], [0, 1, None, "true"], "boolean"),
        (json_body.unsigned, [0, 2**64 - 1], [-1, 2**64, 1.0, True, None, "1"], "unsigned-integer"),
        (json_body.members, [{}, {"a": 1}], [[], None, "a", 1], "object"),
    ],
)
def test_value_has_its_type_or_tritons_words(
    read: Callable[[str, Any], Any], right: list[Any], wrong: list[Any], kind: str
) -> None:
    for value in right:
        assert read("f", value) is value
    for value in wrong:
        with pytest.raises(InvalidCall) as raised:
            read("f", value)
        assert str(raised.value) == f"Unable to parse 'f': attempt to access JSON non-{kind} as {kind}"


@given(st.binary())
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    with contextlib.suppress(InvalidCall):
        assert isinstance(json_body.read_object(body), dict)
