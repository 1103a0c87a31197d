from __future__ import annotations

import re
from typing import Any

import pytest

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.v2.members import brief, member, optional, read_object


def test_object_is_read_and_a_byte_order_mark_before_it_passed_over() -> None:
    assert read_object(b'{"a": 1}', "inputs") == {"a": 1}
    assert read_object(b'\xef\xbb\xbf{"a": 1}', "inputs") == {"a": 1}


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{1}", b"\xff", b'{"a": 1} 2', b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_json_is_refused_with_the_place(text: bytes) -> None:
    with pytest.raises(InvalidCall, match=r"^failed to parse the request JSON buffer: .+ at \d+, perhaps$"):
        read_object(text, "inputs", ", perhaps")


@pytest.mark.parametrize("text", [b"[]", b"1", b"null", b'"inputs"'])
def test_what_is_no_object_misses_its_first_member(text: bytes) -> None:
    wanted = "Unable to parse 'inputs': attempt to access non-existing object member 'inputs' (the body is "
    with pytest.raises(InvalidCall, match=re.escape(wanted)):
        read_object(text, "inputs")


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("string", ["", "é"], [1, None, [], {}, True]),
        ("array", [[], [1]], ["", None, {}, 1]),
        ("boolean", [True, False], [1, 0, "true", None]),
        ("unsigned-integer", [0, 2**64 - 1], [-1, 1.0, True, "1", None]),
        ("object", [{}], [[], None]),
    ],
)
def test_member_is_of_the_kind_that_it_has_to_be(kind: str, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        assert member({"a": value}, "a", kind) == value
        assert optional({"a": value}, "a", kind, "default") == value
    for value in wrong:
        text = f"Unable to parse 'a': attempt to access JSON non-{kind} as {kind} (inputs[3].a is "
        with pytest.raises(InvalidCall, match=re.escape(text)):
            member({"a": value}, "a", kind, "inputs[3]")
        with pytest.raises(InvalidCall, match=re.escape(text)):
            optional({"a": value}, "a", kind, 0, "inputs[3]")
    assert optional({}, "a", kind, "default") == "default"
    with pytest.raises(
        InvalidCall, match="Unable to parse 'a': attempt to access non-existing object member 'a'"
    ):
        member({}, "a", kind)


def test_half_a_surrogate_pair_is_no_string() -> None:
    """The slow reader of JSON lets it through."""
    with pytest.raises(InvalidCall, match="no valid Unicode"):
        member({"a": "\ud800"}, "a", "string")


def test_value_in_an_error_is_one_short_line_that_can_be_sent() -> None:
    for value in ({"a": [1, {"b": "\n"}]}, "x" * 10_000, list(range(10_000)), "\ud800"):
        shown = brief(value)
        assert len(shown) < 300
        assert "\n" not in shown
        assert shown.encode()
