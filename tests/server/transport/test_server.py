"""The server's port and its end."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.protobuf import wrappers_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from hotgraph_server.errors import NotReady, StartError
from hotgraph_server.settings import ListenSettings, RestSettings
from hotgraph_server.transport.listening import listen
from hotgraph_server.transport.server import CallServer, HttpPort
from hotgraph_server.transport.service import (
    LARGE_MESSAGE,
    OpenStream,
    PlainMethod,
    Reply,
    Service,
    StreamingMethod,
)

from .conftest import PATIENCE_S, Connect, Serve, Toys, hot, plain
from .http1.host import Api


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


class TestHttpPort:
    """The port for HTTP beside that for calls, whoever carries those."""

    @pytest.fixture
    def api(self) -> Api:
        return Api()

    @pytest.fixture
    def serve_http(
        self, transport: dict[str, Any], toys: Toys, api: Api
    ) -> Iterator[Callable[..., CallServer]]:
        """Starts servers with a port for HTTP; settings of it begin with ``rest_``."""
        servers: list[CallServer] = []

        def start(shared: Sequence[socket.socket] | None = None, **given: Any) -> CallServer:
            rest = {name: value for name, value in given.items() if name.startswith("rest_")}
            listen = {name: value for name, value in given.items() if name not in rest}
            settings = ListenSettings(**{"port": 0, **transport, **listen})
            port = HttpPort(RestSettings(**{"rest_port": 0, **rest}), api, shared)
            servers.append(CallServer(settings, [toys.service], http=port))
            servers[-1].start()
            return servers[-1]

        yield start
        toys.release_all()
        for server in servers:
            server.stop(0)

    @staticmethod
    def client(server: CallServer, tls: ssl.SSLContext | None = None, port: int = 0) -> HTTPConnection:
        assert server.http_address is not None
        host, _, http_port = server.http_address.rpartition(":")
        if tls is None:
            return HTTPConnection(host, port or int(http_port), timeout=PATIENCE_S)
        return HTTPSConnection(host, port or int(http_port), timeout=PATIENCE_S, context=tls)

    @staticmethod
    def asked(client: HTTPConnection, path: str = "/echo", body: bytes = b"well") -> tuple[int, bytes]:
        client.request("POST", path, body)
        answer = client.getresponse()
        return answer.status, answer.read()

    def test_both_ports_answer(self, serve_http: Callable[..., CallServer], connect: Connect) -> None:
        server = serve_http()
        assert hot(connect(server), "Echo")(b"well", timeout=PATIENCE_S) == b"well"
        with closing(self.client(server)) as client:
            assert [self.asked(client) for _ in range(3)] == [(200, b"well")] * 3

    def test_on_the_fast_lane_both_ports_speak_both(
        self, serve_http: Callable[..., CallServer], transport: dict[str, Any]
    ) -> None:
        server = serve_http()
        assert server.http_address is not None
        port = int(server.address.rpartition(":")[2])
        if not transport["fast_lane"]:
            # grpc's own server speaks no HTTP/1.1, and the other port nothing else.
            with grpc.insecure_channel(server.http_address) as channel:
                error = hot(channel, "Echo").future(b"", timeout=PATIENCE_S).exception()
                assert error.code() is grpc.StatusCode.UNAVAILABLE
            return
        with closing(self.client(server, port=port)) as client:
            assert self.asked(client) == (200, b"well")
        with grpc.insecure_channel(server.http_address) as channel:
            assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"

    def test_without_it_http_is_spoken_nowhere(self, server: CallServer) -> None:
        assert server.http_address is None
        with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as sock:
            sock.settimeout(PATIENCE_S)
            sock.sendall(b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
            received = b""
            with suppress(ConnectionError):
                while piece := sock.recv(1000):
                    received += piece
            assert b"HTTP/1.1" not in received

    def test_port_in_use_is_told_with_its_flag_and_nothing_is_left_listening(
        self, serve_http: Callable[..., CallServer]
    ) -> None:
        server = serve_http()
        assert server.http_address is not None
        taken = int(server.http_address.rpartition(":")[2])
        (listener,), free = listen("127.0.0.1", 0)
        listener.close()
        with pytest.raises(StartError, match=rf"rest-port {taken}: cannot listen on .*the port is in use"):
            serve_http(port=free, rest_port=taken)
        assert serve_http(port=free).address == f"127.0.0.1:{free}"

    def test_port_that_is_shared_is_taken_as_it_is(
        self, serve_http: Callable[..., CallServer], transport: dict[str, Any]
    ) -> None:
        sockets, port = listen("127.0.0.1", 0)
        server = serve_http(sockets, rest_port=port)
        assert server.http_address == f"127.0.0.1:{port}"
        with closing(self.client(server)) as client:
            assert self.asked(client) == (200, b"well")

    def test_answer_has_its_time(self, serve_http: Callable[..., CallServer]) -> None:
        # as long as a machine that is busy may take for a call that is not held
        server = serve_http(rest_timeout_ms=500)
        with closing(self.client(server)) as client:
            assert b"DeadlineExceeded" in self.asked(client, "/hold")[1]
            assert self.asked(client) == (200, b"well")

    def test_large_json_is_read_in_threads_that_end_with_it(
        self, serve_http: Callable[..., CallServer]
    ) -> None:
        before = set(threading.enumerate())
        server = serve_http(rest_threads=3)
        with closing(self.client(server)) as client:
            for _ in range(6):
                assert self.asked(client, body=b" " * 100_000)[0] == 200
        names = [one.name for one in set(threading.enumerate()) - before]
        assert 1 <= sum(name.startswith("REST JSON") for name in names) <= 3
        assert server.stop(PATIENCE_S)
        ours = ("REST JSON", "serving", "decoding")
        assert not [one.name for one in set(threading.enumerate()) - before if one.name.startswith(ours)]

    def test_stop_answers_what_is_inside_and_closes_both_ports(
        self, serve_http: Callable[..., CallServer], api: Api, toys: Toys, connect: Connect
    ) -> None:
        server = serve_http()
        idle, client = self.client(server), self.client(server)
        assert self.asked(idle) == (200, b"well")
        client.request("POST", "/hold", b"body")
        call = hot(connect(server), "Hold").future(b"", timeout=PATIENCE_S)
        reply = toys.next_held()
        while not api.held:
            pass
        stopped = InThread(server, PATIENCE_S)
        # Whoever is idle is shown out while calls go on.
        assert idle.sock is not None
        assert idle.sock.recv(1) == b""
        api.held[0].finish(lambda: b"held")
        answer = client.getresponse()
        assert (answer.status, answer.read(), answer.getheader("connection")) == (200, b"held", "close")
        toys.release(reply)
        assert call.result() == b"released"
        assert stopped.result() is True
        for port in (server.address, server.http_address):
            assert port is not None
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(port.rpartition(":")[2])), PATIENCE_S)
        idle.close()
        client.close()

    def test_calls_that_do_not_end_are_told_after_the_limit(
        self, serve_http: Callable[..., CallServer], api: Api
    ) -> None:
        server = serve_http()
        with closing(self.client(server)) as client:
            client.request("POST", "/hold", b"body")
            while not api.held:
                pass
            left = threading.Event()
            api.held[0].when_gone(left.set)
            assert server.stop(0.05) is False
            assert left.wait(PATIENCE_S)
            answer = client.getresponse()
            assert (answer.status, b"Draining" in answer.read()) == (503, True)

    def test_callers_who_are_asked_to_leave_go_with_their_next_answer(
        self, serve_http: Callable[..., CallServer], api: Api, transport: dict[str, Any]
    ) -> None:
        server = serve_http()
        with closing(self.client(server)) as idle, closing(self.client(server)) as client:
            assert self.asked(idle) == (200, b"well")
            client.request("POST", "/hold", b"body")
            while not api.held:
                pass
            leaving = threading.Thread(target=server.leave, args=(PATIENCE_S,))
            leaving.start()
            assert idle.sock is not None
            assert idle.sock.recv(1) == b""
            idle.close()
            api.held[0].finish(lambda: b"held")
            assert client.getresponse().getheader("connection") == "close"
            client.close()
            leaving.join(PATIENCE_S)
            assert not leaving.is_alive()
            assert server.stop(PATIENCE_S)

    class TestTls:
        """With certificates, the port for HTTP has them too unless it is said that it has not."""

        @pytest.fixture
        def authority(self) -> trustme.CA:
            return trustme.CA()

        @pytest.fixture
        def files(self, authority: trustme.CA, tmp_path: Path) -> dict[str, Any]:
            certificate = authority.issue_cert("127.0.0.1", "localhost")
            certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pair.pem"))
            return {"tls_cert": str(tmp_path / "pair.pem"), "tls_key": str(tmp_path / "pair.pem")}

        @staticmethod
        def context(authority: trustme.CA, *offers: str) -> ssl.SSLContext:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            authority.configure_trust(context)
            if offers:
                context.set_alpn_protocols(list(offers))
            return context

        @pytest.mark.parametrize("offers", [(), ("http/1.1",), ("h2", "http/1.1")])
        def test_what_is_chosen_of_what_callers_offer_is_spoken(
            self,
            serve_http: Callable[..., CallServer],
            files: dict[str, Any],
            authority: trustme.CA,
            offers: tuple[str, ...],
        ) -> None:
            server = serve_http(**files)
            with closing(TestHttpPort.client(server, self.context(authority, *offers))) as client:
                client.connect()
                assert isinstance(client.sock, ssl.SSLSocket)
                assert client.sock.selected_alpn_protocol() == ("http/1.1" if offers else None)
                assert TestHttpPort.asked(client) == (200, b"well")

        def test_callers_of_calls_offer_h2_alone_and_get_it_at_both_ports(
            self,
            serve_http: Callable[..., CallServer],
            transport: dict[str, Any],
            files: dict[str, Any],
            authority: trustme.CA,
        ) -> None:
            server = serve_http(**files)
            credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
            for address in (server.address, server.http_address):
                assert address is not None
                with grpc.secure_channel(address, credentials) as channel:
                    call = hot(channel, "Echo").future(b"well", timeout=PATIENCE_S)
                    if address == server.address or transport["fast_lane"]:
                        assert call.result() == b"well"
                    else:
                        assert call.exception().code() is grpc.StatusCode.UNAVAILABLE

        def test_clear_text_is_not_understood_where_it_is_not_allowed(
            self, serve_http: Callable[..., CallServer], files: dict[str, Any]
        ) -> None:
            server = serve_http(**files)
            with closing(TestHttpPort.client(server)) as client, pytest.raises((OSError, HTTPException)):
                TestHttpPort.asked(client)

        def test_in_clear_text_no_call_is_to_be_had(
            self, serve_http: Callable[..., CallServer], files: dict[str, Any], authority: trustme.CA
        ) -> None:
            server = serve_http(**files, rest_clear_text=True)
            assert server.http_address is not None
            with closing(TestHttpPort.client(server)) as client:
                assert TestHttpPort.asked(client) == (200, b"well")
            with grpc.insecure_channel(server.http_address) as channel:
                error = hot(channel, "Echo").future(b"", timeout=PATIENCE_S).exception()
                assert error.code() is grpc.StatusCode.UNAVAILABLE
            credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
            with grpc.secure_channel(server.address, credentials) as channel:
                assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"


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
