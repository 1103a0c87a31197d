"""What a template remembers of a message, and which other messages it takes for the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.protocols import template
from hotgraph_server.protocols.template import Template, learn
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import Message, Span

from .fakes import strings

KINDS: list[Callable[[bytes], Message]] = [
    bytes,
    bytearray,
    memoryview,
    lambda message: memoryview(bytearray(message)),
]
FIXED = [np.float32, np.float64, np.int8, np.int64, np.uint16, np.complex64, np.float16, ml_dtypes.bfloat16]


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def learned(message: Message, arrays: list[Array], spans: list[Span | None], **more: Any) -> Template[str]:
    found = learn(message, "meaning", arrays, spans, **more)
    assert found is not None
    return found


ONE = b"head" + floats(1, 2).tobytes() + b"tail"
OTHER = b"head" + floats(3, 4).tobytes() + b"tail"


def one() -> Template[str]:
    return learned(ONE, [floats(1, 2)], [Span(4, 8)])


@pytest.mark.parametrize("kind", KINDS)
def test_message_with_other_tensor_bytes_fits_and_its_arrays_are_views_of_it(
    kind: Callable[[bytes], Message],
) -> None:
    message = kind(OTHER)
    assert one().fits(message)
    (array,) = one().inputs(message)
    assert array.tolist() == [3, 4]
    assert np.shares_memory(array, np.frombuffer(message, np.uint8))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 3, 12, 15])
def test_message_with_another_literal_byte_does_not_fit(at: int, kind: Callable[[bytes], Message]) -> None:
    changed = bytearray(ONE)
    changed[at] ^= 1
    assert not one().fits(kind(bytes(changed)))


@pytest.mark.parametrize("dtype", FIXED)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (4, 1, 2)])
def test_arrays_of_every_fixed_dtype_and_shape_come_back(dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    message = b"x" + array.tobytes()
    (again,) = learned(message, [array], [Span(1, array.nbytes)]).inputs(message)
    assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("shape", [(), (3,), (3, 1)])
def test_bytes_of_booleans_are_made_0_or_1(shape: tuple[int, ...]) -> None:
    array = np.ones(shape, np.bool_)
    message = b"x" + bytes([7] * array.size)
    known = learned(message, [array], [Span(1, array.size)])
    (again,) = known.inputs(b"x" + bytes([2] * array.size))
    assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, shape, array.tobytes())


def test_tensor_that_lies_nowhere_in_one_piece_is_the_same_for_all_and_nobody_can_change_it() -> None:
    flag, words = np.array(True), strings(b"a", b"bc")
    known = learned(ONE, [flag, floats(1, 2), words], [None, Span(4, 8), None])
    flag_again, array, words_again = known.inputs(OTHER)
    assert flag_again.tolist() is True
    assert array.tolist() == [3, 4]
    assert words_again.tolist() == [b"a", b"bc"]
    with pytest.raises(ValueError, match="read-only"):
        words_again[0] = b""
    words[0] = b"the call that taught it may"


def test_small_tensor_in_a_large_message_does_not_keep_the_message() -> None:
    message = bytearray(ONE)
    nothing = np.frombuffer(message, np.float32, 0, 4)
    _, again = learned(message, [floats(1, 2), nothing], [Span(4, 8), Span(4, 0)]).inputs(OTHER)
    assert again.shape == (0,)
    del nothing
    # Nobody has a view of it.
    message.clear()


def test_strings_are_structure_and_never_a_gap() -> None:
    words = strings(b"abcdefgh")
    assert words.nbytes == 8
    assert learn(ONE, "", [words], [Span(4, 8)]) is None


@pytest.mark.parametrize(
    "span", [Span(4, 4), Span(4, 12), Span(0, 8), Span(4, 0)], ids=["short", "long", "elsewhere", "empty"]
)
def test_gap_that_does_not_hold_the_tensor_is_none(span: Span) -> None:
    assert learn(ONE, "", [floats(1, 2)], [span]) is None


def test_text_differs_from_message_to_message_and_has_to_be_utf8() -> None:
    message = b"id=" + "é1".encode() + b";" + floats(1, 2).tobytes()
    known = learned(message, [floats(1, 2)], [Span(7, 8)], text=Span(3, 3))
    assert known.text(message) == "é1"
    for kind in KINDS:
        other = kind(message.replace("é1".encode(), b"abc"))
        assert known.fits(other)
        assert known.text(other) == "abc"
        wrong = kind(message.replace("é1".encode(), b"a\xc3b"))
        assert known.fits(wrong)
        assert known.text(wrong) is None


def test_form_without_text_has_an_empty_one() -> None:
    assert one().text(ONE) == ""


def test_message_without_tensor_bytes_is_not_worth_a_template() -> None:
    assert learn(b"abc", "", [floats(1)], [None]) is None
    assert learn(b"abc", "", [floats(1)], [None], Span(0, 1)) is None


def test_message_with_more_literals_than_worth_comparing_is_not_learned() -> None:
    array = floats(1, 2)
    for length, worth in ((template.MAX_LITERAL_BYTES, True), (template.MAX_LITERAL_BYTES + 1, False)):
        message = array.tobytes() + bytes(length)
        assert (learn(message, "", [array], [Span(0, 8)]) is not None) == worth


def test_large_tensor_from_few_literals_is_not_kept_unless_it_lives_anyway() -> None:
    large = np.zeros(10_000, np.float32)
    assert learn(ONE, "", [floats(1, 2), large], [Span(4, 8), None]) is None
    _, again = learned(ONE, [floats(1, 2), large], [Span(4, 8), None], given=[large]).inputs(ONE)
    assert np.shares_memory(again, large)


@given(st.data())
def test_exactly_the_messages_with_the_same_literals_fit(data: st.DataObject) -> None:
    """However spans and literals lie."""
    parts = data.draw(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=5)), max_size=8))
    message, spans = b"", []
    for is_gap, content in parts:
        if is_gap:
            spans.append(Span(len(message), len(content)))
        message += content
    arrays = [np.frombuffer(message, np.uint8, span.length, span.at) for span in spans]
    known = learn(message, "", arrays, list(spans))
    if not spans:
        assert known is None
        return
    assert known is not None
    other = bytearray(message)
    for at in data.draw(st.sets(st.integers(0, len(message) - 1), max_size=3)):
        other[at] ^= 0xFF
    differs = {at for at in range(len(message)) if other[at] != message[at]}
    in_gaps = {at for span in spans for at in range(span.at, span.end)}
    for kind in KINDS:
        assert known.fits(kind(bytes(other))) == (differs <= in_gaps)
    if differs <= in_gaps:
        assert [array.tobytes() for array in known.inputs(bytes(other))] == [
            bytes(other[span.at : span.end]) for span in spans
        ]
