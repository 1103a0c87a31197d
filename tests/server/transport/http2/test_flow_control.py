"""The windows of streams and connections, by RFC 9113, sections 5.2 and 6.9."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.flow_control import (
    CONNECTION_WINDOW,
    STREAM_WINDOW,
    ConnectionFlow,
    StreamFlow,
)
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken


class TestSending:
    def test_frame_must_fit_into_both_windows_and_be_no_larger_than_the_peer_takes(self) -> None:
        flow, stream = ConnectionFlow(), StreamFlow()
        assert flow.room(stream) == frames.MIN_FRAME_BYTES
        flow.max_frame_bytes = frames.MAX_FRAME_BYTES
        assert flow.room(stream) == frames.DEFAULT_WINDOW
        flow.send_window = 10
        assert flow.room(stream) == 10
        stream.send_credit = 9 - frames.DEFAULT_WINDOW
        assert flow.room(stream) == 9

    def test_what_is_sent_counts_on_its_stream_and_on_the_connection(self) -> None:
        flow, one, other = ConnectionFlow(), StreamFlow(), StreamFlow()
        flow.max_frame_bytes = frames.MAX_FRAME_BYTES
        flow.sent(one, 1000)
        assert flow.room(one) == flow.room(other) == frames.DEFAULT_WINDOW - 1000
        flow.opened(5000)
        assert flow.room(one) == frames.DEFAULT_WINDOW - 1000
        assert flow.room(other) == frames.DEFAULT_WINDOW

    def test_connection_that_is_opened_too_far_is_broken(self) -> None:
        flow = ConnectionFlow()
        flow.opened(frames.MAX_WINDOW - frames.DEFAULT_WINDOW)
        assert flow.grew
        with pytest.raises(ConnectionBroken, match="window grew by 1") as raised:
            flow.opened(1)
        assert raised.value.code is Code.FLOW_CONTROL_ERROR

    def test_stream_that_is_opened_too_far_is_told_from_others(self) -> None:
        flow, stream = ConnectionFlow(), StreamFlow()
        assert flow.stream_opened(stream, frames.MAX_WINDOW - frames.DEFAULT_WINDOW)
        assert not flow.stream_opened(stream, 1)

    def test_new_initial_window_counts_for_open_streams_and_not_for_the_connection(self) -> None:
        flow, stream = ConnectionFlow(), StreamFlow()
        flow.sent(stream, 1000)
        flow.initial_set(100, [stream])
        assert not flow.grew
        assert flow.room(stream) == -900
        flow.initial_set(1500, [stream])
        assert flow.grew
        assert flow.room(stream) == 500
        assert flow.send_window == frames.DEFAULT_WINDOW - 1000

    def test_initial_window_that_opens_a_stream_too_far_breaks_the_connection(self) -> None:
        flow, stream = ConnectionFlow(), StreamFlow()
        flow.stream_opened(stream, 1)
        flow.initial_set(frames.MAX_WINDOW - 1, [stream])
        with pytest.raises(ConnectionBroken, match="too far") as raised:
            flow.initial_set(frames.MAX_WINDOW, [stream])
        assert raised.value.code is Code.FLOW_CONTROL_ERROR


class TestReceiving:
    def test_more_than_the_connections_window_breaks_it(self) -> None:
        flow = ConnectionFlow()
        flow.received(frames.DEFAULT_WINDOW)
        with pytest.raises(ConnectionBroken, match="more came") as raised:
            flow.received(1)
        assert raised.value.code is Code.FLOW_CONTROL_ERROR

    def test_connections_window_is_wide_from_its_greeting_on(self) -> None:
        flow = ConnectionFlow()
        assert flow.reopened() == CONNECTION_WINDOW - frames.DEFAULT_WINDOW
        assert flow.receive_window == CONNECTION_WINDOW

    @given(st.lists(st.integers(0, STREAM_WINDOW), max_size=30))
    def test_window_is_opened_once_less_than_half_is_left(self, sizes: list[int]) -> None:
        """What the peer was given, less what it sent, is what it may still send."""
        flow, stream = ConnectionFlow(), StreamFlow()
        given_to_stream, given_in_all = STREAM_WINDOW, frames.DEFAULT_WINDOW
        given_in_all += flow.reopened()
        came = 0
        for size in sizes:
            size = min(size, stream.receive_window)
            came += size
            flow.received(size)
            stream.receive_window -= size
            was_short = stream.receive_window < STREAM_WINDOW // 2
            increment = stream.reopened()
            assert bool(increment) == was_short
            given_to_stream += increment
            given_in_all += flow.reopened()
            assert stream.receive_window == given_to_stream - came >= STREAM_WINDOW // 2
            assert flow.receive_window == given_in_all - came >= CONNECTION_WINDOW // 2
