"""A real grpc server on 127.0.0.1 over a service of toys; no model anywhere."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from hotgraph_server.settings import ListenSettings
from hotgraph_server.transport.load_trailers import LoadTrailers
from hotgraph_server.transport.server import CallServer
from hotgraph_server.transport.service import Admit, PlainMethod, Reply, Service, Tell

# Nothing in these tests takes long; a test that waits this long has failed.
PATIENCE_S = 60.0

# The servers that can carry calls, as the settings that choose them. Every test of hot calls runs on each.
TRANSPORTS: dict[str, dict[str, Any]] = {"http2": {"fast_lane": True}, "grpcio": {"fast_lane": False}}

Serve = Callable[..., CallServer]
Connect = Callable[[CallServer], grpc.Channel]


class Toys:
    """The service ``test.Toys``. Hot methods:

    * Echo answers from another thread, with the request's bytes.
    * Hold hands the call to the test, which answers it; `held` has request and reply.
    * Fail raises `error` at once, FailLater when the answer is encoded, in another thread.

    And plain ones, of StringValue: Plain echoes, PlainFail raises `error`, PlainLater does what Echo does.
    """

    def __init__(self) -> None:
        self.error: Exception = ValueError("unset")
        self.held: queue.Queue[tuple[bytes, Reply]] = queue.Queue()
        self._open: list[Reply] = []
        self.service = Service(
            name="test.Toys",
            descriptor=wrappers_pb2.DESCRIPTOR,
            hot={
                "Echo": self._echo,
                "Hold": self._hold,
                "Fail": self._fail,
                "FailLater": self._fail_later,
            },
            plain={
                "Plain": PlainMethod(wrappers_pb2.StringValue, lambda request: request),
                "PlainFail": PlainMethod(wrappers_pb2.StringValue, self._raise),
                "PlainLater": PlainMethod(wrappers_pb2.StringValue, self._raise, self._echo),
            },
        )

    def next_held(self) -> Reply:
        """The reply of the next call of Hold; `release` it."""
        _, reply = self.held.get(timeout=PATIENCE_S)
        return reply

    def release(self, reply: Reply, answer: bytes = b"released") -> None:
        """Answer a held call."""
        self._open.remove(reply)
        reply.finish(lambda: answer)

    def forget(self, reply: Reply) -> None:
        """The test answers a held call by itself."""
        self._open.remove(reply)

    def release_all(self) -> None:
        """Answer every call that is still held."""
        for reply in list(self._open):
            self.release(reply)

    def _echo(self, message: bytes, reply: Reply) -> None:
        # A message that says who encoded it would differ between the servers; who finishes does not.
        threading.Thread(target=reply.finish, args=(lambda: message,), name="toy executor").start()

    def _hold(self, message: bytes, reply: Reply) -> None:
        self._open.append(reply)
        self.held.put((message, reply))

    def _fail(self, message: bytes, reply: Reply) -> None:
        raise self.error

    def _fail_later(self, message: bytes, reply: Reply) -> None:
        threading.Thread(target=reply.finish, args=(lambda: self._raise(message),)).start()

    def _raise(self, _: Any) -> Any:
        raise self.error


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings that choose what carries calls."""
    return TRANSPORTS[request.param]


@pytest.fixture
def toys() -> Iterator[Toys]:
    toys = Toys()
    yield toys
    toys.release_all()


@pytest.fixture
def serve(transport: dict[str, Any], toys: Toys) -> Iterator[Serve]:
    """Starts servers: ``serve(*services, **listen_settings)``, of the toys if no service is given, with
    `admit` at their door and `tell` told of failures if those are, and with answers that say of the load what
    `load` does."""
    servers: list[CallServer] = []

    def start(
        *services: Service,
        admit: Admit | None = None,
        load: LoadTrailers | None = None,
        tell: Tell | None = None,
        **listen: Any,
    ) -> CallServer:
        settings = ListenSettings(**{"port": 0, **transport, **listen})
        server = CallServer(settings, services or [toys.service], admit, load=load, tell=tell)
        servers.append(server)
        server.start()
        return server

    yield start
    # Held calls would keep their threads, and these the interpreter.
    toys.release_all()
    for server in servers:
        server.stop(0)


@pytest.fixture
def server(serve: Serve) -> CallServer:
    """A server of the toys."""
    return serve()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens channels to servers, without limits on messages."""
    channels: list[grpc.Channel] = []

    def open_channel(server: CallServer) -> grpc.Channel:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        channel = grpc.insecure_channel(server.address, options)
        channels.append(channel)
        return channel

    yield open_channel
    for channel in channels:
        channel.close()


@pytest.fixture
def channel(server: CallServer, connect: Connect) -> grpc.Channel:
    """A channel to `server`."""
    return connect(server)


def hot(channel: grpc.Channel, method: str) -> Any:
    """A hot method of the toys: bytes to bytes."""
    return channel.unary_unary(f"/test.Toys/{method}")


def plain(channel: grpc.Channel, method: str = "Plain") -> Any:
    """A plain method of the toys."""
    return channel.unary_unary(
        f"/test.Toys/{method}",
        request_serializer=wrappers_pb2.StringValue.SerializeToString,
        response_deserializer=wrappers_pb2.StringValue.FromString,
    )
