"""What all calls have in common: how they end, and how they are refused."""

from __future__ import annotations

import gc
import logging
import weakref
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.errors import InvalidCall
from hotgraph_server.transport.http2 import frames, messages
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.messages import MessageReader
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.service import Reply

from .host import LIMIT, StillHost, end, fail, finish
from .peer import REQUEST, Feeder, pieces, prefixed, request_block


class TestLeaving:
    @pytest.mark.parametrize("how", ["reset", "lost", "expired", "cancelled"])
    def test_end_from_outside_is_told_once(self, how: str) -> None:
        host = StillHost()
        number = host.request(prefixed(b""))
        told: list[int] = []
        host.seen[0][1].when_gone(lambda: told.append(1))
        end(host, number, how)
        assert told == [1]
        assert host.taken == 0
        end(host, number, how)
        assert told == [1]
        host.seen[0][1].when_gone(lambda: told.append(2))
        assert told == [1, 2]

    def test_answered_call_is_told_nothing_more(self) -> None:
        host = StillHost()
        number = host.request(prefixed(b""), more=(("grpc-timeout", "1S"),))
        told: list[int] = []
        call = host.calls[number]
        call.when_gone(lambda: told.append(1))
        finish(host.seen[0][1])
        host.deliver()
        call.expire()
        call.cancel()
        host.connection.lose()
        assert told == []
        assert host.answer(number).status == 0

    def test_whoever_cannot_be_told_is_logged_and_harms_nobody(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        host = StillHost()
        first, second = host.request(prefixed(b"")), host.request(prefixed(b""))
        told: list[int] = []
        host.seen[0][1].when_gone(lambda: fail(ZeroDivisionError("broken")) and None)
        host.seen[1][1].when_gone(lambda: told.append(1))
        with caplog.at_level(logging.ERROR):
            host.connection.lose()
        assert told == [1]
        assert host.taken == 0
        assert "could not be told" in caplog.text
        assert first != second

    @pytest.mark.parametrize(("how", "status"), [("expired", 4), ("cancelled", 1)])
    def test_end_by_the_server_is_a_status(self, how: str, status: int) -> None:
        host = StillHost()
        number = host.request(prefixed(b""))
        end(host, number, how)
        assert host.answer(number).trailers_only
        assert host.answer(number).status == status

    @pytest.mark.parametrize("how", ["expired", "cancelled"])
    @pytest.mark.parametrize("kind", ["hot", "streaming"])
    def test_end_in_the_middle_of_an_answer_is_a_reset(self, how: str, kind: str) -> None:
        """A status there would be taken for the end of the message, or be no valid block at all."""
        host = StillHost(kind, window=50)
        number = host.request(prefixed(b""))
        if kind == "hot":
            finish(host.seen[0][1], bytes(100))
        else:
            host.opened[0].send(bytes(100))
        assert len(host.answer(number).data) == 50
        end(host, number, how)
        answer = host.answer(number)
        assert answer.reset == Code.CANCEL
        assert answer.trailers == {}
        assert host.taken == 0

    def test_deadline_is_told_to_the_server_and_nearer_ones_again(self) -> None:
        host = StillHost()
        host.request(prefixed(b""))
        assert host.expiring == []
        host.request(prefixed(b""), more=(("grpc-timeout", "1H"),))
        call = host.calls[3]
        assert host.expiring == [call]
        reply = host.seen[1][1]
        nearer = reply.deadline - 5
        reply.expire_at(reply.deadline + 5)
        assert host.expiring == [call]
        reply.expire_at(nearer)
        assert host.expiring == [call, call]
        assert call.deadline == nearer

    @pytest.mark.parametrize("how", ["answered", "reset", "lost", "expired", "cancelled", "failed"])
    def test_ended_call_leaves_no_cycle_behind(self, how: str) -> None:
        """The arrays behind thousands of calls a second must not wait for the garbage collector."""
        host = StillHost()
        number = host.request(prefixed(b""))
        reply = host.seen[0][1]

        class Owner:
            """As the models' calls do, it knows the reply, and the reply knows it."""

            def __init__(self, reply: Reply) -> None:
                self.reply = reply

            def leave(self) -> None:
                finish(self.reply)

        owner = Owner(reply)
        reply.when_gone(owner.leave)
        gc.collect()
        gc.disable()
        try:
            watched = weakref.ref(owner)
            if how == "answered":
                finish(reply)
            elif how == "failed":
                reply.finish(lambda: fail(InvalidCall("no")))
            else:
                end(host, number, how)
            host.deliver()
            del owner, reply
            host.seen.clear()
            host.calls.clear()
            host.expiring.clear()
            assert watched() is None
        finally:
            gc.enable()


class TestRefusedCalls:
    def test_unknown_method_is_unimplemented(self) -> None:
        host = StillHost()
        headers = [(name, "/unknown" if name == ":path" else value) for name, value in REQUEST]
        number = host.client.request(headers=headers)
        host.exchange()
        assert host.answer(number).status == 12

    @pytest.mark.parametrize(
        ("name", "value", "status"),
        [("content-type", "application/json", 415), (":method", "GET", 405), ("grpc-timeout", "soon", 400)],
    )
    def test_what_is_no_grpc_gets_a_status_of_http(self, name: str, value: str, status: int) -> None:
        host = StillHost()
        fields = {**dict(REQUEST), name: value}
        number = host.client.request(headers=list(fields.items()))
        host.client.h2.send_data(number, b"{}", end_stream=True)
        host.exchange()
        assert host.answer(number).headers == {":status": str(status)}
        assert host.answer(number).trailers_only


class TestFilling:
    """Bytes that the connection puts where they belong, past `on_data`."""

    @settings(deadline=None)
    @given(st.data())
    def test_messages_are_the_same_however_frames_and_pieces_are_cut(self, data: st.DataObject) -> None:
        """As those of each stream's bytes in one piece; and what is held is what has come."""
        sizes = st.sampled_from([0, 1, 5, 40, 1024, 1500, 1501, 4000])
        streams = data.draw(st.lists(st.lists(sizes, min_size=1, max_size=3), min_size=1, max_size=3))
        wires = {
            3 + 2 * index: b"".join(prefixed(bytes([index + 1]) * size) for size in of_one)
            for index, of_one in enumerate(streams)
        }
        wire, ranges = b"".join(headers(number) for number in wires), []
        cuts = st.lists(st.integers(0, 9000), max_size=6)
        frames_of = {number: pieces(wires[number], data.draw(cuts)) for number in wires}
        order = [number for number, payloads in frames_of.items() for _ in payloads]
        for number in data.draw(st.permutations(order)):
            payload = frames_of[number].pop(0)
            pad = data.draw(st.sampled_from([None, None, 0, 30]))
            ranges.append((len(wire) + 9 + (pad is not None), number, payload))
            wire += data_frame(number, payload, pad, ends=not frames_of[number])
        with mock.patch.object(messages, "_TAKEN_AT_ONCE", 1500):
            host = StillHost("stream")
            feeder = Feeder(host.connection)
            at = 0
            for piece in pieces(wire, data.draw(st.lists(st.integers(0, len(wire)), max_size=20))):
                feeder.feed(piece)
                at += len(piece)
                host.posted.clear()
                check_held(host, ranges, at)
        came: dict[int, list[bytes]] = {}
        for message, stream in host.seen:
            if message is not None:
                came.setdefault(stream.number, []).append(bytes(message))
        for number, expected in wires.items():
            assert came[number] == [
                bytes(part) for _, part in MessageReader(LIMIT).feed(memoryview(expected))
            ]

    def test_caller_that_is_over_its_budget_is_refused_in_the_middle_of_a_message(self) -> None:
        """And no later than a piece received behind the byte that was too many."""
        host = StillHost()
        host.inflight = Inflight(100_000)
        number = host.request(prefixed(bytes(LIMIT))[:1000], end=False)
        while host.client.answers[number].reset is None:
            host.client.h2.send_data(number, bytes(1024))
            host.exchange()
        assert host.answer(number).status == 8
        assert host.inflight.nbytes == 0
        assert host.connection.streams == {}

    def test_call_that_ends_before_its_message_does_takes_no_bytes_more(self) -> None:
        """Frames that were on their way find no stream, or one that waits for windows and reads no more."""
        host = StillHost()
        number = host.request(prefixed(bytes(5000))[:1000], end=False)
        call = host.calls[number]
        assert call.filling is not None
        wire = data_frame(number, bytes(1024), None, False)
        Feeder(host.connection).feed(wire + frames.rst_stream(number, Code.CANCEL))
        assert call.filling is None
        assert host.inflight.nbytes == 0

    def test_end_in_the_middle_of_what_is_filled_is_a_mistake(self) -> None:
        host = StillHost()
        number = host.request(prefixed(bytes(5000))[:1000], bytes(1000), bytes(1000))
        assert host.answer(number).status == 13
        assert "ended in the middle of a message" in host.answer(number).headers["grpc-message"]

    def test_connection_that_breaks_leaves_nothing_held(self) -> None:
        host = StillHost()
        number = host.request(prefixed(bytes(5000))[:1000], end=False)
        wire = data_frame(number, bytes(1024), None, False) + frames.frame(frames.PING, 0, 0, b"x")
        with pytest.raises(ConnectionBroken):
            host.connection.receive(memoryview(wire))
        host.connection.lose()
        assert host.inflight.nbytes == 0


def headers(number: int) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_HEADERS, number, request_block())


def data_frame(number: int, payload: bytes, pad: int | None, ends: bool) -> bytes:
    flags = frames.END_STREAM if ends else 0
    if pad is not None:
        flags |= frames.PADDED
        payload = bytes([pad]) + payload + bytes(pad)
    return frames.frame(frames.DATA, flags, number, payload)


def check_held(host: StillHost, ranges: list[tuple[int, int, bytes]], at: int) -> None:
    """Each call holds the bytes of the message that is under way."""
    came: dict[int, bytes] = {}
    for start, number, payload in ranges:
        came[number] = came.get(number, b"") + payload[: max(at - start, 0)]
    total = 0
    for number, sent in came.items():
        reader = MessageReader(LIMIT)
        reader.feed(memoryview(sent))
        if host.calls.get(number) is not None and host.calls[number].open:
            assert host.calls[number].held_bytes == reader.received
            total += reader.received
    assert host.inflight.nbytes == total
