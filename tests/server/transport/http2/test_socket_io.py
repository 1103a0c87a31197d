"""A link on a real pair of sockets, with and without TLS; nothing here waits but for the peer's thread."""

from __future__ import annotations

import math
import selectors
import socket
import ssl
import time
from collections.abc import Iterator

import pytest
import trustme

from hotgraph_server.transport.http2 import flood_limits, frames, socket_io
from hotgraph_server.transport.http2.connection import MAX_UNUSED_BYTES
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.http2.socket_io import RECEIVE_BYTES, LinkLost, SocketIO

from .peer import Client, Kept, parse_frames, prefixed, taken_out

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Ends:
    """A link, and the caller at the other end of its socket."""

    def __init__(self, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None) -> None:
        ours, self.theirs = socket.socketpair()
        for sock in (ours, self.theirs):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        if tls is not None:
            ours = tls[0].wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
            self.theirs = tls[1].wrap_socket(
                self.theirs, server_hostname="localhost", do_handshake_on_connect=False
            )
        self.dirty: list[SocketIO] = []
        self.link = SocketIO(ours, Kept, 100, self.dirty)
        self.client = Client()
        self.back = b""
        self._buffer = bytearray(RECEIVE_BYTES + MAX_UNUSED_BYTES)

    def read(self) -> None:
        self.link.read(self._buffer, memoryview(self._buffer))

    def send(self, wire: bytes) -> None:
        """All of it, the link reading along."""
        while wire:
            wire = wire[self.theirs.send(wire[:4096]) :]
            self.read()

    def drain(self) -> bytes:
        """What there is to receive now."""
        received = b""
        try:
            while piece := self.theirs.recv(65_536):
                received += piece
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        self.back += received
        return received

    def exchange(self) -> None:
        """Until neither has anything to say."""
        while True:
            wire = self.client.h2.data_to_send()
            self.send(wire)
            self.link.write()
            received = self.drain()
            self.client.take(received)
            if not wire and not received and not self.link.has_output:
                return

    def close(self) -> None:
        self.link.sock.close()
        self.theirs.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the caller's."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    for context in (server, client):
        context.set_alpn_protocols(["h2"])
    return server, client


def test_link_carries_a_call_there_and_back(ends: Ends) -> None:
    ends.exchange()
    number = ends.client.request()
    ends.client.h2.send_data(number, prefixed(b"hello"), end_stream=True)
    ends.exchange()
    stream = ends.link.connection.streams[number]
    assert isinstance(stream, Kept)
    assert bytes(stream.data) == prefixed(b"hello")
    ends.link.connection.answer(stream, b"answer")
    ends.exchange()
    assert ends.client.answers[number].messages == [b"answer"]


def test_link_that_gets_something_to_say_is_dirty_once(ends: Ends) -> None:
    ends.send(frames.PREFACE + frames.settings({}) + frames.frame(frames.PING, 0, 0, bytes(8)))
    assert ends.dirty == [ends.link]


def test_answer_larger_than_the_sockets_buffer_goes_in_pieces(ends: Ends) -> None:
    """Many of them and large, and each byte in its order."""
    ends.client.h2.increment_flow_control_window(2**30)
    ends.client.h2.update_settings({frames.INITIAL_WINDOW_SIZE: 2**24})
    ends.exchange()
    sent = {}
    for size in (3, 300_000, 0, 5_000_000, 70_000, 1):
        number = ends.client.request()
        ends.client.h2.end_stream(number)
        ends.exchange()
        sent[number] = bytes(range(251)) * (size // 251) + bytes(size % 251)
    for number, message in sent.items():
        ends.link.connection.answer(ends.link.connection.streams[number], message)
    ends.exchange()
    assert {number: ends.client.answers[number].messages for number in sent} == {
        number: [message] for number, message in sent.items()
    }


class TestInterest:
    def test_idle_link_waits_for_its_peer_to_speak(self, ends: Ends) -> None:
        assert ends.link.interest == READ
        assert ends.link.reads
        ends.exchange()
        assert ends.link.interest == READ

    def test_link_with_output_waits_for_both(self, ends: Ends) -> None:
        ends.send(frames.PREFACE)
        assert ends.link.interest == READ | WRITE
        ends.link.write()
        assert ends.link.interest == READ

    def test_peer_that_does_not_read_is_not_read_from(
        self, ends: Ends, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each of its pings would be an answer more to keep."""
        monkeypatch.setattr(socket_io, "_MAX_UNSENT_BYTES", 2**18)
        monkeypatch.setattr(flood_limits, "MAX", math.inf)
        ping = frames.frame(frames.PING, 0, 0, bytes(8)) * 240
        ends.link.connection._allowance.earn(math.inf)
        ends.send(frames.PREFACE + frames.settings({}))
        taken = 0
        while ends.link.interest & READ:
            ends.send(ping)
            ends.link.write()
            taken += len(ping)
            assert taken < 2 * socket_io._MAX_UNSENT_BYTES
        assert ends.link.interest == WRITE
        assert not ends.link.reads
        assert ends.link._unsent_bytes < 2 * socket_io._MAX_UNSENT_BYTES
        # Once it reads, it is read from.
        while ends.link.has_output:
            ends.drain()
            ends.link.write()
        assert ends.link.interest == READ

    def test_closing_link_reads_no_more(self, ends: Ends) -> None:
        ends.send(frames.PREFACE)
        ends.link.closing = True
        assert ends.link.interest == WRITE
        assert not ends.link.reads


class TestEnd:
    def test_peer_that_closes_is_lost(self, ends: Ends) -> None:
        ends.theirs.close()
        with pytest.raises(LinkLost, match="closed the connection"):
            ends.read()

    def test_peer_that_has_gone_cannot_be_written_to(self, ends: Ends) -> None:
        ends.send(frames.PREFACE)
        ends.theirs.close()
        with pytest.raises(LinkLost):
            ends.link.write()

    def test_broken_protocol_is_told_and_the_reason_can_be_sent(self, ends: Ends) -> None:
        with pytest.raises(ConnectionBroken, match="speaks gRPC"):
            ends.send(b"GET / HTTP/1.1\r\n\r\n")
        ends.link.write()
        (away,) = parse_frames(ends.drain())
        assert away.type == frames.GOAWAY

    def test_nothing_to_read_is_no_end(self, ends: Ends) -> None:
        ends.read()
        ends.link.write()


class TestStuck:
    """Since when a link waits for its peer, by a clock of the test's."""

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [100.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        return now

    def test_peer_that_never_speaks_is_stuck_from_the_beginning(self, now: list[float]) -> None:
        ends = Ends()
        now[0] = 200.0
        assert ends.link.stuck_since == 100.0
        ends.send(frames.PREFACE[:5])
        assert ends.link.stuck_since == 100.0, "a greeting in dribbles is none"
        ends.close()

    def test_peer_that_owes_nothing_is_not_stuck(self, now: list[float], ends: Ends) -> None:
        ends.exchange()
        assert ends.link.stuck_since == math.inf

    def test_peer_that_takes_nothing_is_stuck_whatever_it_says(self, now: list[float], ends: Ends) -> None:
        ends.client.h2.update_settings({frames.INITIAL_WINDOW_SIZE: 2**24})
        ends.client.h2.increment_flow_control_window(2**24)
        ends.exchange()
        number = ends.client.request()
        ends.client.h2.end_stream(number)
        ends.exchange()
        ends.link.connection.answer(ends.link.connection.streams[number], bytes(2**21))
        now[0] = 300.0
        ends.link.write()
        now[0] = 400.0
        ends.client.h2.ping(bytes(8))
        ends.send(ends.client.h2.data_to_send())
        ends.link.write()
        assert ends.link.stuck_since == 300.0
        ends.exchange()
        assert ends.link.stuck_since == math.inf


class TestTls:
    @pytest.fixture
    def tls(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Ends]:
        ends = Ends(contexts)
        yield ends
        ends.close()

    @staticmethod
    def shake(ends: Ends) -> None:
        theirs = ends.theirs
        assert isinstance(theirs, ssl.SSLSocket)
        while True:
            try:
                theirs.do_handshake()
            except ssl.SSLWantReadError:
                ends.read()
            else:
                ends.read()
                return

    def test_call_goes_through_tls(self, tls: Ends) -> None:
        self.shake(tls)
        tls.exchange()
        number = tls.client.request()
        tls.client.h2.end_stream(number)
        tls.exchange()
        tls.client.h2.increment_flow_control_window(2**24)
        tls.client.h2.increment_flow_control_window(2**24, number)
        tls.exchange()
        message = bytes(range(256)) * 8000
        tls.link.connection.answer(tls.link.connection.streams[number], message)
        tls.exchange()
        assert tls.client.answers[number].messages == [message]

    def test_half_a_handshake_waits_for_the_other_half(self, tls: Ends) -> None:
        theirs = tls.theirs
        assert isinstance(theirs, ssl.SSLSocket)
        with pytest.raises(ssl.SSLWantReadError):
            theirs.do_handshake()
        tls.read()
        tls.read()
        tls.link.write()
        assert tls.link.interest == READ
        assert tls.link.reads
        assert tls.link.stuck_since < math.inf

    def test_what_is_no_tls_is_lost(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        ends = Ends(contexts)
        plain = ends.theirs.detach()
        with socket.socket(fileno=plain) as sock:
            sock.send(frames.PREFACE)
            with pytest.raises(LinkLost, match="TLS"):
                ends.read()
        ends.close()

    def test_caller_without_h2_is_lost(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        authority = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.check_hostname = False
        authority.verify_mode = ssl.CERT_NONE
        ends = Ends((contexts[0], authority))
        with pytest.raises(LinkLost, match="does not offer h2"):
            self.shake(ends)
        ends.close()

    def test_request_of_many_records_is_read_whole(self, tls: Ends) -> None:
        self.shake(tls)
        tls.exchange()
        number = tls.client.request()
        for _ in range(30):
            tls.client.h2.send_data(number, bytes(16_000))
            tls.exchange()
        stream = tls.link.connection.streams[number]
        assert isinstance(stream, Kept)
        assert len(stream.data) == 480_000
        assert taken_out(tls.link.connection) == b""


def test_callers_without_an_address_are_told_apart() -> None:
    first, second = Ends(), Ends()
    assert first.link.connection.peer.startswith("unix:")
    assert first.link.connection.peer != second.link.connection.peer
    first.close()
    second.close()
