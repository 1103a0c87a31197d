"""What may be asked that is no call."""

from __future__ import annotations

import contextlib

import pytest

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.connection import Connection
from hotgraph_server.transport.http2.flood_limits import MAX, PER_S, WORTH_BYTES, Allowance
from hotgraph_server.transport.http2.frames import END_HEADERS, Code, frame
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken

from .peer import Feeder, Kept, greeting, request_block, taken_out


def spent(allowance: Allowance, times: int) -> int:
    """How many of so many frames are paid for, one after the other."""
    paid = 0
    for _ in range(times):
        with contextlib.suppress(ConnectionBroken):
            allowance.spend()
            paid += 1
    return paid


def test_allowance_is_spent_and_comes_back_with_time() -> None:
    now = [100.0]
    allowance = Allowance(lambda: now[0])
    assert spent(allowance, int(MAX) + 1) == int(MAX)
    now[0] += 1.0
    assert spent(allowance, 2 * int(PER_S)) in (int(PER_S) - 1, int(PER_S))


def test_what_is_earned_is_no_more_than_there_was() -> None:
    allowance = Allowance(lambda: 100.0)
    allowance.earn(5 * MAX)
    allowance.spend(MAX)
    assert spent(allowance, 1) == 0


class Talk:
    """A connection with one open stream, at a clock that stands."""

    def __init__(self) -> None:
        self.connection = Connection(Kept, 100, lambda: None, clock=lambda: 100.0)
        self._feeder = Feeder(self.connection)
        self.feed(greeting({frames.INITIAL_WINDOW_SIZE: 0}))
        self.feed(frame(frames.HEADERS, END_HEADERS, 1, request_block()))
        self.stream = self.connection.streams[1]

    def feed(self, *parts: bytes) -> None:
        self._feeder.feed(*parts)
        taken_out(self.connection)


def test_caller_of_one_long_stream_may_open_windows_and_ping_for_each_answer() -> None:
    talk = Talk()
    answer = bytes(3 * WORTH_BYTES)
    room = frames.window_update(1, len(answer) + 5) + frames.window_update(0, len(answer) + 5)
    for _ in range(int(MAX)):
        talk.connection.send(talk.stream, answer)
        talk.feed(room + frame(frames.PING, 0, 0, bytes(8)))
    assert not talk.stream.unsent


def test_windows_that_are_opened_byte_by_byte_earn_nothing() -> None:
    talk = Talk()
    talk.connection.send(talk.stream, bytes(4 * int(MAX)))
    with pytest.raises(ConnectionBroken) as raised:
        talk.feed(*[frames.window_update(1, 1)] * (2 * int(MAX)))
    assert raised.value.code is Code.ENHANCE_YOUR_CALM


def refused_rests(size: int) -> None:
    """So much DATA of streams that were refused comes in frames of a size."""
    talk = Talk()
    for number in range(3, 203, 2):
        talk.feed(frame(frames.HEADERS, END_HEADERS, number, request_block()))
        talk.connection.reset(talk.connection.streams[number], Code.CANCEL)
        talk.feed(frame(frames.DATA, 0, number, bytes(size)) * 200)


def test_rest_of_a_large_message_that_was_refused_costs_nothing() -> None:
    refused_rests(WORTH_BYTES)
    with pytest.raises(ConnectionBroken) as raised:
        refused_rests(WORTH_BYTES - 1)
    assert raised.value.code is Code.ENHANCE_YOUR_CALM
