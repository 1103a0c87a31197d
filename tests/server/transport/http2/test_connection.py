"""One connection without its socket, with h2 for a caller."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import hpack
import hyperframe.frame
import pytest
from h2.events import PingAckReceived
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.connection import Connection
from hotgraph_server.transport.http2.flow_control import ConnectionFlow, StreamFlow
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.header_blocks import MAX_HEADER_LIST_BYTES
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.http2.send_side import LAST_CALL

from .peer import (
    REQUEST,
    Feeder,
    Kept,
    Pair,
    every,
    greeting,
    parse_frames,
    pieces,
    prefixed,
    request_block,
    taken_out,
)

ALL_HEADERS = frames.END_HEADERS | frames.END_STREAM


def headers(number: int = 1, flags: int = frames.END_HEADERS, block: bytes | None = None) -> bytes:
    return frames.frame(frames.HEADERS, flags, number, request_block() if block is None else block)


def data(number: int, payload: bytes, flags: int = 0) -> bytes:
    return frames.frame(frames.DATA, flags, number, payload)


def heard(ping: hyperframe.frame.Frame) -> bytes:
    """The answer to it."""
    assert isinstance(ping, hyperframe.frame.PingFrame)
    return frames.frame(frames.PING, frames.ACK, 0, ping.opaque_data)


class Bare:
    """A connection whose caller sends what the test writes.

    Attributes:
        streams: all that were opened, by number.
    """

    def __init__(self, max_streams: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self.streams: dict[int, Kept] = {}
        self.connection = Connection(self._open, max_streams, lambda: None, clock)
        self._feeder = Feeder(self.connection)

    def _open(self, connection: Connection, number: int, head: Any) -> Kept:
        self.streams[number] = Kept(connection, number, head)
        return self.streams[number]

    def feed(self, *parts: bytes) -> list[hyperframe.frame.Frame]:
        """What comes back."""
        self._feeder.feed(*parts)
        return parse_frames(taken_out(self.connection))


def greeted(**options: Any) -> Bare:
    bare = Bare(**options)
    bare.feed(greeting())
    return bare


class TestGreeting:
    def test_server_says_what_it_takes_and_that_it_has_heard(self) -> None:
        settings, window, heard = Bare().feed(greeting())
        assert isinstance(settings, hyperframe.frame.SettingsFrame)
        assert settings.settings == {
            frames.MAX_CONCURRENT_STREAMS: 100,
            frames.INITIAL_WINDOW_SIZE: 4 * 2**20,
            frames.MAX_FRAME_SIZE: 2**20,
            frames.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
        }
        assert isinstance(window, hyperframe.frame.WindowUpdateFrame)
        assert (window.stream_id, window.window_increment) == (0, 16 * 2**20 - 65_535)
        assert isinstance(heard, hyperframe.frame.SettingsFrame)
        assert "ACK" in heard.flags

    @pytest.mark.parametrize("size", [1, 2, 23, 24, 25])
    def test_greeting_may_come_in_pieces(self, size: int) -> None:
        assert len(Bare().feed(*every(size, greeting()))) == 3

    def test_nothing_is_said_before_the_caller_speaks(self) -> None:
        bare = Bare()
        assert bare.feed(frames.PREFACE[:-1]) == []
        assert not bare.connection.greeted
        bare.connection.go_away()
        bare.connection.say_goodbye()
        assert bare.connection.out == []

    @pytest.mark.parametrize(
        "words",
        [
            b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
            b"P",
            b"PRI * HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"\0",
        ],
    )
    def test_other_protocols_are_told_at_their_first_byte_that_differs(self, words: bytes) -> None:
        bare = Bare()
        if frames.PREFACE.startswith(words):
            assert bare.feed(words) == []
            return
        with pytest.raises(ConnectionBroken, match="speaks gRPC") as raised:
            bare.feed(words)
        assert raised.value.code is Code.PROTOCOL_ERROR


class TestRequests:
    @pytest.mark.parametrize("size", [0, 1, 9, 10, 1000])
    def test_request_is_heard_however_it_was_cut(self, size: int) -> None:
        pair = Pair(size=size)
        stream = pair.request(b"a message", ("grpc-timeout", "5S"))
        assert (stream.number, stream.head.path, stream.head.timeout_s) == (1, "/test.Toys/Echo", 5.0)
        assert bytes(stream.data) == prefixed(b"a message")
        assert stream.ends == 1
        assert stream.open

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.binary(max_size=50),
                st.one_of(st.none(), st.integers(0, 255)),
                st.lists(st.integers(1, 49), max_size=3),
                st.sampled_from(["with data", "empty data", "trailers"]),
            ),
            min_size=1,
            max_size=4,
        ),
        st.randoms(use_true_random=False),
        st.lists(st.integers(0, 2000), max_size=20),
    )
    def test_requests_side_by_side_are_each_heard_whole(
        self, requests: list[tuple[bytes, int | None, list[int], str]], order: Any, cuts: list[int]
    ) -> None:
        """Padded or not, in several frames or one, ended in every way, their frames mixed, cut anywhere."""
        pair = Pair()
        queues: list[list[Callable[[], None]]] = []
        h2 = pair.client.h2
        for number, (message, pad, cut, end) in enumerate(requests):
            stream = 2 * number + 1
            pair.client.request()
            parts = pieces(message, cut)
            send, trail = functools.partial(h2.send_data, stream), functools.partial(h2.send_headers, stream)
            steps: list[Callable[[], None]] = []
            for index, part in enumerate(parts):
                last = end == "with data" and index == len(parts) - 1
                steps.append(functools.partial(send, part, end_stream=last, pad_length=pad))
            if end == "trailers":
                steps.append(functools.partial(trail, [("x-end", "yes")], end_stream=True))
            elif end == "empty data" or not parts:
                steps.append(functools.partial(send, b"", end_stream=True, pad_length=pad))
            queues.append(steps)
        while queues:
            steps = order.choice(queues)
            steps.pop(0)()
            if not steps:
                queues.remove(steps)
        # What h2 says after its greeting, to a connection that hears it cut.
        bare = greeted()
        bare.feed(*pieces(h2.data_to_send(), cuts))
        assert [bytes(stream.data) for stream in bare.streams.values()] == [case[0] for case in requests]
        assert all(stream.ends == 1 for stream in bare.streams.values())

    @pytest.mark.parametrize("padding", [0, 1, 7, 200])
    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_padding_is_no_data(self, padding: int, size: int) -> None:
        bare = greeted()
        padded = bytes((padding,)) + b"abc" + bytes(padding)
        wire = headers() + data(1, padded, frames.PADDED) + data(1, padded, frames.PADDED | frames.END_STREAM)
        bare.feed(*every(size, wire))
        assert bytes(bare.streams[1].data) == b"abcabc"
        assert bare.streams[1].ends == 1

    @pytest.mark.parametrize("size", [1, 1000])
    def test_headers_may_come_in_many_frames_padded_and_with_a_priority(self, size: int) -> None:
        bare = greeted()
        block = request_block()
        first = b"\x04" + b"\0\0\0\0\x10" + block[:5] + bytes(4)
        wire = frames.frame(frames.HEADERS, frames.PADDED | frames.HAS_PRIORITY | frames.END_STREAM, 1, first)
        wire += frames.frame(frames.CONTINUATION, 0, 1, block[5:9])
        wire += frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[9:])
        bare.feed(*every(size, wire))
        assert bare.streams[1].head.path == "/test.Toys/Echo"
        assert bare.streams[1].ends == 1

    def test_data_in_pieces_is_passed_on_as_it_comes(self) -> None:
        """A frame of a megabyte need not be there as a whole."""
        bare = greeted()
        payload = bytes(range(256)) * 4096
        wire = headers() + data(1, payload)
        bare.feed(wire[: len(wire) // 2])
        assert len(bare.streams[1].data) > 2**18
        bare.feed(wire[len(wire) // 2 :])
        assert bytes(bare.streams[1].data) == payload

    def test_frames_of_unknown_types_and_priorities_are_passed_over(self) -> None:
        bare = greeted()
        wire = frames.frame(0x42, 0xFF, 0, b"grease") + frames.frame(frames.PRIORITY, 0, 3, bytes(5))
        assert bare.feed(wire, headers()) == []
        assert bare.streams[1].open

    def test_settings_that_are_unknown_or_do_not_concern_us_are_passed_over(self) -> None:
        (heard,) = greeted().feed(frames.settings({0x99: 5, frames.ENABLE_PUSH: 1, 0x3: 0, 0x6: 1}))
        assert "ACK" in heard.flags

    def test_ping_is_answered_with_its_words(self) -> None:
        pair = Pair()
        pair.client.h2.ping(b"abcdefgh")
        pair.exchange()
        assert [e.ping_data for e in pair.client.events if isinstance(e, PingAckReceived)] == [b"abcdefgh"]
        assert greeted().feed(frames.frame(frames.PING, frames.ACK, 0, bytes(8))) == []

    def test_streams_beyond_the_limit_are_refused_and_never_opened(self) -> None:
        bare = greeted(max_streams=2)
        (refused,) = bare.feed(headers(1), headers(3), headers(5))
        assert isinstance(refused, hyperframe.frame.RstStreamFrame)
        assert (refused.stream_id, refused.error_code) == (5, Code.REFUSED_STREAM)
        assert set(bare.streams) == {1, 3}
        # What it had sent before it knew is not held against it.
        assert bare.feed(data(5, b"late")) == []

    def test_thousand_streams_that_are_never_finished_cost_nothing_beyond_the_limit(self) -> None:
        bare = greeted()
        back = bare.feed(*(headers(number) for number in range(1, 2_001, 2)))
        assert len(back) == 1000 - 100
        assert len(bare.streams) == len(bare.connection.streams) == 100

    def test_streams_that_are_opened_and_reset_leave_nothing_behind(self) -> None:
        bare = greeted(max_streams=2)
        for number in range(1, 1_001, 2):
            bare.feed(headers(number), frames.rst_stream(number, Code.CANCEL))
        assert not bare.connection.streams
        assert all(stream.resets == stream.sent == 1 for stream in bare.streams.values())
        assert len(bare.streams) == 500


class TestTurns:
    """`receive` ends when its time is up, and goes on where it was."""

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.booleans())
    def test_what_is_left_is_taken_in_later_and_nothing_is_lost(self, times: list[int], calls: bool) -> None:
        bare = greeted(clock=functools.partial(next, itertools.cycle(times)))
        wire = b"".join(
            headers(number) + data(number, prefixed(b"x"), frames.END_STREAM * calls)
            for number in range(1, 61, 2)
        )
        wire += frames.frame(frames.PING, 0, 0, bytes(8)) * 40
        while wire:
            used = bare.connection.receive(memoryview(wire), ends_at=2)
            assert used, "at least a frame is taken in"
            assert bare.connection.unfinished == (used < len(wire))
            wire = wire[used:]
            if 3 not in times:
                assert not wire or 2 in times
        assert [bytes(stream.data) for stream in bare.streams.values()] == [prefixed(b"x")] * 30

    def test_call_ends_a_turn_whose_time_is_up(self) -> None:
        bare = greeted()
        wire = (headers(1) + data(1, prefixed(b""), frames.END_STREAM)) + headers(3)
        used = bare.connection.receive(memoryview(wire), ends_at=-math.inf)
        assert (list(bare.streams), bare.connection.unfinished) == ([1], True)
        assert wire[used:] == headers(3)


class TestStalling:
    """Streams on which nothing moves are given up, and no others."""

    def looked(self, bare: Bare, times: int) -> list[int]:
        for _ in range(times):
            bare.connection.give_up_stalled(looks=2)
        back = parse_frames(taken_out(bare.connection))
        return [frame.stream_id for frame in back if frame.type == frames.RST_STREAM]

    def test_answer_that_no_window_has_room_for(self) -> None:
        bare = greeted()
        bare.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 10}))
        for number in (1, 3):
            bare.feed(headers(number), data(number, b"", frames.END_STREAM))
            bare.connection.answer(bare.streams[number], bytes(100))
        assert self.looked(bare, 2) == []
        bare.feed(frames.window_update(3, 10))
        assert self.looked(bare, 2) == [1]
        assert self.looked(bare, 1) == [3]

    def test_message_that_does_not_go_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bare = greeted()
        monkeypatch.setattr(Kept, "in_a_message", property(lambda self: bool(self.data) and not self.ends))
        bare.feed(headers(1), data(1, b"half"), headers(3), data(3, b"half"), headers(5))
        assert self.looked(bare, 2) == []
        bare.feed(data(3, b"more"))
        assert self.looked(bare, 1) == [1]
        bare.feed(data(3, b"", frames.END_STREAM))
        assert self.looked(bare, 9) == []


class TestLeaving:
    def test_caller_that_resets_its_stream_is_told_to_it_once(self) -> None:
        pair = Pair()
        stream, other = pair.request(b""), pair.request(b"")
        pair.client.h2.reset_stream(stream.number, Code.CANCEL)
        pair.exchange()
        assert (stream.open, stream.resets, stream.sent) == (False, 1, 1)
        assert (other.open, other.resets, other.sent) == (True, 0, 0)

    def test_second_reset_and_one_of_a_stream_that_is_over_are_passed_over(self) -> None:
        bare = greeted()
        bare.feed(headers(flags=ALL_HEADERS))
        bare.connection.answer(bare.streams[1], b"")
        taken_out(bare.connection)
        assert bare.feed(frames.rst_stream(1, Code.CANCEL) * 2, frames.window_update(1, 5)) == []

    def test_lost_connection_is_told_to_every_stream(self) -> None:
        pair = Pair()
        streams = [pair.request(b""), pair.request()]
        pair.connection.lose()
        assert [(stream.open, stream.resets, stream.sent) for stream in streams] == [(False, 1, 1)] * 2
        assert not pair.connection.streams

    def test_stream_that_is_given_up_is_reset(self) -> None:
        pair = Pair()
        stream = pair.request(b"")
        pair.connection.reset(stream, Code.CANCEL)
        assert pair.answer(stream).reset == Code.CANCEL
        assert (stream.open, stream.resets, stream.sent) == (False, 1, 1)

    @pytest.mark.parametrize("at", range(5))
    def test_reset_in_the_middle_of_a_blocked_answer_drops_the_rest(self, at: int) -> None:
        pair = Pair(settings={frames.INITIAL_WINDOW_SIZE: 10})
        stream = pair.request(b"")
        pair.connection.answer(stream, bytes(100))
        for _ in range(at):
            pair.client.h2.increment_flow_control_window(10, stream.number)
            pair.exchange()
        assert len(pair.answer(stream).data) == 10 * (at + 1)
        pair.client.h2.reset_stream(stream.number)
        pair.exchange()
        assert not pair.connection.blocked
        assert (stream.resets, stream.sent, stream.unsent) == (1, 1, 0)

    def test_go_away_of_the_caller_lets_open_streams_go_on(self) -> None:
        bare = greeted()
        assert bare.feed(headers(flags=ALL_HEADERS), frames.go_away(0, Code.NO_ERROR, "bye")) == []
        assert bare.streams[1].open

    def test_go_away_of_ours_is_said_once_and_streams_on_their_way_are_taken(self) -> None:
        bare = greeted()
        bare.connection.go_away()
        bare.connection.go_away()
        away, ping = bare.feed(headers(flags=ALL_HEADERS))
        assert isinstance(away, hyperframe.frame.GoAwayFrame)
        assert (away.last_stream_id, away.error_code) == (2**31 - 1, Code.NO_ERROR)
        assert isinstance(ping, hyperframe.frame.PingFrame)
        assert bare.streams[1].open
        bare.connection.say_goodbye()
        (bye,) = bare.feed()
        assert isinstance(bye, hyperframe.frame.GoAwayFrame)
        assert (bye.last_stream_id, bye.error_code) == (1, Code.NO_ERROR)

    def test_peer_that_has_heard_that_it_is_to_go_is_told_which_call_is_the_last(self) -> None:
        bare = greeted()
        bare.connection.go_away()
        _, ping = bare.feed(headers(flags=ALL_HEADERS))
        (last,) = bare.feed(heard(ping), heard(ping))
        assert isinstance(last, hyperframe.frame.GoAwayFrame)
        assert (last.last_stream_id, last.error_code) == (1, Code.NO_ERROR)
        assert not bare.connection.ended
        (refused,) = bare.feed(headers(3, flags=ALL_HEADERS))
        assert isinstance(refused, hyperframe.frame.RstStreamFrame)
        assert (refused.stream_id, refused.error_code) == (3, Code.REFUSED_STREAM)
        bare.connection.answer(bare.streams[1], b"")
        assert bare.connection.ended

    def test_peer_that_has_heard_it_and_has_no_call_open_is_done_with(self) -> None:
        bare = greeted()
        assert bare.connection.quiet
        bare.connection.go_away()
        _, ping = bare.feed()
        assert not bare.connection.ended
        bare.feed(heard(ping))
        assert bare.connection.ended

    def test_answer_to_a_ping_that_nobody_sent_ends_nothing(self) -> None:
        bare = greeted()
        assert bare.feed(frames.frame(frames.PING, frames.ACK, 0, LAST_CALL)) == []
        bare.connection.go_away()
        bare.feed(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
        assert not bare.connection.ended

    def test_call_that_its_caller_gives_up_is_the_last_one_too(self) -> None:
        bare = greeted()
        bare.feed(headers(flags=ALL_HEADERS))
        assert (bare.connection.calls, bare.connection.quiet) == (1, False)
        bare.connection.go_away()
        _, ping = bare.feed()
        bare.feed(heard(ping))
        bare.feed(frames.rst_stream(1, Code.CANCEL))
        assert bare.connection.ended


class TestAnswers:
    def test_answer_is_headers_message_and_status(self) -> None:
        pair = Pair()
        stream = pair.request(b"")
        pair.connection.answer(stream, b"an answer")
        answer = pair.answer(stream)
        assert answer.headers["content-type"] == "application/grpc"
        assert answer.messages == [b"an answer"]
        assert answer.trailers == {"grpc-status": "0"}
        assert answer.reset is None
        assert (stream.open, stream.resets, stream.sent) == (False, 0, 1)

    def test_answers_after_the_first_are_shorter(self) -> None:
        pair = Pair()
        sizes = []
        for _ in range(3):
            pair.connection.answer(pair.request(b""), b"")
            sizes.append(pair.connection.out_bytes)
            pair.exchange()
        assert sizes[0] > sizes[1] == sizes[2]

    def test_error_is_one_block(self) -> None:
        pair = Pair()
        stream = pair.request(b"")
        pair.connection.fail(stream, pair.connection.headers.error(5, "not hére", (("x-more", "1"),)))
        answer = pair.answer(stream)
        assert answer.trailers_only
        assert answer.status == 5
        assert answer.headers["grpc-message"] == "not h%C3%A9re"
        assert answer.headers["x-more"] == "1"

    def test_caller_that_is_answered_before_it_has_ended_is_told_to_stop(self) -> None:
        pair = Pair()
        stream = pair.request()
        pair.connection.fail(stream, pair.connection.headers.error(8, "full"))
        answer = pair.answer(stream)
        assert (answer.status, answer.reset) == (8, Code.NO_ERROR)

    def test_messages_of_a_stream_keep_their_order(self) -> None:
        pair = Pair()
        stream = pair.request()
        pair.connection.begin(stream)
        for message in (b"one", b"", b"three"):
            pair.connection.send(stream, message)
        assert pair.answer(stream).messages == [b"one", b"", b"three"]
        assert stream.open
        pair.connection.end(stream, pair.connection.headers.trailers(9, "enough"))
        assert pair.answer(stream).trailers == {"grpc-status": "9", "grpc-message": "enough"}

    def test_setting_of_the_table_is_obeyed_by_whatever_block_comes_next(self) -> None:
        """The end of an answer that began before it, too."""
        for end in ("end", "answer", "fail", "http"):
            pair = Pair()
            first, begun, other = pair.request(b""), pair.request(b""), pair.request(b"")
            pair.connection.answer(first, b"")
            pair.connection.begin(begun)
            pair.exchange()
            pair.client.h2.update_settings({frames.HEADER_TABLE_SIZE: 0})
            pair.exchange()
            if end == "end":
                pair.connection.end(begun, pair.connection.headers.end)
                assert pair.answer(begun).status == 0
            elif end == "answer":
                pair.connection.answer(other, b"x")
                assert pair.answer(other).messages == [b"x"]
            elif end == "fail":
                pair.connection.fail(other, pair.connection.headers.error(5, "none"))
                assert pair.answer(other).status == 5
            else:
                pair.connection.fail(other, pair.connection.headers.http_error(415))
                assert pair.answer(other).headers == {":status": "415"}
            last = pair.request(b"")
            pair.connection.answer(last, b"y")
            assert pair.answer(last).messages == [b"y"]

    def test_frames_are_no_larger_than_the_caller_takes(self) -> None:
        pair = Pair(settings={frames.INITIAL_WINDOW_SIZE: 2**20})
        pair.client.h2.update_settings({frames.MAX_FRAME_SIZE: 20_000})
        pair.client.h2.increment_flow_control_window(2**20)
        stream = pair.request(b"")
        pair.connection.answer(stream, bytes(100_000))
        sizes = [frame.body_len for frame in parse_frames(b"".join(pair.connection.out))]
        assert max(sizes) == 20_000
        assert pair.answer(stream).messages == [bytes(100_000)]


class TestWindows:
    def test_answer_larger_than_the_windows_waits_for_them(self) -> None:
        pair = Pair()
        stream = pair.request(b"")
        message = bytes(range(256)) * 1000
        pair.connection.answer(stream, message)
        assert len(pair.answer(stream).data) == 65_535
        assert pair.connection.blocked
        pair.client.h2.increment_flow_control_window(2**20)
        assert len(pair.answer(stream).data) == 65_535
        pair.client.h2.increment_flow_control_window(2**20, stream.number)
        answer = pair.answer(stream)
        assert answer.messages == [message]
        assert answer.status == 0
        assert not pair.connection.blocked

    def test_smaller_initial_window_makes_room_negative_and_the_answer_wait(self) -> None:
        pair = Pair()
        stream = pair.request(b"")
        pair.client.h2.increment_flow_control_window(2**20)
        pair.connection.answer(stream, bytes(100_000))
        assert len(pair.answer(stream).data) == 65_535
        pair.client.h2.update_settings({frames.INITIAL_WINDOW_SIZE: 10})
        pair.exchange()
        pair.client.h2.increment_flow_control_window(65_525, stream.number)
        assert len(pair.answer(stream).data) == 65_535
        pair.client.h2.increment_flow_control_window(7, stream.number)
        assert len(pair.answer(stream).data) == 65_542
        pair.client.h2.update_settings({frames.INITIAL_WINDOW_SIZE: 2**20})
        assert pair.answer(stream).messages == [bytes(100_000)]

    def test_new_streams_have_the_initial_window_of_the_day(self) -> None:
        pair = Pair(settings={frames.INITIAL_WINDOW_SIZE: 0})
        stream = pair.request(b"")
        pair.connection.answer(stream, b"waits")
        answer = pair.answer(stream)
        assert answer.headers
        assert not answer.data
        pair.client.h2.increment_flow_control_window(3, stream.number)
        assert pair.answer(stream).data == prefixed(b"waits")[:3]
        pair.client.h2.increment_flow_control_window(100, stream.number)
        assert pair.answer(stream).messages == [b"waits"]

    def test_end_without_more_data_needs_no_room(self) -> None:
        pair = Pair(settings={frames.INITIAL_WINDOW_SIZE: 5})
        stream = pair.request(b"")
        pair.connection.begin(stream)
        pair.connection.send(stream, b"")
        pair.connection.end(stream, pair.connection.headers.end)
        assert pair.answer(stream).messages == [b""]
        assert pair.answer(stream).status == 0
        error = pair.request(b"")
        pair.connection.fail(error, pair.connection.headers.error(3, "wrong"))
        assert pair.answer(error).status == 3

    def test_streams_that_wait_take_turns(self) -> None:
        bare = Bare()
        bare.feed(greeting({frames.INITIAL_WINDOW_SIZE: 2**24}))
        numbers = [1, 3, 5]
        bare.feed(*(headers(number, ALL_HEADERS) for number in numbers))
        for number in numbers:
            bare.connection.answer(bare.streams[number], bytes(300_000))
        first = parse_frames(taken_out(bare.connection))
        # Nobody waited when the first came, so it took all.
        assert {frame.stream_id for frame in first if frame.type == frames.DATA} == {1}
        back = bare.feed(frames.window_update(0, 2**24))
        turns = [frame.stream_id for frame in back if frame.type == frames.DATA]
        # Each message's prefix is a frame of its own.
        assert turns[:9] == [1, 3, 5] * 3
        assert not bare.connection.blocked

    def test_stream_that_has_no_room_of_its_own_holds_up_nobody(self) -> None:
        pair = Pair(settings={frames.INITIAL_WINDOW_SIZE: 100})
        stuck, free = pair.request(b""), pair.request(b"")
        pair.client.h2.increment_flow_control_window(10_000, free.number)
        pair.exchange()
        pair.connection.answer(stuck, bytes(1000))
        pair.connection.answer(free, bytes(1000))
        assert pair.answer(free).messages == [bytes(1000)]
        assert len(pair.answer(stuck).data) == 100

    def test_room_inwards_is_given_back_as_bytes_come(self) -> None:
        """A caller may send more than any window in one stream, and more than the connection's in many."""
        bare = greeted()
        given = {0: 0, 1: 0}
        for frame in bare.feed(headers(), *(data(1, bytes(2**20)) for _ in range(40))):
            assert isinstance(frame, hyperframe.frame.WindowUpdateFrame)
            given[frame.stream_id] += frame.window_increment
        assert len(bare.streams[1].data) == 40 * 2**20
        assert 40 * 2**20 - given[0] < 8 * 2**20
        assert 40 * 2**20 - given[1] < 2 * 2**20

    def test_held_stream_is_given_no_room_until_it_may_go_on_and_others_are(self) -> None:
        bare = greeted()
        bare.feed(headers(), headers(3))
        bare.streams[1].held = True
        back = bare.feed(
            *(data(1, bytes(2**20)) for _ in range(4)), *(data(3, bytes(2**20)) for _ in range(4))
        )
        assert {frame.stream_id for frame in back} == {3}
        bare.streams[1].held = False
        bare.connection.let_in(bare.streams[1])
        assert sum(frame.window_increment for frame in bare.feed()) == 4 * 2**20  # type: ignore[attr-defined]

    def test_data_for_streams_that_are_over_counts_for_the_connection(self) -> None:
        """Otherwise its window would close for good after some resets."""
        bare = greeted()
        numbers = range(1, 21, 2)
        for number in numbers:
            bare.feed(headers(number))
            bare.connection.fail(bare.streams[number], bare.connection.headers.error(8, "full"))
        taken_out(bare.connection)
        back = bare.feed(*(data(number, bytes(2**20)) for number in numbers for _ in range(4)))
        assert all(frame.stream_id == 0 for frame in back)
        assert 40 * 2**20 - sum(frame.window_increment for frame in back) < 8 * 2**20  # type: ignore[attr-defined]

    def test_padding_counts_as_the_data_that_it_is_not(self) -> None:
        pair = Pair()
        number = pair.client.request()
        for _ in range(20_000):
            pair.client.h2.send_data(number, b"x", pad_length=255)
            if pair.client.h2.local_flow_control_window(number) < 1000:
                pair.exchange()
        pair.exchange()
        assert len(pair.stream(number).data) == 20_000

    @pytest.mark.parametrize("number", [0, 1], ids=["connection", "stream"])
    def test_window_updates_by_the_byte_cost_no_look_at_every_stream(
        self, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One frame of 13 bytes must not have a thousand streams looked at."""
        bare = Bare(max_streams=1000)
        bare.feed(greeting({frames.INITIAL_WINDOW_SIZE: 10 if number else 2**20}))
        bare.feed(*(headers(2 * i + 1, ALL_HEADERS) for i in range(1000)))
        for stream in bare.streams.values():
            bare.connection.answer(stream, bytes(10_000))
        taken_out(bare.connection)
        looks = 0
        room = ConnectionFlow.room

        def looked(flow: ConnectionFlow, stream: StreamFlow) -> int:
            nonlocal looks
            looks += 1
            return room(flow, stream)

        monkeypatch.setattr(ConnectionFlow, "room", looked)
        back = bare.feed(frames.window_update(number, 1) * 1000)
        assert sum(frame.body_len for frame in back) == 1000
        assert looks < 5000


class Windows(RuleBasedStateMachine):
    """Answers and windows in any order, with h2 to say whether we ever send more than there is room for."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(max_streams=1000)
        self.open: list[tuple[Kept, bytes]] = []
        self.sent: list[tuple[Kept, bytes]] = []

    @rule(size=st.integers(0, 5))
    def request(self, size: int) -> None:
        stream = self.pair.request(bytes(size))
        self.open.append((stream, bytes((stream.number % 251,))))

    @precondition(lambda self: self.open)
    @rule(size=st.one_of(st.integers(0, 20), st.integers(0, 200_000)), which=st.integers(0, 99))
    def answer(self, size: int, which: int) -> None:
        stream, fill = self.open.pop(which % len(self.open))
        self.pair.connection.answer(stream, fill * size)
        self.sent.append((stream, fill * size))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 99))
    def leave(self, which: int) -> None:
        stream, _ = self.open.pop(which % len(self.open))
        self.pair.client.h2.reset_stream(stream.number)

    @rule(increment=st.integers(1, 100_000))
    def open_connection(self, increment: int) -> None:
        self.pair.client.h2.increment_flow_control_window(increment)

    @precondition(lambda self: any(stream.open for stream, _ in self.sent))
    @rule(increment=st.integers(1, 100_000), which=st.integers(0, 99))
    def open_stream(self, increment: int, which: int) -> None:
        waiting = [stream for stream, _ in self.sent if stream.open]
        self.pair.client.h2.increment_flow_control_window(increment, waiting[which % len(waiting)].number)

    @rule(size=st.sampled_from([0, 1, 1000, 65_535, 2**20]))
    def set_initial_window(self, size: int) -> None:
        self.pair.client.h2.update_settings({frames.INITIAL_WINDOW_SIZE: size})

    @rule(size=st.sampled_from([2**14, 2**15, 2**20]))
    def set_frame_size(self, size: int) -> None:
        self.pair.client.h2.update_settings({frames.MAX_FRAME_SIZE: size})

    @rule(size=st.sampled_from([0, 100, 4096]))
    def set_table(self, size: int) -> None:
        self.pair.client.h2.update_settings({frames.HEADER_TABLE_SIZE: size})

    @invariant()
    def exchange(self) -> None:
        self.pair.exchange()

    def teardown(self) -> None:
        """In the end, with room for all, every answer has come whole."""
        h2 = self.pair.client.h2
        h2.update_settings({frames.INITIAL_WINDOW_SIZE: 2**24})
        h2.increment_flow_control_window(2**28)
        self.pair.exchange()
        for stream, message in self.sent:
            answer = self.pair.answer(stream)
            assert answer.messages == [message]
            assert answer.status == 0
            assert (stream.open, stream.resets, stream.sent) == (False, 0, 1)
        assert not self.pair.connection.blocked
        assert len(self.pair.connection.streams) == len(self.open)


TestWindowsInAnyOrder = Windows.TestCase
TestWindowsInAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def mistakes() -> list[Any]:
    """What a caller must not do: the bytes, the code and the text of what it is told."""
    frame, protocol, size = frames.frame, Code.PROTOCOL_ERROR, Code.FRAME_SIZE_ERROR
    table: dict[str, tuple[bytes, Code, str]] = {
        "DATA on stream 0": (data(0, b"x"), protocol, "DATA on stream 0"),
        "DATA on a stream never opened": (
            data(3, b"x"),
            protocol,
            "DATA on stream 3, which was never opened",
        ),
        "DATA on a stream of ours": (data(2, b"x"), protocol, "DATA on stream 2"),
        "DATA longer than allowed": (frame(0, 0, 1, bytes(2**20 + 1)), size, "a frame has 1048577 bytes"),
        "DATA padded without a length": (data(1, b"", frames.PADDED), size, "no padding"),
        "DATA with padding longer than it": (data(1, b"\x02x", frames.PADDED), protocol, "padding is longer"),
        "HEADERS on stream 0": (headers(0), protocol, "cannot open stream 0"),
        "HEADERS on a stream of ours": (headers(2), protocol, "a caller cannot open stream 2"),
        "HEADERS with padding longer than them": (
            headers(3, frames.END_HEADERS | frames.PADDED, b"\x05abc"),
            protocol,
            "padding is longer",
        ),
        "HEADERS padded and empty": (
            headers(3, frames.END_HEADERS | frames.PADDED, b""),
            protocol,
            "padding",
        ),
        "HEADERS with half a priority": (
            headers(3, frames.END_HEADERS | frames.HAS_PRIORITY, b"abcd"),
            size,
            "a priority is cut off",
        ),
        "HEADERS that are none": (headers(3, block=b"\xff\xff"), Code.COMPRESSION_ERROR, "cannot be decoded"),
        "HEADERS that are too long": (
            headers(3, block=hpack.Encoder().encode([*REQUEST, ("x", "é" * 33_000)], huffman=False)),
            Code.ENHANCE_YOUR_CALM,
            "bytes of headers",
        ),
        "HEADERS interrupted by DATA": (headers(3, 0, b"") + data(1, b"x"), protocol, "interrupted"),
        "HEADERS interrupted by the unknown": (
            headers(3, 0, b"") + frame(0x42, 0, 0),
            protocol,
            "interrupted",
        ),
        "HEADERS continued elsewhere": (
            headers(3, 0, b"") + frame(frames.CONTINUATION, 0, 5, b"x"),
            protocol,
            "continues nothing",
        ),
        "CONTINUATION of nothing": (frame(frames.CONTINUATION, 4, 1, b""), protocol, "continues nothing"),
        "CONTINUATION without end": (
            headers(3, 0, b"") + frame(frames.CONTINUATION, 0, 3, bytes(16_000)) * 5,
            Code.ENHANCE_YOUR_CALM,
            "does not end",
        ),
        "CONTINUATION of nothing, again and again": (
            headers(3, 0, b"") + frame(frames.CONTINUATION, 0, 3),
            Code.ENHANCE_YOUR_CALM,
            "does not end",
        ),
        "PRIORITY on no stream": (frame(frames.PRIORITY, 0, 0, bytes(5)), protocol, "PRIORITY on no stream"),
        "RST_STREAM of five bytes": (frame(frames.RST_STREAM, 0, 1, bytes(5)), size, "RST_STREAM"),
        "RST_STREAM on stream 0": (frames.rst_stream(0, Code.CANCEL), protocol, "RST_STREAM on stream 0"),
        "RST_STREAM on an idle stream": (frames.rst_stream(99, Code.CANCEL), protocol, "not open"),
        "SETTINGS on a stream": (frame(frames.SETTINGS, 0, 1), protocol, "SETTINGS on a stream"),
        "SETTINGS of five bytes": (frame(frames.SETTINGS, 0, 0, bytes(5)), size, "SETTINGS of 5 bytes"),
        "SETTINGS heard, with settings": (frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), size, "SETTINGS"),
        "SETTINGS of too large a window": (
            frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}),
            Code.FLOW_CONTROL_ERROR,
            "INITIAL_WINDOW_SIZE of 2147483648",
        ),
        "SETTINGS of too small a frame": (
            frames.settings({frames.MAX_FRAME_SIZE: 2**14 - 1}),
            protocol,
            "16383",
        ),
        "SETTINGS of too large a frame": (
            frames.settings({frames.MAX_FRAME_SIZE: 2**24}),
            protocol,
            "16777216",
        ),
        "SETTINGS of an odd push": (frames.settings({frames.ENABLE_PUSH: 2}), protocol, "ENABLE_PUSH of 2"),
        "PUSH_PROMISE": (frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), protocol, "a caller cannot push"),
        "PING on a stream": (frame(frames.PING, 0, 1, bytes(8)), protocol, "PING on a stream"),
        "PING of seven bytes": (frame(frames.PING, 0, 0, bytes(7)), size, "a PING is not eight bytes"),
        "GOAWAY on a stream": (frame(frames.GOAWAY, 0, 1, bytes(8)), protocol, "GOAWAY on a stream"),
        "GOAWAY of seven bytes": (frame(frames.GOAWAY, 0, 0, bytes(7)), size, "a GOAWAY is cut off"),
        "WINDOW_UPDATE of five bytes": (frame(frames.WINDOW_UPDATE, 0, 0, bytes(5)), size, "WINDOW_UPDATE"),
        "WINDOW_UPDATE of nothing": (frames.window_update(0, 0), protocol, "a WINDOW_UPDATE of nothing"),
        "WINDOW_UPDATE of too much": (
            frames.window_update(0, 2**31 - 1),
            Code.FLOW_CONTROL_ERROR,
            "the connection's window grew by 2147483647",
        ),
        "WINDOW_UPDATE on an idle stream": (frames.window_update(99, 1), protocol, "never opened"),
        "any frame above what we take": (
            frame(0x42, 0, 0, bytes(2**20 + 1)),
            size,
            "a frame has 1048577 bytes",
        ),
    }
    return [pytest.param(*case, id=name) for name, case in table.items()]


@pytest.mark.parametrize(("wire", "code", "says"), mistakes())
@pytest.mark.parametrize("size", [1, 2**30], ids=["by the byte", "whole"])
def test_mistake_costs_the_connection_and_is_told(wire: bytes, code: Code, says: str, size: int) -> None:
    bare = greeted()
    bare.feed(headers(1))
    with pytest.raises(ConnectionBroken, match=says) as raised:
        bare.feed(*every(size, wire[:90_000]))
    assert raised.value.code is code
    (away,) = parse_frames(taken_out(bare.connection))
    assert isinstance(away, hyperframe.frame.GoAwayFrame)
    assert away.error_code == code
    assert away.additional_data.decode() == str(raised.value)
    # The streams are told when the link is closed.
    bare.connection.lose()
    assert bare.streams[1].resets == 1


class TestMistakesOnAStream:
    """Cost the stream, and leave its neighbours alone."""

    @pytest.mark.parametrize(
        ("begin", "wire", "code"),
        [
            pytest.param(headers(3, ALL_HEADERS), data(3, b"x"), Code.STREAM_CLOSED, id="DATA after the end"),
            pytest.param(headers(3, ALL_HEADERS), data(3, b""), Code.STREAM_CLOSED, id="empty DATA after it"),
            pytest.param(
                headers(3, ALL_HEADERS), headers(3, ALL_HEADERS), Code.STREAM_CLOSED, id="trailers after it"
            ),
            pytest.param(headers(3), headers(3), Code.PROTOCOL_ERROR, id="trailers that do not end it"),
            pytest.param(headers(3), frames.window_update(3, 0), Code.PROTOCOL_ERROR, id="empty update"),
            pytest.param(
                headers(3), frames.window_update(3, 2**31 - 1), Code.FLOW_CONTROL_ERROR, id="too much room"
            ),
        ],
    )
    def test_stream_is_reset(self, begin: bytes, wire: bytes, code: Code) -> None:
        bare = greeted()
        (reset,) = bare.feed(headers(1), begin, wire, data(1, b"well"))
        assert isinstance(reset, hyperframe.frame.RstStreamFrame)
        assert (reset.stream_id, reset.error_code) == (3, code)
        broken, well = bare.streams[3], bare.streams[1]
        assert (broken.open, broken.resets, broken.sent) == (False, 1, 1)
        assert (well.open, bytes(well.data)) == (True, b"well")


FRAMES = st.one_of(
    st.binary(max_size=30),
    st.builds(
        frames.frame,
        st.integers(0, 10),
        st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF]),
        st.integers(0, 9),
        st.one_of(st.binary(max_size=12), st.just(request_block()), st.just(b"\0\0\0\1")),
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAMES, max_size=30), st.lists(st.integers(0, 500), max_size=10), st.booleans())
def test_any_bytes_are_taken_or_break_the_connection_and_nothing_else(
    wire: list[bytes], cuts: list[int], answered: bool
) -> None:
    bare = greeted()
    with contextlib.suppress(ConnectionBroken):
        for part in pieces(headers(1) + b"".join(wire), cuts):
            bare.feed(part)
            for stream in list(bare.connection.streams.values()):
                if answered:
                    bare.connection.answer(stream, bytes(100))
    parse_frames(taken_out(bare.connection))
    bare.connection.lose()
    assert all(stream.sent == 1 and not stream.open for stream in bare.streams.values())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100))
def test_any_first_bytes_are_taken_or_break_the_connection(wire: bytes) -> None:
    bare = Bare()
    if wire and not frames.PREFACE.startswith(wire[:24]):
        with pytest.raises(ConnectionBroken):
            bare.feed(wire)
