"""Servers on 127.0.0.1 over a service of toys, and callers that speak HTTP/2 by h2 over plain sockets."""

from __future__ import annotations

import math
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import wrappers_pb2

from hotgraph_server.transport.http import Api
from hotgraph_server.transport.http1.incoming import Http
from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.listening import listen
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import OpenStream, PlainMethod, Reply, Service, StreamingMethod
from hotgraph_server.transport.sockets.door import Door
from hotgraph_server.transport.sockets.receive_coalescing import ReceiveCoalescer
from hotgraph_server.transport.sockets.server import SocketServer
from hotgraph_server.transport.sockets.times import Times
from hotgraph_server.transport.thread_pool import ThreadPool, stop

from ..conftest import PATIENCE_S
from .peer import REQUEST, Answer, Client, prefixed


class Toys:
    """The service ``test.Toys``: Echo answers at once, Hold hands its calls to the test, Fail is a bug, Chat
    hands its streams to the test and echoes, Plain echoes a StringValue."""

    def __init__(self) -> None:
        self.held: queue.Queue[tuple[Any, Reply]] = queue.Queue()
        self.chats: queue.Queue[OpenStream] = queue.Queue()
        self.service = Service(
            name="test.Toys",
            descriptor=wrappers_pb2.DESCRIPTOR,
            hot={"Echo": self._echo, "Hold": self._hold, "Fail": self._fail},
            plain={"Plain": PlainMethod(wrappers_pb2.StringValue, lambda request: request)},
            streaming={"Chat": StreamingMethod(self._chat)},
        )

    def next_held(self) -> Reply:
        return self.held.get(timeout=PATIENCE_S)[1]

    def next_chat(self) -> OpenStream:
        return self.chats.get(timeout=PATIENCE_S)

    def _echo(self, message: Any, reply: Reply) -> None:
        reply.finish(lambda: bytes(message))

    def _hold(self, message: Any, reply: Reply) -> None:
        self.held.put((message, reply))

    def _fail(self, message: Any, reply: Reply) -> None:
        raise ZeroDivisionError("the secret")

    def _chat(self, stream: OpenStream) -> Callable[[Any], None]:
        def receive(message: Any) -> None:
            if message is None:
                stream.end()
            else:
                stream.send(bytes(message))

        self.chats.put(stream)
        return receive


class Serving:
    """A SocketServer with what it needs; with an `api`, HTTP/1.1 is spoken too, and alone if not `grpc`.

    Attributes:
        calls: how many it owes an answer.
    """

    def __init__(
        self,
        services: list[Service],
        tls: ssl.SSLContext | None = None,
        *,
        listener: socket.socket | None = None,
        coalescer: ReceiveCoalescer | None = None,
        times: Times | None = None,
        api: Api | None = None,
        grpc: bool = True,
        body_s: float = math.inf,
        answer_s: float = math.inf,
        **options: int,
    ) -> None:
        self.calls = OpenCalls()
        sockets = [listener] if listener is not None else listen("127.0.0.1", 0)[0]
        self.port = sockets[0].getsockname()[1]
        self.decoders = ThreadPool(1, "decoding")
        self.server = SocketServer(
            [Door(one, None if tls is None else lambda: tls, grpc) for one in sockets],
            services,
            max_calls=options.get("max_calls", 100),
            max_message_bytes=options.get("max_message_bytes", 64 * 2**20),
            inflight=Inflight(options.get("max_inflight_bytes", 512 * 2**20)),
            aside=self.decoders.submit,
            open_calls=self.calls,
            coalescer=coalescer,
            times=times,
            http=None if api is None else Http(api, self.decoders.submit, answer_s, body_s),
        )
        self.server.start()

    def set_times(self, **times: float) -> None:
        """From the next round on, which is now."""
        with self.server.connections_lock:
            self.server.connections.times = Times(**times)
            self.server.connections.next_look = 0.0
        self.server.wake()

    def stop(self) -> None:
        self.server.stop(PATIENCE_S)
        stop([self.decoders], time.monotonic() + PATIENCE_S)


class Caller:
    """A caller on a socket. Waits for what it is asked for, and fails if that does not come."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.client = Client()
        self.closed = False
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.client.h2.data_to_send())

    def call(self, method: str, message: bytes | None = b"", *more: tuple[str, str], end: bool = True) -> int:
        """Open a call, of a message if there is one. Returns its stream."""
        fields = {**dict(REQUEST), ":path": f"/test.Toys/{method}"}
        number = self.client.request(*more, headers=list(fields.items()))
        if message is not None:
            self.send(number, prefixed(message), end)
        self.flush()
        return number

    def send(self, number: int, wire: bytes, end: bool = False) -> None:
        """Data as the windows have room for it."""
        h2 = self.client.h2
        while True:
            room = min(h2.local_flow_control_window(number), h2.max_outbound_frame_size)
            piece, wire = wire[:room], wire[room:]
            h2.send_data(number, piece, end_stream=end and not wire)
            self.flush()
            if not wire:
                return
            while not h2.local_flow_control_window(number):
                self.receive()

    def reset(self, number: int) -> None:
        self.client.h2.reset_stream(number, frames.Code.CANCEL)
        self.flush()

    def receive(self) -> None:
        """Once; gives room back at once."""
        received = self.sock.recv(2**18)
        self.closed |= not received
        before = {number: len(answer.data) for number, answer in self.client.answers.items()}
        self.client.take(received)
        for number, answer in self.client.answers.items():
            grown = len(answer.data) - before[number]
            if grown:
                self.client.h2.increment_flow_control_window(grown)
                if not answer.trailers and answer.reset is None:
                    self.client.h2.increment_flow_control_window(grown, number)
        self.flush()

    def until(self, true: Callable[[], Any]) -> None:
        """Receive until something is so."""
        while not true():
            assert not self.closed
            self.receive()

    def answer(self, number: int) -> Answer:
        """The whole answer of a call."""
        answer = self.client.answers[number]
        self.until(lambda: answer.trailers or answer.trailers_only or answer.reset is not None)
        return answer

    def ping(self) -> None:
        """Come back when the server has heard all that was said."""
        seen = len(self.client.events)
        self.client.h2.ping(b"are you?")
        self.flush()
        self.until(
            lambda: any(type(event).__name__ == "PingAckReceived" for event in self.client.events[seen:])
        )

    def until_closed(self) -> None:
        """The server closes the connection."""
        try:
            while self.sock.recv(2**18):
                pass
        except ConnectionError:
            pass
        self.closed = True

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def toys() -> Toys:
    return Toys()


@pytest.fixture
def serve(toys: Toys) -> Iterator[Callable[..., Serving]]:
    """Starts servers of the toys; afterwards nothing of them is left, neither thread nor socket."""
    started: list[Serving] = []
    before = set(threading.enumerate())

    def start(*services: Service, **options: Any) -> Serving:
        started.append(Serving(list(services) or [toys.service], **options))
        return started[-1]

    yield start
    for serving in started:
        serving.stop()
        assert serving.calls.wait_until_none(0)
    assert set(threading.enumerate()) <= before


@pytest.fixture
def serving(serve: Callable[..., Serving]) -> Serving:
    """A server of the toys."""
    return serve()


@pytest.fixture
def connect() -> Iterator[Callable[..., Caller]]:
    """Opens connections to servers."""
    callers: list[Caller] = []

    def open_connection(serving: Serving, tls: ssl.SSLContext | None = None) -> Caller:
        callers.append(Caller(serving.port, tls))
        return callers[-1]

    yield open_connection
    for caller in callers:
        caller.close()


@pytest.fixture
def caller(serving: Serving, connect: Callable[..., Caller]) -> Caller:
    """A caller of `serving`."""
    return connect(serving)
