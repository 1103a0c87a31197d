"""One connection on a real pair of sockets, with and without TLS; nothing here waits but for the peer's
thread."""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from hotgraph_server.errors import CallError
from hotgraph_server.transport.http2 import flood_limits, frames
from hotgraph_server.transport.http2.connection import MAX_UNUSED_BYTES, Connection
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.sockets import socket_io
from hotgraph_server.transport.sockets.socket_io import RECEIVE_BYTES, ConnectionLost, SocketIO

from ..http2.peer import Client, Kept, parse_frames, prefixed, taken_out

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def spoken(on_output: Callable[[], None]) -> Connection:
    return Connection(Kept, 100, on_output, time.monotonic)


class Other:
    """Another protocol, which keeps what comes and says what the test says."""

    greeted = patient = quiet = True
    calls = 0

    def __init__(self, peer: str, on_output: Callable[[], None]) -> None:
        self.peer = peer
        self.refusal: CallError | None = None
        self.out: list[bytes | memoryview] = []
        self.out_bytes = self.held_bytes = 0
        self.unfinished = self.holds = self.ended = self.crowded = False
        self.unsent_bytes = 0
        self.told = 0
        self.received = b""
        self.most = math.inf  # that it takes in at a time
        self.on_output = on_output

    def on_sent(self) -> None:
        self.crowded = False
        self.told += 1

    def receive(self, data: memoryview, ends_at: float = math.inf) -> int:
        used = 0 if self.holds else int(min(len(data), self.most))
        self.received += data[:used]
        self.unfinished = used < len(data)
        return used

    def say(self, data: bytes) -> None:
        if not self.out:
            self.on_output()
        self.out.append(data)
        self.out_bytes += len(data)

    def give_up_stalled(self, looks: int) -> bool:
        return False

    def go_away(self, *, at_once: bool = True) -> bool:
        return False

    def say_goodbye(self) -> None: ...

    def cancel(self, error: CallError | None = None) -> None: ...

    def lose(self) -> None: ...


def shake(*sides: ssl.SSLSocket) -> None:
    """TLS's handshake."""
    shaking = list(sides)
    while shaking:
        for one in list(shaking):
            with contextlib.suppress(ssl.SSLWantReadError):
                one.do_handshake()
                shaking.remove(one)


def not_blocking_pair() -> tuple[socket.socket, socket.socket]:
    """With little room."""
    pair = socket.socketpair()
    for sock in pair:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    return pair


def shaken_pair(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """The same with TLS, through with its handshake."""
    first, second = not_blocking_pair()
    ours = server.wrap_socket(first, server_side=True, do_handshake_on_connect=False)
    theirs = client.wrap_socket(second, server_hostname="localhost", do_handshake_on_connect=False)
    shake(ours, theirs)
    return ours, theirs


class Ends:
    """A SocketIO, and the caller at the other end of its socket."""

    def __init__(
        self,
        tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
        *,
        http2: Callable[[Callable[[], None]], Connection] | None = spoken,
        http1: Callable[[str, Callable[[], None]], Other] | None = None,
    ) -> None:
        ours: socket.socket
        ours, self.theirs = not_blocking_pair() if tls is None else shaken_pair(*tls)
        self.dirty: list[SocketIO] = []
        self.socket_io = SocketIO(ours, http2, http1, self.dirty)
        self.client = Client()
        self.back = b""
        self._buffer = bytearray(RECEIVE_BYTES + MAX_UNUSED_BYTES)

    @property
    def connection(self) -> Connection:
        """Ours."""
        spoken = self.socket_io.connection
        assert isinstance(spoken, Connection)
        return spoken

    def read(self) -> None:
        self.socket_io.read(self._buffer, memoryview(self._buffer))

    def send(self, wire: bytes) -> None:
        """All of it, the server reading along."""
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
            self.socket_io.write()
            received = self.drain()
            self.client.take(received)
            if not wire and not received and not self.socket_io.has_output:
                return

    def close(self) -> None:
        self.socket_io.sock.close()
        self.theirs.close()


@pytest.fixture
def make_ends() -> Iterator[Callable[[], Ends]]:
    made: list[Ends] = []

    def make() -> Ends:
        made.append(Ends())
        return made[-1]

    yield make
    for ends in made:
        ends.close()


@pytest.fixture
def ends(make_ends: Callable[[], Ends]) -> Ends:
    return make_ends()


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


def test_socket_carries_a_call_there_and_back(ends: Ends) -> None:
    ends.exchange()
    number = ends.client.request()
    ends.client.h2.send_data(number, prefixed(b"hello"), end_stream=True)
    ends.exchange()
    stream = ends.connection.streams[number]
    assert isinstance(stream, Kept)
    assert bytes(stream.data) == prefixed(b"hello")
    ends.connection.answer(stream, b"answer")
    ends.exchange()
    assert ends.client.answers[number].messages == [b"answer"]


def test_socket_that_gets_something_to_say_is_dirty_once(ends: Ends) -> None:
    ends.send(frames.PREFACE + frames.settings({}) + frames.frame(frames.PING, 0, 0, bytes(8)))
    assert ends.dirty == [ends.socket_io]


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
        ends.connection.answer(ends.connection.streams[number], message)
    ends.exchange()
    assert {number: ends.client.answers[number].messages for number in sent} == {
        number: [message] for number, message in sent.items()
    }


class TestInterest:
    def test_idle_socket_waits_for_its_peer_to_speak(self, ends: Ends) -> None:
        assert ends.socket_io.interest == READ
        assert ends.socket_io.reads
        ends.exchange()
        assert ends.socket_io.interest == READ

    def test_socket_with_output_waits_for_both(self, ends: Ends) -> None:
        ends.send(frames.PREFACE)
        assert ends.socket_io.interest == READ | WRITE
        ends.socket_io.write()
        assert ends.socket_io.interest == READ

    def test_peer_that_does_not_read_is_not_read_from(
        self, monkeypatch: pytest.MonkeyPatch, make_ends: Callable[[], Ends]
    ) -> None:
        """Each of its pings would be an answer more to keep."""
        monkeypatch.setattr(socket_io, "MAX_UNSENT_BYTES", 2**18)
        monkeypatch.setattr(flood_limits, "MAX", math.inf)
        ends = make_ends()
        ping = frames.frame(frames.PING, 0, 0, bytes(8)) * 240
        ends.send(frames.PREFACE + frames.settings({}))
        taken = 0
        while ends.socket_io.interest & READ:
            ends.send(ping)
            ends.socket_io.write()
            taken += len(ping)
            assert taken < 2 * socket_io.MAX_UNSENT_BYTES
        assert ends.socket_io.interest == WRITE
        assert not ends.socket_io.reads
        assert ends.socket_io.unsent_bytes < 2 * socket_io.MAX_UNSENT_BYTES
        # Once it reads, it is read from.
        while ends.socket_io.has_output:
            ends.drain()
            ends.socket_io.write()
        assert ends.socket_io.interest == READ

    def test_closing_socket_reads_no_more(self, ends: Ends) -> None:
        ends.send(frames.PREFACE)
        ends.socket_io.closing = True
        assert ends.socket_io.interest == WRITE
        assert not ends.socket_io.reads


class TestEnd:
    def test_peer_that_closes_is_lost(self, ends: Ends) -> None:
        ends.theirs.close()
        with pytest.raises(ConnectionLost, match="closed the connection"):
            ends.read()

    def test_peer_that_has_gone_cannot_be_written_to(self, ends: Ends) -> None:
        ends.send(frames.PREFACE)
        ends.theirs.close()
        with pytest.raises(ConnectionLost):
            ends.socket_io.write()

    def test_broken_protocol_is_told_and_the_reason_can_be_sent(self, ends: Ends) -> None:
        with pytest.raises(ConnectionBroken, match="speaks gRPC"):
            ends.send(b"GET / HTTP/1.1\r\n\r\n")
        ends.socket_io.write()
        (away,) = parse_frames(ends.drain())
        assert away.type == frames.GOAWAY

    def test_nothing_to_read_is_no_end(self, ends: Ends) -> None:
        ends.read()
        ends.socket_io.write()


class TestStuck:
    """Since when it waits for its peer, by a clock of the test's."""

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [100.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        return now

    def test_peer_that_never_speaks_is_stuck_from_the_beginning(self, now: list[float]) -> None:
        ends = Ends()
        now[0] = 200.0
        assert ends.socket_io.stuck_since == 100.0
        ends.send(frames.PREFACE[:5])
        assert ends.socket_io.stuck_since == 100.0, "a greeting in dribbles is none"
        ends.close()

    def test_peer_that_owes_nothing_is_not_stuck(self, now: list[float], ends: Ends) -> None:
        ends.exchange()
        assert ends.socket_io.stuck_since == math.inf

    def test_peer_that_takes_nothing_is_stuck_whatever_it_says(self, now: list[float], ends: Ends) -> None:
        ends.client.h2.update_settings({frames.INITIAL_WINDOW_SIZE: 2**24})
        ends.client.h2.increment_flow_control_window(2**24)
        ends.exchange()
        number = ends.client.request()
        ends.client.h2.end_stream(number)
        ends.exchange()
        ends.connection.answer(ends.connection.streams[number], bytes(2**21))
        now[0] = 300.0
        ends.socket_io.write()
        now[0] = 400.0
        ends.client.h2.ping(bytes(8))
        ends.send(ends.client.h2.data_to_send())
        ends.socket_io.write()
        assert ends.socket_io.stuck_since == 300.0
        ends.exchange()
        assert ends.socket_io.stuck_since == math.inf


class TestTls:
    @pytest.fixture
    def tls(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Ends]:
        ends = Ends(contexts)
        yield ends
        ends.close()

    def test_call_goes_through_tls(self, tls: Ends) -> None:
        tls.exchange()
        number = tls.client.request()
        tls.client.h2.end_stream(number)
        tls.exchange()
        tls.client.h2.increment_flow_control_window(2**24)
        tls.client.h2.increment_flow_control_window(2**24, number)
        tls.exchange()
        message = bytes(range(256)) * 8000
        tls.connection.answer(tls.connection.streams[number], message)
        tls.exchange()
        assert tls.client.answers[number].messages == [message]

    def test_what_is_no_record_of_tls_is_lost(self, tls: Ends) -> None:
        with socket.socket(fileno=tls.theirs.detach()) as plain:
            plain.send(frames.PREFACE)
            with pytest.raises(ConnectionLost, match="SSL"):
                tls.read()

    def test_caller_without_h2_is_lost(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        authority = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.check_hostname = False
        authority.verify_mode = ssl.CERT_NONE
        ours, theirs = shaken_pair(contexts[0], authority)
        with ours, theirs, pytest.raises(ConnectionLost, match="does not offer h2"):
            SocketIO(ours, spoken, None, [])

    def test_request_of_many_records_is_read_whole(self, tls: Ends) -> None:
        tls.exchange()
        number = tls.client.request()
        for _ in range(30):
            tls.client.h2.send_data(number, bytes(16_000))
            tls.exchange()
        stream = tls.connection.streams[number]
        assert isinstance(stream, Kept)
        assert len(stream.data) == 480_000
        assert taken_out(tls.connection) == b""


def test_callers_without_an_address_are_told_apart() -> None:
    first, second = Ends(), Ends()
    assert first.socket_io.connection.peer.startswith("unix:")
    assert first.socket_io.connection.peer != second.socket_io.connection.peer
    first.close()
    second.close()


REQUEST = b"POST / HTTP/1.1\r\nHost: h\r\n\r\n"


class TestWhatIsSpoken:
    """HTTP/2 is known by its preface; what does not begin so is HTTP/1.1."""

    @pytest.fixture
    def both(self) -> Iterator[Ends]:
        ends = Ends(http1=Other)
        yield ends
        ends.close()

    @pytest.mark.parametrize("size", [1, 2, 5, 100])
    @pytest.mark.parametrize("sent", [REQUEST, b"GET / HTTP/1.1\r\n", b"PRI / HTTP/1.1\r\n", b"\r\n", b"\0"])
    def test_other_beginnings_are_the_other_protocols_however_they_come(
        self, both: Ends, sent: bytes, size: int
    ) -> None:
        peer = both.socket_io.connection.peer
        for at in range(0, len(sent), size):
            both.send(sent[at : at + size])
        other = both.socket_io.connection
        assert isinstance(other, Other)
        assert other.received == sent
        assert other.peer == peer
        other.say(b"well")
        assert both.dirty == [both.socket_io]

    @pytest.mark.parametrize("size", [1, 3, 23, 24, 25, 1000])
    def test_preface_is_http2s_however_it_comes(self, both: Ends, size: int) -> None:
        sent = frames.PREFACE + frames.settings({})
        for at in range(0, len(sent), size):
            both.send(sent[at : at + size])
        assert isinstance(both.socket_io.connection, Connection)
        assert both.socket_io.connection.greeted
        both.socket_io.write()
        assert parse_frames(both.drain())

    def test_what_looks_like_the_other_protocol_later_is_not(self, both: Ends) -> None:
        both.send(frames.PREFACE + frames.settings({}))
        with pytest.raises(ConnectionBroken):
            both.send(REQUEST * 20)

    def test_half_a_preface_says_nothing_and_its_peer_is_waited_for(self, both: Ends) -> None:
        both.send(frames.PREFACE[:-1])
        assert isinstance(both.socket_io.connection, Connection)
        assert both.socket_io.stuck_since < math.inf

    def test_where_one_alone_is_spoken_it_is_from_the_beginning(self) -> None:
        ends = Ends(http2=None, http1=Other)
        other = ends.socket_io.connection
        assert isinstance(other, Other)
        assert other.peer.startswith("unix:")
        ends.send(frames.PREFACE)
        assert other.received == frames.PREFACE
        ends.close()


class TestAlpn:
    """What TLS says is spoken."""

    @pytest.fixture
    def shaken(self) -> Iterator[Callable[..., Ends]]:
        authority = trustme.CA()
        made: list[Ends] = []

        def make(offers: list[str], **ends: Any) -> Ends:
            server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            authority.issue_cert("localhost").configure_cert(server)
            authority.configure_trust(client)
            server.set_alpn_protocols(["h2", "http/1.1"])
            if offers:
                client.set_alpn_protocols(offers)
            made.append(Ends((server, client), **{"http1": Other, **ends}))
            return made[-1]

        yield make
        for ends in made:
            ends.close()

    @pytest.mark.parametrize("offers", [["http/1.1"], [], ["http/1.0"]])
    def test_caller_that_does_not_offer_h2_speaks_the_other(
        self, shaken: Callable[..., Ends], offers: list[str]
    ) -> None:
        ends = shaken(offers)
        other = ends.socket_io.connection
        assert isinstance(other, Other)
        ends.send(REQUEST)
        assert other.received == REQUEST
        other.say(b"well")
        ends.socket_io.write()
        assert ends.drain() == b"well"

    @pytest.mark.parametrize("offers", [["h2"], ["http/1.1", "h2"]])
    def test_caller_that_offers_h2_speaks_it(self, shaken: Callable[..., Ends], offers: list[str]) -> None:
        ends = shaken(offers)
        ends.exchange()
        assert isinstance(ends.socket_io.connection, Connection)
        assert ends.socket_io.connection.greeted

    def test_who_offers_h2_and_speaks_the_other_is_heard(self, shaken: Callable[..., Ends]) -> None:
        ends = shaken(["h2"])
        ends.send(REQUEST)
        assert isinstance(ends.socket_io.connection, Other)

    def test_where_one_alone_is_spoken_any_offer_will_do(self, shaken: Callable[..., Ends]) -> None:
        for offers in (["h2"], ["http/1.1"], []):
            ends = shaken(offers, http2=None)
            ends.send(REQUEST)
            assert isinstance(ends.socket_io.connection, Other)
            assert ends.socket_io.connection.received == REQUEST


class TestHolding:
    """A connection that takes nothing in for now."""

    @pytest.fixture
    def held(self) -> Iterator[tuple[Ends, Other]]:
        ends = Ends(http2=None, http1=Other)
        other = ends.socket_io.connection
        assert isinstance(other, Other)
        yield ends, other
        ends.close()

    def test_it_waits_for_nothing_or_for_room_to_write(self, held: tuple[Ends, Other]) -> None:
        ends, other = held
        other.holds = True
        assert not ends.socket_io.reads
        assert ends.socket_io.interest == 0
        other.say(b"well")
        assert ends.socket_io.interest == WRITE
        ends.socket_io.write()
        assert ends.socket_io.interest == 0
        other.holds = False
        assert ends.socket_io.interest == READ
        assert ends.socket_io.reads

    @pytest.mark.parametrize("size", [4, 300_000])
    def test_one_that_is_crowded_hears_when_all_is_sent(self, held: tuple[Ends, Other], size: int) -> None:
        ends, other = held
        other.crowded = True
        other.say(bytes(size))
        while ends.socket_io.has_output:
            assert not other.told
            ends.socket_io.write()
            assert other.unsent_bytes == ends.socket_io.unsent_bytes
            ends.drain()
        assert (other.told, other.unsent_bytes) == (1, 0)

    def test_it_waits_for_its_peer_when_it_closes(self, held: tuple[Ends, Other]) -> None:
        """That is how it hears that the peer has heard the end."""
        ends, other = held
        other.holds = ends.socket_io.closing = True
        assert ends.socket_io.interest == READ
        other.say(b"well")
        assert ends.socket_io.interest == WRITE

    def test_what_was_received_is_kept_and_given_again(self, held: tuple[Ends, Other]) -> None:
        ends, other = held
        other.holds = True
        ends.theirs.send(b"abcdef")
        ends.read()
        assert ends.socket_io.unfinished
        ends.theirs.send(b"ghi")
        ends.read()
        assert other.received == b""
        other.holds = False
        other.most = 4
        for _ in range(4):
            ends.read()
        assert other.received == b"abcdefghi"
        assert not ends.socket_io.unfinished

    def test_nothing_more_is_received_while_something_is_left(self, held: tuple[Ends, Other]) -> None:
        ends, other = held
        other.most = 1
        ends.theirs.send(b"abc")
        ends.read()
        ends.theirs.send(b"def")
        ends.read()
        assert other.received == b"ab"
        assert ends.socket_io.sock.recv(10, socket.MSG_PEEK) == b"def"


class TestCrowded:
    """A connection that waits for all that it has said to be sent."""

    @pytest.mark.parametrize("pieces", [1, 2])
    def test_it_is_told_once_when_all_is_sent_and_how_much_is_not(self, pieces: int) -> None:
        ends = Ends(http2=None, http1=Other)
        other = ends.socket_io.connection
        assert isinstance(other, Other)
        for _ in range(pieces):
            other.say(bytes(200_000))
        other.crowded = True
        ends.socket_io.write()
        assert other.told == 0
        assert 0 < other.unsent_bytes < pieces * 200_000
        while ends.socket_io.has_output:
            ends.drain()
            ends.socket_io.write()
        assert (other.told, other.unsent_bytes) == (1, 0)
        other.say(b"small")
        other.crowded = True
        ends.socket_io.write()
        assert other.told == 2
        other.say(b"small")
        ends.socket_io.write()
        assert other.told == 2
        ends.close()
