"""The server's port and its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from hotgraph_server.errors import NotReady, StartError
from hotgraph_server.settings import ListenSettings
from hotgraph_server.transport.server import CallServer
from hotgraph_server.transport.service import (
    LARGE_MESSAGE,
    OpenStream,
    PlainMethod,
    Reply,
    Service,
    StreamingMethod,
)

from .conftest import PATIENCE_S, Connect, Serve, Toys, hot, plain


class TestAddress:
    def test_port_zero_is_a_free_one_which_the_address_tells(self, serve: Serve, connect: Connect) -> None:
        first, second = serve(), serve()
        host, _, port = first.address.rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        assert first.address != second.address
        assert hot(connect(second), "Echo")(b"well", timeout=PATIENCE_S) == b"well"

    def test_address_of_version_six_is_written_in_brackets(self, serve: Serve, connect: Connect) -> None:
        server = serve(host="::1")
        assert server.address.startswith("[::1]:")
        assert hot(connect(server), "Echo")(b"well", timeout=PATIENCE_S) == b"well"

    def test_port_in_use_is_told_with_the_address(
        self, server: CallServer, transport: dict[str, Any], toys: Toys
    ) -> None:
        port = int(server.address.rpartition(":")[2])
        with pytest.raises(StartError, match=rf"cannot listen on 127\.0\.0\.1:{port}: the port is in use"):
            CallServer(ListenSettings(port=port, **transport), [toys.service])

    @pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "::2"])
    def test_address_that_is_not_this_machines_is_told(
        self, host: str, transport: dict[str, Any], toys: Toys
    ) -> None:
        with pytest.raises(StartError, match=r"cannot listen on .*the address is not this machine's"):
            CallServer(ListenSettings(host=host, port=0, **transport), [toys.service])

    def test_port_is_free_again_after_the_stop(self, server: CallServer, serve: Serve) -> None:
        port = int(server.address.rpartition(":")[2])
        server.stop(PATIENCE_S)
        assert serve(port=port).address == server.address

    def test_calls_are_answered_only_after_the_start(self, transport: dict[str, Any], toys: Toys) -> None:
        server = CallServer(ListenSettings(port=0, **transport), [toys.service])
        with grpc.insecure_channel(server.address) as channel:
            call = hot(channel, "Echo").future(b"early", wait_for_ready=True, timeout=PATIENCE_S)
            assert not call.done()
            server.start()
            assert call.result() == b"early"
        assert server.stop(PATIENCE_S)


class TestOpening:
    """A server that has been started with a refusal, because its models are loading."""

    REFUSAL = NotReady("the models are loading")

    @pytest.fixture
    def watched(self) -> Service:
        """A service of every kind of method, of which one is early."""

        def open_stream(stream: OpenStream) -> Any:
            return lambda message: stream.end() if message is None else stream.send(bytes(message))

        def echo(message: Any, reply: Reply) -> None:
            reply.finish(lambda: bytes(message))

        return Service(
            "test.Toys",
            wrappers_pb2.DESCRIPTOR,
            hot={"Echo": echo, "Early": echo},
            plain={"Plain": PlainMethod(wrappers_pb2.StringValue, lambda request: request)},
            streaming={"Chat": StreamingMethod(open_stream)},
            early=("Early",),
        )

    @pytest.fixture
    def loading(self, transport: dict[str, Any], watched: Service) -> Iterator[CallServer]:
        server = CallServer(ListenSettings(port=0, **transport), [watched])
        server.start(self.REFUSAL)
        yield server
        server.stop(0)

    @pytest.mark.parametrize("method", ["Echo", "Plain"])
    def test_calls_are_refused_at_once_with_the_reason(
        self, loading: CallServer, connect: Connect, method: str
    ) -> None:
        error = hot(connect(loading), method).future(b"", timeout=PATIENCE_S).exception()
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, str(self.REFUSAL))

    def test_streams_are_refused_before_they_say_anything(
        self, loading: CallServer, connect: Connect
    ) -> None:
        silent = threading.Event()
        chat: Any = connect(loading).stream_stream("/test.Toys/Chat")

        def messages() -> Iterator[bytes]:
            silent.wait(PATIENCE_S)
            yield b"too late"

        with pytest.raises(grpc.RpcError) as raised:
            next(chat(messages(), timeout=PATIENCE_S))
        silent.set()
        assert (raised.value.code(), raised.value.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            str(self.REFUSAL),
        )

    def test_early_methods_are_answered(self, loading: CallServer, connect: Connect) -> None:
        assert hot(connect(loading), "Early")(b"well", timeout=PATIENCE_S) == b"well"

    def test_method_that_is_not_there_is_unimplemented_as_ever(
        self, loading: CallServer, connect: Connect
    ) -> None:
        error = hot(connect(loading), "Nonesuch").future(b"", timeout=PATIENCE_S).exception()
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    def test_health_is_not_serving_and_reflection_answers(
        self, loading: CallServer, connect: Connect
    ) -> None:
        channel = connect(loading)
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        assert check.status == health_pb2.HealthCheckResponse.NOT_SERVING
        reflect: Any = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        request = reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString()
        assert b"test.Toys" in next(reflect(iter((request,)), timeout=PATIENCE_S))

    def test_calls_on_the_same_connection_are_answered_once_it_is_open(
        self, loading: CallServer, connect: Connect
    ) -> None:
        channel = connect(loading)
        assert hot(channel, "Echo").future(b"", timeout=PATIENCE_S).exception() is not None
        loading.open()
        assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"
        assert plain(channel)(wrappers_pb2.StringValue(value="well"), timeout=PATIENCE_S).value == "well"


class TestStop:
    def test_idle_server_stops_at_once_and_well(self, server: CallServer) -> None:
        assert server.stop(PATIENCE_S)

    def test_server_that_was_never_started_stops(self, transport: dict[str, Any], toys: Toys) -> None:
        CallServer(ListenSettings(port=0, **transport), [toys.service]).stop(0)

    def test_calls_inside_are_answered_and_new_ones_refused(
        self, server: CallServer, channel: grpc.Channel, connect: Connect, toys: Toys
    ) -> None:
        inside = [hot(channel, "Hold").future(b"") for _ in range(3)]
        for _ in inside:
            toys.next_held()
        stopped = InThread(server, PATIENCE_S)
        refused = first_refusal(connect(server))
        assert refused.code() is grpc.StatusCode.UNAVAILABLE
        assert refused.details() == "Server is stopping: this server takes no more calls"
        assert not any(call.done() for call in inside)
        toys.release_all()
        assert [call.result(PATIENCE_S) for call in inside] == [b"released"] * 3
        assert stopped.result() is True

    def test_calls_that_do_not_end_are_cancelled_after_the_limit(
        self, server: CallServer, channel: grpc.Channel, toys: Toys
    ) -> None:
        call = hot(channel, "Hold").future(b"")
        reply = toys.next_held()
        gone = threading.Event()

        def leave() -> None:
            # What a protocol does with a call whose caller has gone.
            toys.release(reply)
            gone.set()

        reply.when_gone(leave)
        assert server.stop(0.2) is False
        assert gone.wait(PATIENCE_S)
        assert call.exception(PATIENCE_S).code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)

    def test_watchers_do_not_hold_up_the_stop(self, server: CallServer, channel: grpc.Channel) -> None:
        """A balancer watches for as long as the server lives; that is no call to wait for."""
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        next(watching)
        assert server.stop(PATIENCE_S)
        watching.cancel()

    def test_stopping_twice_is_stopping_once(self, server: CallServer) -> None:
        assert server.stop(PATIENCE_S)
        server.stop(0)

    def test_no_thread_is_left_behind(self, serve: Serve, connect: Connect) -> None:
        before = set(threading.enumerate())
        server = serve()
        channel = connect(server)
        # Decoded aside, where that is done.
        assert hot(channel, "Echo")(bytes(LARGE_MESSAGE + 1), timeout=PATIENCE_S)
        assert plain(channel)(wrappers_pb2.StringValue(value="well"), timeout=PATIENCE_S).value == "well"
        next(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()))
        threads = set(threading.enumerate()) - before
        ours = {one for one in threads if one.name.startswith(("serving", "decoding", "hot call", "stream"))}
        assert len(ours) == 2
        assert server.stop(PATIENCE_S)
        assert not any(one.is_alive() for one in ours)

    def test_another_server_in_the_process_goes_on(self, serve: Serve, connect: Connect) -> None:
        first, second = serve(), serve()
        channel = connect(second)
        assert first.stop(PATIENCE_S)
        assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"
        assert plain(channel)(wrappers_pb2.StringValue(value="well"), timeout=PATIENCE_S).value == "well"


class InThread:
    """A server's stop, under way."""

    def __init__(self, server: CallServer, timeout_s: float) -> None:
        self._result: bool | None = None
        self._thread = threading.Thread(target=self._stop, args=(server, timeout_s))
        self._thread.start()

    def result(self) -> bool | None:
        self._thread.join(PATIENCE_S)
        return self._result

    def _stop(self, server: CallServer, timeout_s: float) -> None:
        self._result = server.stop(timeout_s)


def first_refusal(channel: grpc.Channel) -> Any:
    """The first error of calls made until one is refused."""
    for _ in range(10_000):
        error = hot(channel, "Echo").future(b"", timeout=PATIENCE_S).exception()
        if error is not None:
            return error
    raise AssertionError("every call was answered")
