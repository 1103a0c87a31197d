"""Peers that speak HTTP/2 by hand, to do what no client's library would do."""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import hpack

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.frames import END_HEADERS, END_STREAM, HEADER_BYTES, frame
from hotgraph_server.transport.http2.header_blocks import literal

KSERVE = "/inference.GRPCInferenceService/"
GREETING = frames.PREFACE + frames.settings({})
PATIENCE_S = 30.0

# Of which one send is made.
_CHUNK_BYTES = 60_000

Wire = Callable[[], Iterator[bytes]]
"""What a peer sends after its greeting, in pieces; as a rule without an end."""


def fields(method: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """A call's headers; `method` with its service, of the Open Inference Protocol's if it names none."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method if method.startswith("/") else KSERVE + method),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]


def opening(number: int, method: str, *more: tuple[str, str], encoder: hpack.Encoder | None = None) -> bytes:
    """Headers that open a stream."""
    block = (encoder or hpack.Encoder()).encode(fields(method, *more), huffman=False)
    return frame(frames.HEADERS, END_HEADERS, number, block)


def message(content: bytes, flag: int = 0) -> bytes:
    """gRPC's message of it."""
    return struct.pack(">BI", flag, len(content)) + content


def data(number: int, content: bytes, flags: int = 0) -> bytes:
    """DATA frames that any peer takes."""
    parts = [content[at : at + 16_000] for at in range(0, len(content), 16_000)] or [b""]
    last = len(parts) - 1
    return b"".join(frame(0, flags if at == last else 0, number, part) for at, part in enumerate(parts))


def again(*parts: bytes) -> Wire:
    """The first parts, and the last one again and again."""
    *first, repeated = parts
    chunk = repeated * max(_CHUNK_BYTES // len(repeated), 1)
    return lambda: itertools.chain(first, itertools.repeat(chunk))


def streams(make: Callable[[int, hpack.Encoder], bytes]) -> Wire:
    """One stream after another, each as `make` has it."""

    def wire() -> Iterator[bytes]:
        encoder, chunk = hpack.Encoder(), b""
        for number in range(1, 2**31, 2):
            chunk += make(number, encoder)
            if len(chunk) >= _CHUNK_BYTES:
                yield chunk
                chunk = b""

    return wire


class Peer:
    """A connection that sends a wire until it is over, and reads all that it gets.

    Attributes:
        gone_away: the code of the last GOAWAY that came; None: none did.
        lost: the server has closed the connection.
        statuses: of the streams that ended with trailers: gRPC's code.
        resets: of the streams that were reset: HTTP/2's code.
    """

    def __init__(self, address: str, greeting: bytes = GREETING, tls: ssl.SSLContext | None = None) -> None:
        host, _, port = address.rpartition(":")
        sock = socket.create_connection((host, int(port)), PATIENCE_S)
        self._sock = tls.wrap_socket(sock, server_hostname="localhost") if tls is not None else sock
        self.gone_away: int | None = None
        self.lost = False
        self.statuses: dict[int, int] = {}
        self.resets: dict[int, int] = {}
        self._decoder = hpack.Decoder()
        self._unread = b""
        self._sock.sendall(greeting)

    def send(self, part: bytes) -> bool:
        """Returns whether it went."""
        try:
            self._sock.sendall(part)
        except OSError:
            return False
        return True

    def read(self) -> bool:
        """Take in what comes. Returns whether the connection goes on."""
        try:
            part = self._sock.recv(2**18)
        except (OSError, ValueError):
            part = b""
        if not part:
            self.lost = True
            return False
        self._unread += part
        at = 0
        while len(self._unread) - at >= HEADER_BYTES:
            word, flags, number = frames.FRAME_HEADER.unpack_from(self._unread, at)
            end = at + HEADER_BYTES + (word >> 8)
            if len(self._unread) < end:
                break
            self._on_frame(word & 0xFF, flags, number, self._unread[at + HEADER_BYTES : end])
            at = end
        self._unread = self._unread[at:]
        return True

    def send_until(self, wire: Wire, done: Callable[[Peer], object]) -> None:
        """Send, and read meanwhile, until something has come; fails if it never does."""
        reader = threading.Thread(target=self.read_on)
        reader.start()
        ends_at = time.monotonic() + PATIENCE_S
        for part in wire():
            if done(self) or not self.send(part):
                break
            assert time.monotonic() < ends_at, f"nothing came; resets {self.resets}"
        while not done(self):
            assert time.monotonic() < ends_at, f"nothing came; resets {self.resets}"
            time.sleep(0.01)
        self.close()
        reader.join()

    def read_on(self) -> None:
        """Until the connection ends."""
        while self.read():
            pass

    def read_until(self, done: Callable[[Peer], object]) -> None:
        """Read until something has come; fails if the connection ends or nothing comes."""
        while not done(self):
            assert self.read(), f"statuses {self.statuses}, resets {self.resets}, GOAWAY {self.gone_away}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _on_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == frames.GOAWAY:
            self.gone_away = struct.unpack_from(">II", payload)[1]
        elif kind == frames.RST_STREAM:
            self.resets[number] = int.from_bytes(payload, "big")
        elif kind == frames.HEADERS:
            found = {str(name): str(value) for name, value in self._decoder.decode(payload)}
            if flags & END_STREAM:
                self.statuses[number] = int(found["grpc-status"])


def _calls(number: int, encoder: hpack.Encoder, method: str, content: bytes) -> bytes:
    return opening(number, method, encoder=encoder) + data(number, message(content), END_STREAM)


def _reset(number: int, encoder: hpack.Encoder) -> bytes:
    return opening(number, "ModelInfer", encoder=encoder) + frames.rst_stream(number, frames.Code.CANCEL)


_LITERAL = b"".join(literal(*field) for field in fields("ServerLive"))


def _churn(number: int, encoder: hpack.Encoder) -> bytes:
    entry = b"\x40" + literal(f"x-{number}", "y" * 50)[1:]
    return frame(frames.HEADERS, END_HEADERS, number, _LITERAL + entry)


def _fragments() -> Iterator[bytes]:
    block = hpack.Encoder().encode(fields("ServerLive", ("x", "y" * 10_000)))
    one = [block[at : at + 1] for at in range(len(block))]
    for number in itertools.count(1, 2):
        yield (
            frame(frames.HEADERS, 0, number, one[0])
            + b"".join(frame(frames.CONTINUATION, 0, number, part) for part in one[1:-1])
            + frame(frames.CONTINUATION, END_HEADERS, number, one[-1])
        )


_NAMED = b"\x0a\x06digits"
_ANNOUNCES = message(b"")[:1] + struct.pack(">I", 2**20)

CUT_OFF: dict[str, Wire] = {
    "PING": again(frame(frames.PING, 0, 0, bytes(8))),
    "SETTINGS": again(frames.settings({})),
    "SETTINGS of windows": again(
        frames.settings({frames.INITIAL_WINDOW_SIZE: 1}) + frames.settings({frames.INITIAL_WINDOW_SIZE: 2})
    ),
    "empty DATA": again(opening(1, "ModelInfer"), frame(frames.DATA, 0, 1)),
    "rapid reset": streams(_reset),
    "WINDOW_UPDATE": again(opening(1, "ModelInfer"), frames.window_update(1, 1)),
    "PRIORITY": again(frame(frames.PRIORITY, 0, 1, bytes(5))),
    "table churn": streams(_churn),
    "unknown frames": again(frame(0xEE, 0, 0)),
    "CONTINUATION": _fragments,
}
"""What carries no call; whoever sends much of it is told ENHANCE_YOUR_CALM."""

BORNE: dict[str, Wire] = {
    "DATA of one byte": again(opening(1, "ModelInfer") + data(1, _ANNOUNCES), frame(frames.DATA, 0, 1, b"x")),
    "ModelStatistics": streams(functools.partial(_calls, method="ModelStatistics", content=b"")),
    "ModelMetadata": streams(functools.partial(_calls, method="ModelMetadata", content=_NAMED)),
    "health": streams(functools.partial(_calls, method="/grpc.health.v1.Health/Check", content=b"")),
    "calls without a message": streams(
        lambda number, encoder: opening(number, "ModelInfer", encoder=encoder) + data(number, b"", END_STREAM)
    ),
    "calls to nowhere": streams(functools.partial(_calls, method="Nothing", content=b"")),
}
"""What looks like work, and is done in its turn."""


class Flood:
    """Connections that send a wire as fast as it is taken, each in two threads of its own.

    Args:
        address: of the server.
        wire: what each sends.
        count: of the connections.
        for_s: how long.
        comes_back: whoever is cut off makes a new connection.
        reads: what is sent back.
        tls: wraps every connection.

    Attributes:
        told: the code of the GOAWAY that each connection got that the server has closed.
    """

    def __init__(
        self,
        address: str,
        wire: Wire,
        count: int,
        for_s: float,
        *,
        comes_back: bool = False,
        reads: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.told: list[int | None] = []
        self._connect = functools.partial(Peer, address, tls=tls)
        self._wire = wire
        self._ends_at = time.monotonic() + for_s
        self._comes_back, self._reads = comes_back, reads
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """For its end."""
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            over = not self._once()
            if over or not self._comes_back:
                return

    def _once(self) -> bool:
        """One connection. Returns whether it ended before its time."""
        peer = self._connect()
        reader = threading.Thread(target=peer.read_on)
        if self._reads:
            reader.start()
        # Wakes a send for which there is no room, too.
        timer = threading.Timer(max(self._ends_at - time.monotonic(), 0.0), peer.close)
        timer.start()
        for part in self._wire():
            if not peer.send(part):
                break
        cut_off = time.monotonic() < self._ends_at
        if cut_off and self._reads:
            reader.join()
            self.told.append(peer.gone_away)
        timer.cancel()
        timer.join()
        peer.close()
        if self._reads:
            reader.join()
        return cut_off
