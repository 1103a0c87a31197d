"""Servers that the tests have in their hand: of h2, of bytes written by hand, behind real sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings

MESSAGE = b"abc"
BODY = b"\x00\x00\x00\x00\x03abc"
HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]

Talk = Callable[[socket.socket], None]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


class Server:
    """The other end. Takes what is sent, and gives windows back only when told."""

    def __init__(self, **settings: int) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        codes = {h2.settings.SettingCodes[name]: value for name, value in settings.items()}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=codes)
        self.h2.initiate_connection()
        self.headers: dict[int, dict[bytes, bytes]] = {}
        self.bodies: dict[int, bytes] = {}
        self.whole: list[int] = []
        self.reset: list[int] = []
        self.gives_windows_back = False

    def receive(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.headers[event.stream_id] = dict(event.headers)
                self.bodies[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                if self.gives_windows_back:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.whole.append(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset.append(event.stream_id)

    def answer(self, stream: int, message: bytes = BODY, status: int = 0, padding: int | None = None) -> None:
        self.h2.send_headers(stream, HEAD)
        for start in range(0, len(message), 16_000):
            self.h2.send_data(stream, message[start : start + 16_000], pad_length=padding)
        self.h2.send_headers(stream, [(b"grpc-status", b"%d" % status)], end_stream=True)

    def refuse(self, stream: int, status: int, text: bytes = b"") -> None:
        fields = [*HEAD, (b"grpc-status", b"%d" % status), (b"grpc-message", text)]
        self.h2.send_headers(stream, fields, end_stream=True)


@dataclass
class Serving:
    """A server that listens.

    Attributes:
        connections: how many were made; `open` of them are.
    """

    port: int
    path: str = ""
    connections: int = 0
    open: int = 0
    most_open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, change: int) -> None:
        with self.lock:
            self.connections += change > 0
            self.open += change
            self.most_open = max(self.most_open, self.open)


@contextlib.contextmanager
def serving(
    talk: Talk, *, port: int = 0, path: str = "", context: ssl.SSLContext | None = None
) -> Iterator[Serving]:
    """A server that has `talk` for each connection; at the end it hangs up."""
    threads: list[threading.Thread] = []
    socks: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            stack.callback(told.count, -1)
            if context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_side=True))
            talk(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                socks.append(sock)
                told.count(1)
                threads.append(threading.Thread(target=serve, args=(sock,), name="talk"))
                threads[-1].start()

    if path:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        told = Serving(0, path)
    else:
        listener = socket.create_server(("127.0.0.1", port))
        told = Serving(listener.getsockname()[1])
    with listener:
        accepting = threading.Thread(target=accept, name="accepting")
        accepting.start()
        try:
            yield told
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for sock in socks:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def grpc_talk(answer: Callable[[Server, int], bytes | None]) -> Talk:
    """HTTP/2: `answer` for each call that has come whole, which may return bytes that go after it."""

    def talk(sock: socket.socket) -> None:
        server, answered = Server(), 0
        server.gives_windows_back = True
        sock.sendall(server.h2.data_to_send())
        while data := sock.recv(65_536):
            server.receive(data)
            for stream in server.whole[answered:]:
                after = answer(server, stream) or b""
                sock.sendall(server.h2.data_to_send() + after)
            answered = len(server.whole)
            sock.sendall(server.h2.data_to_send())

    return talk


def http_talk(answer: Callable[[bytes], bytes]) -> Talk:
    """HTTP/1.1: `answer` to the body of each request; nothing: hang up."""

    def talk(sock: socket.socket) -> None:
        reader = sock.makefile("rb")
        while True:
            length = 0
            while (line := reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if not line:
                return
            answered = answer(reader.read(length))
            if not answered:
                return
            sock.sendall(answered)

    return talk


def http_answer(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """An answer of HTTP/1.1."""
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, headers, len(body), body)
