from __future__ import annotations

import contextlib
import json
import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.json.text import NotJson, kind_of, parse, read, shown, write

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_both_readers_read_the_same(value: dict[str, Any]) -> None:
    # An infinity makes the second reader do it all; the fast one is asked about the rest.
    text = json.dumps(value, ensure_ascii=False)
    assert read(text.encode()) == value
    assert read((text[:-1] + (", " if value else "") + '"\\u0000k": Infinity}').encode()) == {
        **value,
        "\0k": math.inf,
    }


def test_numbers_that_are_not_finite_are_read_in_every_spelling() -> None:
    found = read(b'{"a": [NaN, -NaN, Infinity, -Infinity, Inf, -Inf], "NaN": "Inf, \\"NaN"}')
    assert repr(found["a"]) == "[nan, nan, inf, -inf, inf, -inf]"
    assert found["NaN"] == 'Inf, "NaN'


@pytest.mark.parametrize("and_nan", ["", ', "b": NaN'])
@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-9223372036854775809", "9" * 300, "1e300", "-1.5e-300"]
)
def test_number_beyond_64_bits_is_a_float_whoever_reads_it(number: str, and_nan: str) -> None:
    found = read(f'{{"a": {number}{and_nan}}}'.encode())["a"]
    assert isinstance(found, float)
    assert found == float(number)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": nan}',
        b'{"a": NaNs}',
        b'{"a": [NaN,]}',
        b'{"a": 1e999}',
        b'{"a": 1e999, "b": NaN}',
        b'{"a": 01}',
        b'{"a": "\xff"}',
        b'{"a": "\xff", "b": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": 1} {"b": NaN}',
        b'{"a":' + b"[" * 100_000,
        b'{"b": NaN, "a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(InvalidCall, match=r"\AJSON Parse error: .*"):
        read(body)


@pytest.mark.parametrize("body", [b"[1]", b"1", b'"a"', b"null", b"NaN"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidCall, match="Is not object"):
        read(body)


@given(st.binary(max_size=60))
def test_garbage_raises_one_type_of_error(body: bytes) -> None:
    for garbage in (body, b'{"a": NaN, ' + body, b'{"a": Inf, "b": "' + body):
        with contextlib.suppress(InvalidCall):
            assert isinstance(read(garbage), dict)


@given(st.lists(st.floats(width=32), min_size=1))
def test_floats_are_written_with_the_digits_of_their_width(values: list[float]) -> None:
    array = np.array(values, np.float32)
    written = write({"a": array}, finite=bool(np.isfinite(array).all()))
    found = json.loads(written)["a"]
    np.testing.assert_array_equal(np.array(found, np.float32), array)
    if math.isfinite(values[0]):
        # What float32 prints is enough; a double's digits would be noise.
        assert found[0] == float(str(np.float32(values[0])))


def test_nan_and_infinity_are_written_by_name_wherever_they_are() -> None:
    half = np.array([[np.nan], [0.1]], np.float16)
    value = {
        "a": half,
        "b": np.float32(-np.inf),
        "c": [np.float64(np.inf), np.int64(3), np.bool_(True)],
        "é": "é",
    }
    assert write(value, finite=False).decode() == (
        '{"a":[[NaN],[0.1]],"b":-Infinity,"c":[Infinity,3,true],"é":"é"}'
    )


# What a text could be hard to read by, and what strings could be taken apart at.
PIECES = st.sampled_from(["\\", '"', "NaN", "Inf", "Infinity", "-", "é", "a", " ", "\n", ",", "\0", "\1"])


@given(st.dictionaries(st.lists(PIECES).map("".join), st.lists(PIECES).map("".join), max_size=4))
def test_strings_keep_what_looks_like_a_number(value: dict[str, str]) -> None:
    text = json.dumps({**value, "number": 1}).replace(": 1}", ": -Inf}")
    assert read(text.encode()) == {**value, "number": -math.inf}
    raw = json.dumps({**value, "number": math.inf}, ensure_ascii=False)
    assert read(raw.encode()) == {**value, "number": math.inf}


@given(st.lists(st.sampled_from(["{", "}", "[", "]", ":", ",", "1", '"a"', '"\\', '"', "NaN", "-", "Inf"])))
def test_pieces_of_json_are_read_as_the_standard_library_does_or_refused(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        expected = json.loads(text.replace("Inf", "Infinity").replace("-NaN", "NaN"))
    except ValueError:
        expected = None
    if "Inf" in text and '"' in text:
        # Strings would have been changed as well; that nothing else than a refusal comes is still to be seen.
        with contextlib.suppress(InvalidCall):
            read(text.encode())
        return
    try:
        found = read(text.encode())
    except InvalidCall:
        assert not isinstance(expected, dict)
        return
    assert repr(found) == repr(expected)


def steps(body: bytes) -> int:
    """Functions called, of Python and of C, for reading a body."""
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        with contextlib.suppress(InvalidCall):
            read(body)
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b'{"a": "', b'\\"'),
        (b'{"a": NaN, "b": "', b'\\"'),
        (b'{"a": NaN, "b": ', b'"\\'),
        (b'{"a": [', b"NaN,"),
        (b'{"a": [', b"-Inf,1,0.5,"),
        (b'{"a": ', b"["),
        (b'{"a": NaN', b"\\"),
    ],
)
def test_twice_the_text_takes_twice_the_steps_and_no_more(start: bytes, piece: bytes) -> None:
    once, twice = steps(start + piece * 2000), steps(start + piece * 4000)
    assert twice <= 2 * once


def test_any_value_may_be_parsed_and_what_is_none_is_told_with_its_place() -> None:
    assert parse(b"[1, NaN]")[0] == 1
    assert parse(b'"a"') == "a"
    for text in (b"", b"[1,]", b"[NaN,]"):
        with pytest.raises(NotJson, match=r"at offset: \d+$") as refused:
            parse(text)
        assert refused.value.why
        assert 0 <= refused.value.at <= len(text)


def test_shown_values_are_cut() -> None:
    assert shown(1.5) == "1.5"
    assert shown(None) == "null"
    assert shown(math.nan) == "NaN"
    assert len(shown("x" * 100_000)) < 300
    assert len(shown({"a": list(range(100_000))})) < 300
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep)


def test_kinds_have_their_names() -> None:
    values: list[Any] = [None, True, False, {}, [], "", 1, 1.5]
    names = [kind_of(one) for one in values]
    assert names == ["Null", "True", "False", "Object", "Array", "String", "Number", "Number"]
