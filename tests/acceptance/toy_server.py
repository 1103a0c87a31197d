"""A gRPC server whose every call takes the same time, one after the other: M/D/1, if they come by chance.

It is a process of its own, with one thread, and keeps to its service time by the clock and not by working: a
call is done a service after it came or after the one before was done, whichever is later, whatever reading
and writing cost. Each call's coming and going is kept, and written down at the end.

Of gRPC and HTTP/2 it knows as much as that takes; answers are far smaller than any window, whose updates it
therefore does not read.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hpack import Decoder
from numpy.typing import NDArray

from hotgraph_protos import open_inference as oip

MODEL = "toy"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_END_STREAM, _ACK, _PADDED, _PRIORITY = 0x1, 0x1, 0x8, 0x20
_INFER = "/inference.GRPCInferenceService/ModelInfer"
_METADATA = "/inference.GRPCInferenceService/ModelMetadata"

_ANSWERED = b"\x88\x0f\x10\x10application/grpc"  # :status 200, content-type
_START_S = 30.0

_SPIN_S = 0.0005
"""Before a call is done nothing sleeps: a timer of the system wakes its sleepers later than they asked."""


def _field(name: bytes, value: bytes) -> bytes:
    """A header that no table keeps (RFC 7541, section 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _answer(stream: int, message: bytes, status: int = 0) -> bytes:
    headers = _frame(_HEADERS, 0x4, stream, _ANSWERED)
    body = _frame(_DATA, 0, stream, b"\0" + struct.pack(">I", len(message)) + message) if status == 0 else b""
    trailers = _field(b"grpc-status", str(status).encode())
    return headers + body + _frame(_HEADERS, 0x4 | _END_STREAM, stream, trailers)


def _metadata() -> bytes:
    tensor = oip.ModelMetadataResponse.TensorMetadata
    return oip.ModelMetadataResponse(
        name=MODEL,
        versions=["1"],
        platform="toy",
        inputs=[tensor(name="x", datatype="FP32", shape=[-1, 1])],
        outputs=[tensor(name="y", datatype="FP32", shape=[-1, 1])],
    ).SerializeToString()


def _inferred() -> bytes:
    output = oip.ModelInferResponse.InferOutputTensor(name="y", datatype="FP32", shape=[1, 1])
    return oip.ModelInferResponse(
        model_name=MODEL, model_version="1", outputs=[output], raw_output_contents=[struct.pack("<f", 1.0)]
    ).SerializeToString()


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unread = b""
        self.greeted = False
        self.decoder = Decoder()
        self.paths: dict[int, str] = {}

    def send(self, data: bytes) -> None:
        # who has hung up is no matter of ours
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def requests(self, data: bytes) -> Iterator[tuple[int, str]]:
        """Stream and path of each request that is whole now."""
        self.unread += data
        if not self.greeted:
            if len(self.unread) < len(_PREFACE):
                return
            self.unread = self.unread[len(_PREFACE) :]
            self.greeted = True
            self.send(_frame(_SETTINGS, 0, 0, b""))
        while len(self.unread) >= 9:
            size = int.from_bytes(self.unread[:3], "big")
            if len(self.unread) < 9 + size:
                return
            kind, flags = self.unread[3], self.unread[4]
            stream = int.from_bytes(self.unread[5:9], "big")
            payload, self.unread = self.unread[9 : 9 + size], self.unread[9 + size :]
            if self._took(kind, flags, stream, payload):
                yield stream, self.paths.pop(stream)

    def _took(self, kind: int, flags: int, stream: int, payload: bytes) -> bool:
        if kind == _SETTINGS and not flags & _ACK:
            self.send(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self.send(_frame(_PING, _ACK, 0, payload))
        elif kind == _HEADERS:
            assert not flags & (_PADDED | _PRIORITY) or flags & _PRIORITY, "padding is not read"
            block = payload[5:] if flags & _PRIORITY else payload
            headers: Any = dict(self.decoder.decode(block))
            self.paths[stream] = str(headers[":path"])
        elif kind == _DATA and payload:
            size = struct.pack(">I", len(payload))
            self.send(_frame(_WINDOW_UPDATE, 0, 0, size) + _frame(_WINDOW_UPDATE, 0, stream, size))
        return kind in (_DATA, _HEADERS) and bool(flags & _END_STREAM) and stream in self.paths


@dataclass
class _Call:
    connection: _Connection
    stream: int
    came_s: float
    done_s: float


class Toy:
    """See above; `serve` returns when a signal has ended it."""

    def __init__(self, service_s: float, stall: tuple[float, float] | None) -> None:
        self._service_s = service_s
        self._stall = stall
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self._connections: dict[socket.socket, _Connection] = {}
        self._waiting: deque[_Call] = deque()
        self._free_s = 0.0
        self._first_s: float | None = None
        self.log: list[tuple[float, float]] = []
        self.ended = False

    def serve(self) -> None:
        while not self.ended:
            left = self._waiting[0].done_s - time.monotonic() if self._waiting else 0.1
            wait = max(left - _SPIN_S, 0.0)
            readable, _, _ = select.select([self._listening, *self._connections], [], [], wait)
            self._maybe_stall(time.monotonic())
            # what came was there before what goes now
            for sock in readable:
                self._read(sock)
            self._answer_done()

    def _read(self, sock: socket.socket) -> None:
        if sock is self._listening:
            accepted, _ = self._listening.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[accepted] = _Connection(accepted)
            return
        connection = self._connections[sock]
        try:
            data = sock.recv(2**18)
        except OSError:
            data = b""
        if not data:
            del self._connections[sock]
            sock.close()
            return
        now = time.monotonic()
        for stream, path in connection.requests(data):
            if path == _INFER:
                self._first_s = now if self._first_s is None else self._first_s
                self._free_s = max(self._free_s, now) + self._service_s
                self._waiting.append(_Call(connection, stream, now, self._free_s))
            elif path == _METADATA:
                connection.send(_answer(stream, _metadata()))
            else:
                connection.send(_answer(stream, b"", status=12))

    def _answer_done(self) -> None:
        while self._waiting and self._waiting[0].done_s <= time.monotonic():
            call = self._waiting.popleft()
            # noted before it leaves: a caller may have it before this thread goes on
            self.log.append((call.came_s, time.monotonic()))
            call.connection.send(_answer(call.stream, _INFERRED))

    def _maybe_stall(self, now: float) -> None:
        """From a moment on nothing is served for a while; what comes meanwhile is noted when it comes."""
        if self._stall is None or self._first_s is None or now < self._first_s + self._stall[0]:
            return
        for call in self._waiting:
            call.done_s += self._stall[1]
        self._free_s = max(self._free_s, now) + self._stall[1]
        self._stall = None


_INFERRED = _inferred()


@dataclass
class Log:
    """What a toy has noted.

    Attributes:
        came_s: when each call had come, in order.
        there_ms: how long it was there, to the answer's sending.
    """

    came_s: NDArray[np.float64]
    there_ms: NDArray[np.float64]

    def percentile_ms(self, share: float) -> float:
        """As HdrHistogram has it: the least that so many are not above."""
        place = max(int(np.ceil(share * len(self.there_ms) - 1e-9)), 1) - 1
        return float(np.sort(self.there_ms)[place])


class RunningToy:
    """A toy in its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.address = f"127.0.0.1:{int(process.stdout.readline())}"

    def log(self) -> Log:
        """End it, and what it has noted."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=_START_S)
        noted: Any = json.loads(out)
        pairs = np.array(noted, np.float64).reshape(-1, 2)
        return Log(pairs[:, 0], 1e3 * (pairs[:, 1] - pairs[:, 0]))


@contextmanager
def toy(service_s: float, *, stall_at_s: float | None = None, stall_s: float = 0.0) -> Iterator[RunningToy]:
    """A toy server, gone at the end; it stalls so long after its first call."""
    words = ["--service-s", str(service_s)]
    if stall_at_s is not None:
        words += ["--stall-at-s", str(stall_at_s), "--stall-s", str(stall_s)]
    command = [sys.executable, "-m", "tests.acceptance.toy_server", *words]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        yield RunningToy(process)
    finally:
        process.kill()
        process.communicate()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--service-s", type=float, required=True)
    parser.add_argument("--stall-at-s", type=float)
    parser.add_argument("--stall-s", type=float, default=0.0)
    arguments = parser.parse_args()
    stall = None if arguments.stall_at_s is None else (arguments.stall_at_s, arguments.stall_s)
    server = Toy(arguments.service_s, stall)

    def end(*_: object) -> None:
        server.ended = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(server.port, flush=True)
    server.serve()
    json.dump(server.log, sys.stdout)


if __name__ == "__main__":
    _main()
