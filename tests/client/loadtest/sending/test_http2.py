"""loadtest/sending/http2.py, judged by a server of python-hyper's h2: neither ours nor nghttp2's."""

from __future__ import annotations

import itertools
import struct

import h2.errors
import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.sending.calls import Call, Ended, Reply, WireError
from hotgraph_client.loadtest.sending.http2 import GrpcConversation, GrpcRequest, reply_of, timeout

from .servers import BODY, HEAD, MESSAGE, Server, frame


def request(message: bytes = MESSAGE) -> GrpcRequest:
    path = "/inference.GRPCInferenceService/ModelInfer"
    return GrpcRequest("http", "127.0.0.1:80", path, [("authorization", "Bearer x")], message)


class Client:
    """A conversation, its calls by their number, and what became of them."""

    def __init__(self) -> None:
        self.conversation = GrpcConversation()
        self.ended: Ended = []
        self.calls: list[Call] = []

    def start(self, message: bytes = MESSAGE, left_s: float | None = None) -> Call:
        call = Call(len(self.calls), 0.0)
        self.calls.append(call)
        self.conversation.start(call, request(message), left_s)
        return call

    def exchange(self, server: Server) -> list[tuple[int, Reply]]:
        """Carry bytes both ways until both have nothing more to say; what ended with them."""
        before = len(self.ended)
        while True:
            sent, to_client = self.conversation.to_send(), server.h2.data_to_send()
            if not sent and not to_client:
                return [(call.payload, reply) for call, reply in self.ended[before:]]
            if sent:
                server.receive(sent)
            if to_client:
                self.conversation.receive(to_client, self.ended)


def connected(**settings: int) -> tuple[Client, Server]:
    client, server = Client(), Server(**settings)
    client.exchange(server)
    return client, server


GOOD = Reply("", MESSAGE)


def test_call_arrives_with_its_headers_its_deadline_and_its_body() -> None:
    client, server = connected()
    client.start(left_s=0.048213)
    client.exchange(server)
    assert server.headers[1] == {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/inference.GRPCInferenceService/ModelInfer",
        b":authority": b"127.0.0.1:80",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
        b"authorization": b"Bearer x",
        b"grpc-timeout": b"48213u",
    }
    assert server.bodies[1] == BODY
    assert server.whole == [1]


def test_call_without_a_deadline_carries_none() -> None:
    client, server = connected()
    client.start()
    client.exchange(server)
    assert b"grpc-timeout" not in server.headers[1]


@pytest.mark.parametrize(
    ("left_s", "text"),
    [(-5.0, b"1u"), (99.999999, b"99999999u"), (100.0, b"100000m"), (1e9, b"99999999m")],
)
def test_time_left_is_within_what_the_protocol_can_say(left_s: float, text: bytes) -> None:
    assert timeout(left_s) == text


def test_answers_refusals_and_resets_end_their_own_call() -> None:
    client, server = connected()
    for _ in range(4):
        client.start()
    client.exchange(server)
    server.answer(3)
    server.refuse(1, 8, b"50%25 too many")
    server.h2.reset_stream(5, h2.errors.ErrorCodes.REFUSED_STREAM)
    assert client.exchange(server) == [
        (1, GOOD),
        (0, Reply("RESOURCE_EXHAUSTED", b"50% too many")),
        (2, Reply("UNAVAILABLE", b"the server reset the stream, code 7", unbegun=True)),
    ]
    assert [call.payload for call in client.conversation.calls] == [3]
    server.answer(7, status=4)
    assert [reply.status for _, reply in client.exchange(server)] == ["DEADLINE_EXCEEDED"]


def test_large_request_goes_in_frames_that_fit_and_waits_for_both_windows() -> None:
    client, server = connected(INITIAL_WINDOW_SIZE=20_000)
    message = bytes(range(256)) * 400
    client.start(message)
    client.exchange(server)
    assert len(server.bodies[1]) == 20_000
    server.h2.increment_flow_control_window(1_000_000, 1)
    client.exchange(server)
    assert len(server.bodies[1]) == 65_535
    server.h2.increment_flow_control_window(1_000_000)
    client.exchange(server)
    assert server.whole == [1]
    assert server.bodies[1] == b"\x00" + struct.pack(">I", len(message)) + message


def test_calls_beyond_what_the_server_takes_at_once_go_later() -> None:
    client, server = connected(MAX_CONCURRENT_STREAMS=2)
    for _ in range(3):
        client.start()
    client.exchange(server)
    assert server.whole == [1, 3]
    server.answer(1)
    assert client.exchange(server) == [(0, GOOD)]
    assert server.whole == [1, 3, 5]


def test_no_more_calls_are_taken_while_the_server_takes_no_bodies() -> None:
    client, server = connected()
    client.start(b"x" * 2_000_000)
    client.exchange(server)
    assert not client.conversation.takes_more
    assert not client.conversation.is_leaving
    server.h2.increment_flow_control_window(10_000_000)
    server.h2.increment_flow_control_window(10_000_000, 1)
    client.exchange(server)
    assert client.conversation.takes_more


def test_answers_of_any_size_come_whole() -> None:
    client, server = connected()
    message = bytes(range(256)) * 3000
    client.start()
    client.exchange(server)
    server.answer(1, b"\x00" + struct.pack(">I", len(message)) + message)
    assert client.exchange(server) == [(0, Reply("", message))]


def test_windows_are_given_back() -> None:
    client, server = connected()
    window = server.h2.outbound_flow_control_window
    size = 1_000_000
    for stream in range(1, 1 + 2 * (window // size + 2), 2):
        client.start()
        client.exchange(server)
        server.answer(stream, b"\x00" + struct.pack(">I", size) + b"x" * size)
        assert client.exchange(server)


def test_padding_is_left_out() -> None:
    client, server = connected()
    client.start()
    client.exchange(server)
    server.answer(1, padding=200)
    assert client.exchange(server) == [(0, GOOD)]


def test_headers_may_go_on_in_more_frames() -> None:
    client, server = connected()
    client.start()
    client.exchange(server)
    block = hpack.Encoder().encode([*HEAD, (b"grpc-status", b"3"), (b"grpc-message", b"m" * 300)])
    pieces = [block[:10], block[10:100], block[100:]]
    data = frame(1, 1, 1, pieces[0]) + frame(9, 0, 1, pieces[1]) + frame(9, 4, 1, pieces[2])
    client.conversation.receive(data, client.ended)
    assert [reply for _, reply in client.ended] == [Reply("INVALID_ARGUMENT", b"m" * 300)]


def test_pings_are_answered() -> None:
    client, server = connected()
    server.h2.ping(b"12345678")
    client.conversation.receive(server.h2.data_to_send(), client.ended)
    assert frame(6, 1, 0, b"12345678") in client.conversation.to_send()


def test_goodbye_lets_earlier_calls_end_and_has_later_ones_disconnected() -> None:
    client, server = connected()
    first, second = client.start(), client.start()
    client.exchange(server)
    goodbye = frame(7, 0, 0, struct.pack(">II", 1, 0) + b"max age")
    client.conversation.receive(goodbye, client.ended)
    reply = Reply("DISCONNECTED", b"the server said goodbye: max age", unbegun=True)
    assert client.ended == [(second, reply)]
    assert client.conversation.is_leaving
    assert not client.conversation.takes_more
    assert not client.conversation.is_over
    server.answer(1)
    client.exchange(server)
    assert client.ended[1:] == [(first, GOOD)]
    assert client.conversation.is_over


def test_cancelled_call_is_told_to_the_server_and_its_answer_dropped() -> None:
    client, server = connected()
    call = client.start()
    client.exchange(server)
    client.conversation.cancel(call)
    server.answer(1)
    # They meet on their way.
    assert frame(3, 0, 1, struct.pack(">I", 8)) in client.conversation.to_send()
    client.conversation.receive(server.h2.data_to_send(), client.ended)
    assert client.ended == []
    assert client.conversation.calls == []
    client.start()
    client.exchange(server)
    server.answer(3)
    assert client.exchange(server) == [(1, GOOD)]


def test_call_that_has_not_gone_yet_can_be_cancelled() -> None:
    client, server = connected(MAX_CONCURRENT_STREAMS=1)
    _, waiting, _ = client.start(), client.start(), client.start()
    client.exchange(server)
    client.conversation.cancel(waiting)
    server.answer(1)
    client.exchange(server)
    assert server.whole == [1, 5]
    server.answer(5)
    assert client.exchange(server) == [(2, GOOD)]


def test_error_before_the_request_was_read_gives_the_rest_up() -> None:
    client, server = connected()
    client.start(b"x" * 200_000)
    client.exchange(server)
    server.refuse(1, 8, b"too large")
    assert client.exchange(server) == [(0, Reply("RESOURCE_EXHAUSTED", b"too large"))]
    assert server.reset == [1]
    assert client.conversation.takes_more


@pytest.mark.parametrize(
    ("head", "fields", "parts", "reply"),
    [
        ({b":status": b"200"}, {b"grpc-status": b"0"}, [BODY], GOOD),
        ({b":status": b"200"}, {b"grpc-status": b"0"}, [BODY[:2], BODY[2:]], GOOD),
        ({b":status": b"200"}, {b"grpc-status": b"0"}, [], "INTERNAL"),
        ({b":status": b"200"}, {b"grpc-status": b"0"}, [BODY, BODY], "INTERNAL"),
        ({b":status": b"200"}, {b"grpc-status": b"0"}, [BODY[:-1]], "INTERNAL"),
        ({b":status": b"200"}, {b"grpc-status": b"0"}, [b"\x01" + BODY[1:]], "INTERNAL"),
        ({b":status": b"200"}, {}, [BODY], "UNKNOWN"),
        ({b":status": b"503"}, {}, [b"<html>"], "UNAVAILABLE"),
        ({b":status": b"404"}, {b"grpc-status": b"0"}, [BODY], "UNIMPLEMENTED"),
        ({b":status": b"503"}, {b"grpc-status": b"8"}, [], "RESOURCE_EXHAUSTED"),
        ({}, {}, [], "UNKNOWN"),
    ],
)
def test_answered_is_a_good_status_and_a_whole_message(
    head: dict[bytes, bytes], fields: dict[bytes, bytes], parts: list[bytes], reply: Reply | str
) -> None:
    got = reply_of(head, fields, parts)
    if isinstance(reply, Reply):
        assert got == reply
    else:
        assert got.status == reply


@given(st.lists(st.integers(0, 600), max_size=6))
def test_bytes_may_come_in_any_pieces(cuts: list[int]) -> None:
    client, server = connected()
    for _ in range(3):
        client.start()
    client.exchange(server)
    for stream in (1, 3, 5):
        server.answer(stream, padding=stream)
    data = server.h2.data_to_send()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        client.conversation.receive(data[start:end], client.ended)
    assert [(call.payload, reply) for call, reply in client.ended] == [(0, GOOD), (1, GOOD), (2, GOOD)]


@given(st.binary(max_size=200), st.booleans())
def test_garbage_ends_the_connection_or_is_waited_out(garbage: bytes, after_the_beginning: bool) -> None:
    client, server = Client(), Server()
    if after_the_beginning:
        client.exchange(server)
    assert client.conversation.has_begun is client.conversation.takes_more is after_the_beginning
    call = client.start()
    client.conversation.to_send()
    try:
        client.conversation.receive(garbage, client.ended)
    except WireError:
        return
    # Each call ends at most once, and is not lost.
    assert [call] == [*client.conversation.calls, *(call for call, _ in client.ended)]


def test_server_of_another_protocol_is_found_out() -> None:
    client = Client()
    client.start()
    client.conversation.to_send()
    client.conversation.receive(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", client.ended)
    client.conversation.to_send()
    assert client.conversation.is_over
    assert "HTTP/2" in client.conversation.goodbye
