"""The other side of a connection, in memory: python-hyper's h2, hpack and hyperframe, which share no code
with ours."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence

import hpack
import hyperframe.frame
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamReset, TrailersReceived
from h2.settings import Settings

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.connection import MAX_UNUSED_BYTES, Connection
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.stream import Stream

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Toys/Echo"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


def request_block(*more: tuple[str, str]) -> bytes:
    """A request's headers by a fresh encoder."""
    return hpack.Encoder().encode([*REQUEST, *more])


def greeting(settings: dict[int, int] | None = None) -> bytes:
    """How a caller begins."""
    return frames.PREFACE + frames.settings(settings or {})


def parse_frames(data: bytes) -> list[hyperframe.frame.Frame]:
    """Bytes as frames; they must end with one."""
    found, view = [], memoryview(data)
    while view:
        frame, length = hyperframe.frame.Frame.parse_frame_header(view[:9])
        frame.parse_body(view[9 : 9 + length])
        assert len(view) >= 9 + length
        view = view[9 + length :]
        found.append(frame)
    return found


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data`, cut at these places."""
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[at:end] for at, end in itertools.pairwise(places)]


def every(size: int, data: bytes) -> list[bytes]:
    """`data` in pieces of a size."""
    return pieces(data, range(0, len(data), size))


class Feeder:
    """Gives a connection its bytes as a socket does: what it leaves comes again, and the memory is another's
    after the call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rest = b""

    def feed(self, *parts: bytes) -> None:
        for part in parts:
            buffer = bytearray(self._rest + part)
            used = self._connection.receive(memoryview(buffer))
            self._rest = bytes(buffer[used:])
            assert len(self._rest) <= MAX_UNUSED_BYTES
            buffer[:] = b"\xee" * len(buffer)


def taken_out(connection: Connection) -> bytes:
    """What a connection has to send, as a socket takes it."""
    data = b"".join(connection.out)
    assert len(data) == connection.out_bytes
    connection.out, connection.out_bytes = [], 0
    return data


class Kept(Stream):
    """Keeps what happens to it."""

    def __init__(self, connection: Connection, number: int, head: Head) -> None:
        super().__init__(connection, number, head)
        self.data = bytearray()
        self.ends = 0
        self.resets = 0
        self.sent = 0

    def on_data(self, data: memoryview, ends: bool) -> None:
        assert self.open
        assert not self.ends
        self.data += data
        self.ends += ends

    def on_reset(self) -> None:
        assert not self.sent
        self.resets += 1

    def on_sent(self) -> None:
        self.sent += 1


class Answer:
    """What came back on one stream."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = bytearray()
        self.trailers: dict[str, str] = {}
        self.reset: int | None = None
        self.trailers_only = False

    @property
    def messages(self) -> list[bytes]:
        """The data as gRPC's messages, none of them compressed."""
        found, rest = [], bytes(self.data)
        while rest:
            assert rest[0] == 0
            length = int.from_bytes(rest[1:5], "big")
            assert len(rest) >= 5 + length
            found.append(rest[5 : 5 + length])
            rest = rest[5 + length :]
        return found

    @property
    def status(self) -> int:
        """As gRPC has it."""
        return int((self.headers if self.trailers_only else self.trailers)["grpc-status"])


def decoded(fields: Sequence[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    return {
        (name if isinstance(name, str) else name.decode()): (
            value if isinstance(value, str) else value.decode()
        )
        for name, value in fields
    }


class Client:
    """h2 as a caller: requests into bytes, bytes into answers."""

    def __init__(self, settings: dict[int, int] | None = None) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        if settings:
            self.h2.local_settings = Settings(client=True, initial_values=settings)  # type: ignore[arg-type]
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.events: list[Event] = []
        self.farewells: list[hyperframe.frame.Frame] = []
        self._rest = b""

    def request(self, *more: tuple[str, str], headers: Sequence[tuple[str, str]] = REQUEST) -> int:
        """Open a stream. Returns its number."""
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, [*headers, *more])
        self.answers[number] = Answer()
        return number

    def take(self, data: bytes) -> None:
        """Bytes from the server."""
        events = self.h2.receive_data(self._without_farewells(data))
        self.events += events
        for event in events:
            answer = self.answers.get(getattr(event, "stream_id", None) or 0)
            if answer is None:
                continue
            if isinstance(event, ResponseReceived):
                assert event.headers is not None
                answer.headers = decoded(event.headers)
                answer.trailers_only = event.stream_ended is not None
            elif isinstance(event, DataReceived):
                answer.data += event.data or b""
            elif isinstance(event, TrailersReceived):
                assert event.headers is not None
                answer.trailers = decoded(event.headers)
            elif isinstance(event, StreamReset):
                answer.reset = int(event.error_code or 0)

    def _without_farewells(self, data: bytes) -> bytes:
        """Whole frames without GOAWAYs, after which h2 hears no answers any more."""
        data, kept = self._rest + data, b""
        while len(data) >= 9 and len(data) >= (end := 9 + int.from_bytes(data[:3], "big")):
            if data[3] == frames.GOAWAY:
                self.farewells += parse_frames(data[:end])
            else:
                kept += data[:end]
            data = data[end:]
        self._rest = data
        return kept


class Pair:
    """A connection of ours with h2 for a caller.

    Args:
        size: of the pieces that the connection gets its bytes in; 0: whole.
    """

    def __init__(
        self, *, size: int = 0, max_streams: int = 100, settings: dict[int, int] | None = None
    ) -> None:
        self.outputs = 0
        self.connection = Connection(Kept, max_streams, self._on_output, time.monotonic)
        self.client = Client(settings)
        self.streams: dict[int, Kept] = {}
        self._feeder = Feeder(self.connection)
        self._size = size
        self.exchange()

    def _on_output(self) -> None:
        assert not self.connection.out
        self.outputs += 1

    def request(self, message: bytes | None = None, *more: tuple[str, str], pad: int | None = None) -> Kept:
        """Open a stream, and send a message and the end if there is one; the server's side of it."""
        number = self.client.request(*more)
        if message is not None:
            self.client.h2.send_data(number, prefixed(message), end_stream=True, pad_length=pad)
        self.exchange()
        return self.stream(number)

    def stream(self, number: int) -> Kept:
        if number not in self.streams:
            stream = self.connection.streams[number]
            assert isinstance(stream, Kept)
            self.streams[number] = stream
        return self.streams[number]

    def to_server(self) -> int:
        data = self.client.h2.data_to_send()
        if data:
            self._feeder.feed(*(every(self._size, data) if self._size else [data]))
        return len(data)

    def to_client(self) -> int:
        data = taken_out(self.connection)
        if data:
            self.client.take(data)
        return len(data)

    def exchange(self) -> None:
        """Until both have said all."""
        while self.to_server() + self.to_client():
            pass

    def answer(self, stream: Stream) -> Answer:
        self.exchange()
        return self.client.answers[stream.number]


def prefixed(message: bytes, flag: int = 0) -> bytes:
    """A message as gRPC puts it into a stream."""
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message
