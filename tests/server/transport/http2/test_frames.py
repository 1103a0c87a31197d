"""Frames that we send, as hyperframe reads them."""

from __future__ import annotations

import hyperframe.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.frames import Code

from .peer import parse_frames

STREAMS = st.integers(1, 2**31 - 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([frames.DATA, frames.HEADERS]), STREAMS, st.binary(max_size=300))))
def test_frames_in_a_row_are_read_as_they_were_written(sent: list[tuple[int, int, bytes]]) -> None:
    wire = b"".join(frames.frame(kind, frames.END_STREAM, stream, data) for kind, stream, data in sent)
    read = [(frame.type, frame.stream_id, frame.data) for frame in parse_frames(wire)]  # type: ignore[attr-defined]
    assert read == sent


def test_length_has_24_bits() -> None:
    assert frames.frame(frames.DATA, 0, 1, bytes(2**20 + 1))[:9].hex() == "100001000000000001"


def test_settings_are_read_with_their_values_and_back() -> None:
    values = {frames.INITIAL_WINDOW_SIZE: 2**31 - 1, frames.MAX_FRAME_SIZE: 2**24 - 1, 0xFF: 0}
    (frame,) = parse_frames(frames.settings(values))
    assert isinstance(frame, hyperframe.frame.SettingsFrame)
    assert dict(frame.settings) == values
    assert dict(frames.read_settings(frame.serialize_body())) == values


def test_settings_keep_the_order_that_they_came_in() -> None:
    assert frames.read_settings(b"\0\4\0\0\0\1\0\5\0\0\0\2\0\4\0\0\0\3") == [(4, 1), (5, 2), (4, 3)]


@settings(deadline=None)
@given(STREAMS, st.integers(1, 2**31 - 1))
def test_window_update_says_where_and_how_much(stream: int, increment: int) -> None:
    (frame,) = parse_frames(frames.window_update(stream, increment))
    assert isinstance(frame, hyperframe.frame.WindowUpdateFrame)
    assert (frame.stream_id, frame.window_increment) == (stream, increment)
    assert int.from_bytes(frame.serialize_body(), "big") == increment


@pytest.mark.parametrize("code", Code)
def test_errors_say_their_code(code: Code) -> None:
    reset, away = parse_frames(frames.rst_stream(7, code) + frames.go_away(5, code, "why"))
    assert isinstance(reset, hyperframe.frame.RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (7, code)
    assert isinstance(away, hyperframe.frame.GoAwayFrame)
    assert (away.last_stream_id, away.error_code, away.additional_data) == (5, code, b"why")
