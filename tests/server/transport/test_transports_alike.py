"""What callers may rely on, whichever server carries them: each test here runs on both."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.protobuf import wrappers_pb2

from hotgraph_server.errors import (
    NOT_RUN,
    AccessDenied,
    CallError,
    DeadlineExceeded,
    Draining,
    InvalidCall,
    Unauthenticated,
)
from hotgraph_server.transport.http2.messages import MessageReader, unpacked
from hotgraph_server.transport.load_trailers import LoadTrailers
from hotgraph_server.transport.server import CallServer
from hotgraph_server.transport.service import (
    Failure,
    Left,
    OpenStream,
    Reply,
    Service,
    StreamingMethod,
    StreamOfCalls,
    failing,
)

from .conftest import PATIENCE_S, Connect, Serve, Toys, hot, plain
from .http2.conftest import Caller
from .http2.peer import prefixed

CallByHand = Callable[[CallServer], Caller]

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class TestFailures:
    """Who is told of calls that fail hears of each, with all that the transport knows."""

    @pytest.fixture
    def told(self) -> queue.SimpleQueue[tuple[str, str, str | None, bool]]:
        return queue.SimpleQueue()

    @pytest.fixture
    def telling(
        self, serve: Serve, connect: Connect, told: queue.SimpleQueue[tuple[str, str, str | None, bool]]
    ) -> grpc.Channel:
        def tell(failure: Failure) -> None:
            assert failure.peer
            status, trace = failure.error.status.name, failure.header("traceparent")
            told.put((failure.method, status, trace, failure.leave is not None))

        return connect(serve(tell=tell, admit=self.admit))

    @staticmethod
    def admit(path: str, _: Callable[[str], str | None]) -> CallError | None:
        return AccessDenied("toys", closed=False) if path.endswith("/Closed") else None

    @pytest.mark.parametrize(
        ("method", "status"),
        [
            ("Fail", "INVALID_ARGUMENT"),
            ("FailLater", "INVALID_ARGUMENT"),
            ("PlainFail", "INVALID_ARGUMENT"),
            ("Nothing", "UNIMPLEMENTED"),
            ("Closed", "PERMISSION_DENIED"),
        ],
    )
    def test_each_is_told_once_with_its_headers(
        self,
        telling: grpc.Channel,
        toys: Toys,
        told: queue.SimpleQueue[tuple[str, str, str | None, bool]],
        transport: dict[str, Any],
        method: str,
        status: str,
    ) -> None:
        toys.error = InvalidCall("wrong")
        with pytest.raises(grpc.RpcError):
            hot(telling, method)(b"x", metadata=(("traceparent", "t"),), timeout=PATIENCE_S)
        # That there is no such method grpc's own server says by itself.
        if method != "Nothing" or transport["fast_lane"]:
            assert told.get(timeout=PATIENCE_S) == (f"/test.Toys/{method}", status, "t", False)
        assert hot(telling, "Echo")(b"x", timeout=PATIENCE_S) == b"x"
        assert told.empty()

    def test_call_that_is_worked_on_is_known_by_what_would_leave_it(
        self,
        telling: grpc.Channel,
        toys: Toys,
        told: queue.SimpleQueue[tuple[str, str, str | None, bool]],
    ) -> None:
        pending = hot(telling, "Hold").future(b"x", timeout=PATIENCE_S)
        reply = toys.next_held()
        reply.when_gone(lambda: None)
        toys.forget(reply)
        reply.finish(failing(InvalidCall("wrong")))
        assert pending.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert told.get(timeout=PATIENCE_S) == ("/test.Toys/Hold", "INVALID_ARGUMENT", None, True)

    def test_deadline_is_told_too(self, serve: Serve, connect: Connect) -> None:
        told: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

        def wait(_: bytes, reply: Reply) -> None:
            reply.when_gone(lambda: None)
            reply.expire_at(time.monotonic())

        def tell(failure: Failure) -> None:
            told.put((failure.error.status.name, failure.leave is not None))

        waiting = Service("test.Toys", wrappers_pb2.DESCRIPTOR, hot={"Wait": wait})
        with pytest.raises(grpc.RpcError) as ended:
            hot(connect(serve(waiting, tell=tell)), "Wait")(b"x", timeout=PATIENCE_S)
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert told.get(timeout=PATIENCE_S) == ("DEADLINE_EXCEEDED", True)


class TestAdmission:
    """What the one at the door says, it says before a message is read, and of every kind of method."""

    @pytest.fixture
    def asked(self) -> list[str]:
        return []

    @pytest.fixture
    def guarded(self, serve: Serve, toys: Toys, asked: list[str]) -> CallServer:
        streams = Service(
            "test.Streams",
            wrappers_pb2.DESCRIPTOR,
            streaming={"Listen": StreamingMethod(lambda stream: lambda message: stream.end())},
        )

        def admit(path: str, header: Callable[[str], str | None]) -> CallError | None:
            asked.append(path)
            given = header("authorization")
            if given is None:
                return Unauthenticated("toys", given=False)
            return None if given == "Bearer k" else AccessDenied("toys", closed=False)

        return serve(toys.service, streams, admit=admit)

    def test_every_kind_of_method_asks(
        self, guarded: CallServer, connect: Connect, toys: Toys, asked: list[str]
    ) -> None:
        channel = connect(guarded)
        listen: Any = channel.stream_stream("/test.Streams/Listen")
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        calls: dict[str, Callable[[Any], Any]] = {
            "/test.Toys/Echo": lambda sent: hot(channel, "Echo")(b"x", PATIENCE_S, sent),
            "/test.Toys/Plain": lambda sent: plain(channel)(wrappers_pb2.StringValue(), PATIENCE_S, sent),
            "/test.Streams/Listen": lambda sent: list(listen(iter([b""]), PATIENCE_S, sent)),
            "/grpc.health.v1.Health/Check": lambda sent: check(b"", PATIENCE_S, sent),
        }
        for path, call in calls.items():
            for sent, code in (
                (None, grpc.StatusCode.UNAUTHENTICATED),
                ([("authorization", "Bearer x")], grpc.StatusCode.PERMISSION_DENIED),
            ):
                with pytest.raises(grpc.RpcError) as error:
                    call(sent)
                assert error.value.code() is code
                assert "toys" in str(error.value.details())
            call([("authorization", "Bearer k")])
            assert asked == [path] * 3
            asked.clear()

    def test_refused_call_need_not_send_its_message(self, guarded: CallServer, connect: Connect) -> None:
        """Nor is one read that goes on and on."""
        more = threading.Event()

        def messages() -> Iterator[bytes]:
            more.wait(PATIENCE_S)
            yield b""

        for path in ("/test.Toys/Echo", "/test.Streams/Listen"):
            method: Any = connect(guarded).stream_unary(path)
            error = method.future(messages(), timeout=PATIENCE_S).exception()
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        more.set()

    def test_refused_calls_leave_nothing_behind(self, guarded: CallServer, connect: Connect) -> None:
        channel = connect(guarded)
        for _ in range(20):
            error = hot(channel, "Hold").future(b"x" * 100_000, timeout=PATIENCE_S).exception()
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        sent = [("authorization", "Bearer k")]
        assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S, metadata=sent) == b"well"
        assert guarded.stop(PATIENCE_S)


@pytest.fixture
def call_by_hand() -> Iterator[CallByHand]:
    """Opens connections that tell what lay on the wire."""
    callers: list[Caller] = []

    def connect(server: CallServer) -> Caller:
        callers.append(Caller(int(server.address.rpartition(":")[2])))
        return callers[-1]

    yield connect
    for caller in callers:
        caller.close()


class TestCompression:
    @pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
    def test_compressed_requests_are_taken(self, server: CallServer, how: grpc.Compression) -> None:
        with grpc.insecure_channel(server.address, UNLIMITED, compression=how) as channel:
            for message in (b"", b"short", b"again and again " * 200_000):
                assert hot(channel, "Echo")(message, timeout=PATIENCE_S) == message
            request = wrappers_pb2.StringValue(value="plain " * 1000)
            assert plain(channel)(request, timeout=PATIENCE_S) == request

    @pytest.mark.parametrize("level", ["low", "medium", "high"])
    def test_answers_are_compressed_for_who_can_read_them_so(
        self, serve: Serve, connect: Connect, call_by_hand: CallByHand, level: str
    ) -> None:
        """As seen by grpc's own client, which can, and by one that tells what lay on the wire."""
        server = serve(compress_answers=level)
        large, small = b"again and again " * 20_000, b"again" * 100
        for message in (large, small, b""):
            assert hot(connect(server), "Echo")(message, timeout=PATIENCE_S) == message
        caller = call_by_hand(server)
        for message, accepts, encoding in (
            (large, "identity, deflate, gzip", "gzip"),
            (large, "identity,deflate", "deflate"),
            (large, "identity", ""),
            (large, "nobody,knows,these", ""),
            (large, "", ""),
            (small, "identity,deflate,gzip", ""),
        ):
            number = caller.call("Echo", message, *([("grpc-accept-encoding", accepts)] if accepts else []))
            answer = caller.answer(number)
            assert answer.status == 0
            known = answer.headers["grpc-accept-encoding"].replace(" ", "")
            assert known == "identity,deflate,gzip"
            assert answer.data[0] == bool(encoding)
            packed = bytes(answer.data[5:])
            assert len(packed) == int.from_bytes(answer.data[1:5], "big")
            if encoding:
                assert answer.headers["grpc-encoding"] == encoding
                assert len(packed) < len(large) / 10
            assert unpacked(answer.data[0], packed, encoding, 2**30) == message

    def test_answers_are_not_compressed_unless_that_is_set(
        self, server: CallServer, call_by_hand: CallByHand
    ) -> None:
        caller = call_by_hand(server)
        number = caller.call("Echo", bytes(100_000), ("grpc-accept-encoding", "gzip"))
        assert caller.answer(number).messages == [bytes(100_000)]
        assert caller.answer(number).headers.get("grpc-encoding", "identity") == "identity"

    def test_least_size_of_what_is_compressed_is_a_setting(
        self, serve: Serve, call_by_hand: CallByHand
    ) -> None:
        server = serve(compress_answers="low", compress_min_bytes=5000)
        caller = call_by_hand(server)
        for size in (4999, 5000):
            number = caller.call("Echo", bytes(size), ("grpc-accept-encoding", "gzip"))
            assert caller.answer(number).data[0] == (size >= 5000)

    def test_answers_of_streams_are_compressed_one_by_one(
        self, serve: Serve, connect: Connect, call_by_hand: CallByHand
    ) -> None:
        def echo(stream: StreamOfCalls) -> Callable[[Any], None]:
            return lambda message: stream.end() if message is None else stream.send(bytes(message))

        service = Service("test.Toys", wrappers_pb2.DESCRIPTOR, streaming={"Repeat": StreamingMethod(echo)})
        server = serve(service, compress_answers="low")
        messages = [b"small", bytes(50_000), b"small again", b"x" * 3000]
        method: Any = connect(server).stream_stream("/test.Toys/Repeat")
        assert list(method(iter(messages), timeout=PATIENCE_S)) == messages
        caller = call_by_hand(server)
        number = caller.call("Repeat", None, ("grpc-accept-encoding", "gzip"), end=False)
        caller.send(number, b"".join(map(prefixed, messages)), end=True)
        answer = caller.answer(number)
        read = MessageReader(2**20).feed(memoryview(answer.data))
        assert [flag for flag, _ in read] == [0, 1, 0, 1]
        assert [unpacked(flag, message, "gzip", 2**20) for flag, message in read] == messages
        assert answer.headers["grpc-encoding"] == "gzip"

    @pytest.mark.parametrize("how", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
    def test_limit_on_messages_counts_them_unpacked(
        self, serve: Serve, toys: Toys, how: grpc.Compression
    ) -> None:
        server = serve(max_message_mb=1)
        with grpc.insecure_channel(server.address, UNLIMITED, compression=how) as channel:
            fits = bytes(2**20)
            assert hot(channel, "Echo")(fits, timeout=PATIENCE_S) == fits
            error = hot(channel, "Echo").future(bytes(2**20 + 1), timeout=PATIENCE_S).exception()
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"


class TestMetadata:
    def test_metadata_of_callers_harm_nobody(self, channel: grpc.Channel) -> None:
        metadata = [("x-trace", "a" * 4000), ("x-bytes-bin", bytes(range(256))), ("x-trace", "again")]
        for _ in range(3):
            assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S, metadata=metadata) == b"well"

    def test_answers_begin_and_end_without_metadata_of_ours(self, channel: grpc.Channel) -> None:
        _, call = hot(channel, "Echo").with_call(b"", timeout=PATIENCE_S)
        assert not call.initial_metadata()
        assert not call.trailing_metadata()
        assert call.code() is grpc.StatusCode.OK


class TestTls:
    def test_large_messages_travel_both_ways(self, serve: Serve, tmp_path: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
        certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        server = serve(tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem"))
        trust = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        with grpc.secure_channel(server.address, trust, UNLIMITED) as channel:
            messages = [bytes(range(256)) * (size // 256) for size in (256, 600_064, 8 * 2**20)]
            calls = [hot(channel, "Echo").future(message, timeout=PATIENCE_S) for message in messages]
            assert [call.result() for call in calls] == messages


class TestLoad:
    """What answers say of the server's load at their end."""

    TOLD = ("x-load", "much")
    ASKS = (("x-load-format", "text"),)

    @pytest.fixture
    def asked(self) -> list[str]:
        return []

    @pytest.fixture
    def loaded(self, serve: Serve, toys: Toys, connect: Connect, asked: list[str]) -> grpc.Channel:
        def of(what: str) -> tuple[str, str | bytes]:
            asked.append(what)
            return self.TOLD

        streams = Service(
            "test.Streams",
            wrappers_pb2.DESCRIPTOR,
            streaming={"Listen": StreamingMethod(lambda stream: lambda message: stream.end())},
        )
        return connect(serve(toys.service, streams, load=LoadTrailers("x-load-format", of)))

    @pytest.mark.parametrize("method", ["Echo", "Plain"])
    def test_unary_calls_that_ask_are_told(self, loaded: grpc.Channel, method: str, asked: list[str]) -> None:
        _, call = hot(loaded, method).with_call(b"", metadata=self.ASKS, timeout=PATIENCE_S)
        assert self.TOLD in call.trailing_metadata()
        assert asked == ["text"]

    def test_others_are_not(self, loaded: grpc.Channel, asked: list[str]) -> None:
        _, call = hot(loaded, "Echo").with_call(b"", timeout=PATIENCE_S)
        assert self.TOLD not in call.trailing_metadata()
        assert asked == []

    @pytest.mark.parametrize("method", ["Fail", "FailLater", "PlainFail", "Nonesuch"])
    def test_calls_that_fail_are_told_with_their_error(
        self, loaded: grpc.Channel, toys: Toys, method: str, transport: dict[str, Any]
    ) -> None:
        toys.error = Draining("this server")
        with pytest.raises(grpc.RpcError) as raised:
            hot(loaded, method)(b"", metadata=self.ASKS, timeout=PATIENCE_S)
        # What is no method of ours is refused by grpc itself there.
        is_told = method != "Nonesuch" or transport["fast_lane"]
        trailers: Any = raised.value.trailing_metadata()
        assert (self.TOLD in trailers) == is_told

    def test_streams_are_told_at_their_end(self, loaded: grpc.Channel) -> None:
        listen: Any = loaded.stream_stream("/test.Streams/Listen")
        call = listen(iter([b""]), metadata=self.ASKS, timeout=PATIENCE_S)
        assert list(call) == []
        assert self.TOLD in call.trailing_metadata()


class TestStreams:
    """A service that echoes, and ends with an error when it is told "fail"."""

    @pytest.fixture
    def chat(self, serve: Serve, connect: Connect) -> Callable[..., Any]:
        self.gone = threading.Event()

        def open_chat(stream: OpenStream) -> Callable[[Any], None]:
            stream.when_gone(self.gone.set)

            def receive(message: Any) -> None:
                if message is None:
                    stream.end()
                elif bytes(message) == b"fail":
                    stream.end(InvalidCall("as you wish"))
                elif bytes(message) == b"raise":
                    raise InvalidCall("as you wish")
                else:
                    stream.send(bytes(message))

            return receive

        service = Service(
            "test.Chats", wrappers_pb2.DESCRIPTOR, streaming={"Chat": StreamingMethod(open_chat)}
        )
        method: Any = connect(serve(service)).stream_stream("/test.Chats/Chat")
        return lambda *messages: method(iter(messages), timeout=PATIENCE_S)

    def test_messages_keep_their_order(self, chat: Callable[..., Any]) -> None:
        messages = [b"%d" % number * 300 for number in range(300)]
        assert list(chat(*messages)) == messages

    @pytest.mark.parametrize("how", [b"fail", b"raise"])
    def test_error_comes_behind_the_messages_before_it(self, chat: Callable[..., Any], how: bytes) -> None:
        chatting = chat(b"one", b"two", how)
        assert [next(chatting), next(chatting)] == [b"one", b"two"]
        with pytest.raises(grpc.RpcError) as raised:
            next(chatting)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert raised.value.details() == "as you wish"

    def test_caller_that_cancels_is_told(self, serve: Serve, connect: Connect) -> None:
        opened, gone = threading.Event(), threading.Event()

        def open_watch(stream: OpenStream) -> Callable[[Any], None]:
            stream.when_gone(gone.set)
            stream.send(b"hello")
            opened.set()
            return lambda message: None

        service = Service(
            "test.Chats", wrappers_pb2.DESCRIPTOR, streaming={"Watch": StreamingMethod(open_watch)}
        )
        method: Any = connect(serve(service)).stream_stream("/test.Chats/Watch")
        watching = method(iter(()), timeout=PATIENCE_S)
        assert next(watching) == b"hello"
        assert not gone.is_set()
        watching.cancel()
        assert gone.wait(PATIENCE_S)


class TestStreamsOfCalls:
    """What a stream can do whose messages are calls of their own."""

    @pytest.fixture(autouse=True)
    def service(self) -> Service:
        """Hands its streams, and what they receive, to the test."""
        self.opened: queue.SimpleQueue[StreamOfCalls] = queue.SimpleQueue()
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def open_stream(stream: StreamOfCalls) -> Callable[[Any], None]:
            self.opened.put(stream)
            return lambda message: self.received.put(message and bytes(message))

        return Service(
            "test.Calls", wrappers_pb2.DESCRIPTOR, streaming={"Calls": StreamingMethod(open_stream)}
        )

    def call(self, channel: grpc.Channel, messages: Any, **more: Any) -> tuple[Any, StreamOfCalls]:
        method: Any = channel.stream_stream("/test.Calls/Calls")
        calling = method(iter(messages), timeout=PATIENCE_S, **more)
        return calling, self.opened.get(timeout=PATIENCE_S)

    def test_headers_of_the_caller_are_known_by_their_names(
        self, service: Service, serve: Serve, connect: Connect
    ) -> None:
        channel = connect(serve(service))
        for value in ("true", "false"):
            calling, stream = self.call(channel, (), metadata=[("x-mode", value)])
            assert (stream.header("x-mode"), stream.header("x-other")) == (value, None)
            stream.end()
            assert list(calling) == []

    def test_stop_waits_for_what_was_taken_and_nothing_more_is(
        self, service: Service, serve: Serve, connect: Connect
    ) -> None:
        server = serve(service)
        calling, stream = self.call(connect(server), (b"one",))
        assert self.received.get(timeout=PATIENCE_S) == b"one"
        assert stream.take() is None
        stopped: queue.SimpleQueue[bool] = queue.SimpleQueue()
        stopping = threading.Thread(target=lambda: stopped.put(server.stop(PATIENCE_S)))
        stopping.start()
        while (refusal := stream.take()) is None:
            # It has not yet begun to stop.
            stream.let_go()
        assert isinstance(refusal, Draining)
        stream.send(b"answer")
        assert next(calling) == b"answer"
        assert stopped.empty()
        stream.let_go()
        stopping.join()
        assert stopped.get() is True

    def test_caller_who_was_held_loses_nothing(
        self, service: Service, serve: Serve, connect: Connect
    ) -> None:
        """Ten times what its windows take."""
        pieces = [bytes((number,)) * 2**18 for number in range(160)]
        held = threading.Event()

        def messages() -> Iterator[bytes]:
            yield b"hold me"
            assert held.wait(PATIENCE_S)
            yield from pieces

        calling, stream = self.call(connect(serve(service)), messages())
        assert self.received.get(timeout=PATIENCE_S) == b"hold me"
        stream.hold()
        held.set()
        for piece in pieces:
            # More and more often held again in the middle of what comes.
            stream.go_on()
            assert self.received.get(timeout=PATIENCE_S) == piece
            stream.hold()
        stream.end()
        assert list(calling) == []

    def test_what_takes_long_is_done_in_a_thread_of_its_own(
        self, service: Service, serve: Serve, connect: Connect
    ) -> None:
        calling, stream = self.call(connect(serve(service)), (b"one",))
        threads: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
        stream.aside(lambda: threads.put(threading.current_thread()))
        assert threads.get(timeout=PATIENCE_S) is not threading.current_thread()
        stream.end()
        assert list(calling) == []

    def test_it_is_told_when_its_caller_has_read(
        self, service: Service, serve: Serve, connect: Connect
    ) -> None:
        """More than the windows of the way there."""
        calling, stream = self.call(connect(serve(service)), (b"one",))
        told: queue.SimpleQueue[str] = queue.SimpleQueue()
        for _ in range(64):
            stream.send(bytes(2**20))
        stream.when_read(lambda: told.put("all"))
        assert stream.unread > 0
        assert told.empty()
        for _ in range(64):
            next(calling)
        assert told.get(timeout=PATIENCE_S) == "all"
        stream.when_read(lambda: told.put("still"))
        assert told.get(timeout=PATIENCE_S) == "still"
        stream.end()
        assert list(calling) == []

    def test_alarm_goes_off_unless_it_is_taken_back(
        self, service: Service, serve: Serve, connect: Connect
    ) -> None:
        calling, stream = self.call(connect(serve(service)), (b"one",))
        rung: queue.SimpleQueue[str] = queue.SimpleQueue()
        now = time.monotonic()
        stream.call_at(now + 0.02, lambda: rung.put("second"))
        forget = stream.call_at(now + 0.01, lambda: rung.put("never"))
        stream.call_at(now, lambda: rung.put("first"))
        stream.call_at(now + 1e9, lambda: rung.put("in thirty years"))
        forget()
        assert [rung.get(timeout=PATIENCE_S) for _ in range(2)] == ["first", "second"]
        stream.end()
        assert list(calling) == []
        assert rung.empty()


class TestLeaving:
    """A call whose deadline, which its method has set, has come."""

    @pytest.fixture
    def leave_with(self, serve: Serve, connect: Connect) -> Callable[[Left], tuple[Any, Reply]]:
        """Calls a method whose calls say this when they are left; returns the caller's future, and the reply
        when it has been left."""
        left: queue.Queue[Reply] = queue.Queue()

        def begin(says: Left) -> tuple[Any, Reply]:
            def method(_: Any, reply: Reply) -> None:
                def leave() -> Left:
                    left.put(reply)
                    return says

                reply.expire_at(time.monotonic())
                reply.when_gone(leave)

            service = Service("test.Toys", wrappers_pb2.DESCRIPTOR, hot={"Hold": method}, plain={})
            caller = hot(connect(serve(service)), "Hold").future(b"", timeout=PATIENCE_S)
            return caller, left.get(timeout=PATIENCE_S)

        return begin

    def test_outcome_that_is_still_to_come_is_waited_for(
        self, leave_with: Callable[[Left], tuple[Any, Reply]]
    ) -> None:
        caller, reply = leave_with(True)
        reply.finish(lambda: b"it has happened")
        assert caller.result(PATIENCE_S) == b"it has happened"

    def test_what_the_call_has_ended_with_is_told(
        self, leave_with: Callable[[Left], tuple[Any, Reply]]
    ) -> None:
        caller, _ = leave_with(DeadlineExceeded(NOT_RUN))
        error = caller.exception(PATIENCE_S)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.details().endswith("it was not run, and has changed nothing")

    def test_without_a_word_the_deadline_is_told(
        self, leave_with: Callable[[Left], tuple[Any, Reply]]
    ) -> None:
        caller, _ = leave_with(None)
        assert caller.exception(PATIENCE_S).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_method_is_told_all_that_its_caller_says(channel: grpc.Channel, toys: Toys) -> None:
    """Binary values in base64, as they come over the wire."""
    said = (("authorization", "Bearer key"), ("x-bin", b"\0\xff"))
    call = hot(channel, "Hold").future(b"", metadata=said)
    reply = toys.next_held()
    headers = reply.headers
    assert headers["authorization"] == "Bearer key" == reply.header("authorization")
    assert headers["x-bin"].rstrip("=") == "AP8"
    toys.release(reply)
    call.result(PATIENCE_S)


def test_a_plain_method_may_answer_later(channel: grpc.Channel) -> None:
    assert hot(channel, "PlainLater")(b"\n\1x", timeout=PATIENCE_S) == b"\n\1x"
