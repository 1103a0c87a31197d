"""The server on real sockets: who is served when, and what one connection does to the others."""

from __future__ import annotations

import gc
import logging
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import trustme

from hotgraph_server.errors import InvalidCall
from hotgraph_server.transport import deadlines
from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.unary_call import UnaryCall
from hotgraph_server.transport.service import OpenStream, Reply, Service, StreamingMethod
from hotgraph_server.transport.sockets.receive_coalescing import ReceiveCoalescer
from hotgraph_server.transport.sockets.self_pipe import SelfPipe
from hotgraph_server.transport.sockets.times import Times

from ..conftest import PATIENCE_S, hot
from ..http2.conftest import Caller, Serving, Toys
from ..http2.peer import prefixed

Connect = Callable[..., Caller]
Serve = Callable[..., Serving]


def answer_of(reply: Reply, answer: bytes = b"well") -> None:
    reply.finish(lambda: answer)


def in_thread(act: Callable[..., Any], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=act, args=arguments)
    thread.start()
    return thread


def join(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


class TestAnswers:
    def test_calls_are_answered_by_the_serving_thread_and_by_others(self, caller: Caller, toys: Toys) -> None:
        at_once = caller.call("Echo", b"hello")
        assert caller.answer(at_once).messages == [b"hello"]
        held = caller.call("Hold")
        join(in_thread(answer_of, toys.next_held(), b"later"))
        assert caller.answer(held).messages == [b"later"]

    def test_many_calls_of_many_callers_each_get_their_own_answer(
        self, serve: Serve, connect: Connect, toys: Toys
    ) -> None:
        """Answered by several threads at a time, while others come."""
        serving = serve(max_calls=10_000)
        callers = [connect(serving) for _ in range(5)]
        done = threading.Event()

        def work() -> None:
            while not done.is_set() or not toys.held.empty():
                try:
                    message, reply = toys.held.get(timeout=0.05)
                except Exception:
                    continue
                answer_of(reply, bytes(message))

        workers = [in_thread(work) for _ in range(4)]
        numbers = [
            [caller.call("Hold", b"%d %d" % (who, turn)) for turn in range(200)]
            for who, caller in enumerate(callers)
        ]
        for who, caller in enumerate(callers):
            for turn, number in enumerate(numbers[who]):
                assert caller.answer(number).messages == [b"%d %d" % (who, turn)]
        done.set()
        join(*workers)

    def test_answer_that_comes_while_the_lock_is_taken_is_sent_by_who_has_it(
        self, serving: Serving, caller: Caller, toys: Toys
    ) -> None:
        """Its bringer goes at once; the serving thread looks into the outbox when it gives the lock back."""
        number = caller.call("Hold")
        reply = toys.next_held()
        with serving.server.connections_lock:
            join(in_thread(answer_of, reply))
            # Whatever wakes the serving thread.
            serving.server.wake()
        assert caller.answer(number).messages == [b"well"]

    def test_answer_that_comes_after_the_last_look_is_sent(
        self, serve: Serve, connect: Connect, toys: Toys
    ) -> None:
        """Between the serving thread's last look into the outbox and the moment it gives the lock back."""
        replies: list[Reply] = []
        brought: list[threading.Thread] = []

        class Late(ReceiveCoalescer):
            def delay_s(self, now: float, waiting: int, arrived: int, answered: int) -> float:
                if replies:
                    brought.append(in_thread(answer_of, replies.pop()))
                    join(*brought)
                return 0.0

        serving = serve(coalescer=Late())
        caller = connect(serving)
        first, second = caller.call("Hold"), caller.call("Hold")
        replies += [toys.next_held(), toys.next_held()]
        serving.server.wake()
        assert caller.answer(second).messages == [b"well"]
        assert caller.answer(first).messages == [b"well"]

    def test_large_messages_travel_both_ways(self, caller: Caller) -> None:
        for size in (600_000, 20 * 2**20):
            message = bytes(range(256)) * (size // 256)
            assert caller.answer(caller.call("Echo", message)).messages == [message]

    def test_bug_of_a_method_ends_its_call_and_nothing_else(
        self, caller: Caller, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.ERROR):
            assert caller.answer(caller.call("Fail")).status == 13
        assert caller.answer(caller.call("Echo", b"well")).messages == [b"well"]

    def test_unknown_methods_and_what_is_no_grpc_are_refused(self, caller: Caller) -> None:
        assert caller.answer(caller.call("Nonesuch")).status == 12
        number = caller.call("Echo", b"", ("content-type", "text/html"))
        assert caller.answer(number).headers == {":status": "415"}

    @pytest.mark.parametrize("size", [17_000, 40_000])
    def test_call_whose_headers_are_too_large_is_refused_and_no_other(
        self, caller: Caller, size: int
    ) -> None:
        before = caller.call("Echo", None)
        large = caller.call("Echo", None, ("authorization", "#" * size))
        refused = caller.answer(large)
        assert refused.status == 8
        assert "headers have" in {**refused.headers, **refused.trailers}["grpc-message"]
        caller.send(before, prefixed(b"before"), end=True)
        assert caller.answer(before).messages == [b"before"]
        # Both ends still have the same table of fields.
        behind = caller.call("Echo", b"behind", ("authorization", "#" * 100))
        assert caller.answer(behind).messages == [b"behind"]

    def test_answers_leave_no_cycle_behind(self, caller: Caller, toys: Toys) -> None:
        number = caller.call("Hold")
        reply = toys.next_held()

        class Owner:
            def __init__(self, reply: Reply) -> None:
                self.reply = reply

            def leave(self) -> None:
                """Never."""

        owner = Owner(reply)
        reply.when_gone(owner.leave)
        watched = weakref.ref(owner)
        gc.collect()
        gc.disable()
        try:
            answer_of(reply)
            caller.answer(number)
            caller.ping()
            del owner, reply
            assert watched() is None
        finally:
            gc.enable()


class TestLeaving:
    @pytest.mark.parametrize("how", ["reset", "close", "deadline", "stop"])
    def test_whoever_leaves_is_told_to_the_call(
        self, serving: Serving, caller: Caller, toys: Toys, how: str
    ) -> None:
        more = [("grpc-timeout", "20m")] if how == "deadline" else []
        number = caller.call("Hold", b"", *more)
        gone = threading.Event()
        reply = toys.next_held()
        reply.when_gone(gone.set)
        if how == "reset":
            caller.reset(number)
        elif how == "close":
            caller.close()
        elif how == "stop":
            serving.stop()
            assert caller.answer(number).status == 1
        else:
            assert caller.answer(number).status == 4
        assert gone.wait(PATIENCE_S)
        answer_of(reply)

    def test_deadline_of_the_methods_own_ends_the_call(self, caller: Caller, toys: Toys) -> None:
        number = caller.call("Hold")
        reply = toys.next_held()
        gone = threading.Event()
        reply.when_gone(gone.set)
        reply.expire_at(0.0)
        assert caller.answer(number).status == 4
        assert gone.wait(PATIENCE_S)

    @pytest.mark.parametrize("timeout", ["99999999H", "9999999H", "800H", "99999999S"])
    def test_deadline_in_years_stops_nobody(
        self, serving: Serving, connect: Connect, toys: Toys, timeout: str
    ) -> None:
        """Nor when its caller has gone, and it is all that there is to wait for."""
        caller = connect(serving)
        caller.call("Hold", b"", ("grpc-timeout", timeout))
        reply = toys.next_held()
        gone = threading.Event()
        reply.when_gone(gone.set)
        caller.close()
        assert gone.wait(PATIENCE_S)
        other = connect(serving)
        assert other.answer(other.call("Echo", b"well")).messages == [b"well"]

    def test_owner_that_cannot_be_told_does_not_stop_the_server(
        self, caller: Caller, toys: Toys, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken() -> None:
            raise ZeroDivisionError

        with caplog.at_level(logging.ERROR):
            expires, leaves = caller.call("Hold"), caller.call("Hold")
            replies = [toys.next_held(), toys.next_held()]
            for reply in replies:
                reply.when_gone(broken)
            replies[0].expire_at(0.0)
            assert caller.answer(expires).status == 4
            caller.reset(leaves)
            assert caller.answer(caller.call("Echo", b"well")).messages == [b"well"]

    def test_calls_without_a_message_hold_nothing_up(self, serving: Serving, caller: Caller) -> None:
        for _ in range(50):
            caller.call("Hold", None)
        assert caller.answer(caller.call("Echo", b"well")).messages == [b"well"]
        assert serving.calls.wait_until_none(0)

    def test_deadlines_of_answered_calls_do_not_pile_up(
        self, serving: Serving, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deadlines, "CLEARED_AT", 50)
        for _ in range(500):
            number = caller.call("Echo", b"", ("grpc-timeout", "1H"))
            if number % 20 == 1:
                caller.answer(number)
        caller.answer(number)
        caller.ping()
        assert sum(isinstance(one, UnaryCall) for one in gc.get_objects()) <= 100


class TestStreams:
    def test_messages_go_both_ways_in_their_order(self, caller: Caller, toys: Toys) -> None:
        number = caller.call("Chat", b"one", end=False)
        caller.send(number, prefixed(b"two") + prefixed(b"three"), end=True)
        assert caller.answer(number).messages == [b"one", b"two", b"three"]
        assert caller.answer(number).status == 0

    def test_several_threads_may_send(self, caller: Caller, toys: Toys) -> None:
        number = caller.call("Chat", None)
        stream = toys.next_chat()

        def send(who: int) -> None:
            for turn in range(100):
                stream.send(b"%d %d" % (who, turn))

        join(*(in_thread(send, who) for who in range(4)))
        stream.end(InvalidCall("enough"))
        answer = caller.answer(number)
        assert answer.status == 3
        for who in range(4):
            of_one = [message for message in answer.messages if message.startswith(b"%d " % who)]
            assert of_one == [b"%d %d" % (who, turn) for turn in range(100)]

    def test_sender_may_hold_a_lock_that_the_leaving_needs(self, serve: Serve, connect: Connect) -> None:
        """Whoever tells watchers under its own lock must not be made to tell one that it has gone."""
        lock = threading.Lock()
        watchers: list[OpenStream] = []
        left = threading.Semaphore(0)

        def leave() -> None:
            with lock:
                left.release()

        def watch(stream: OpenStream) -> Callable[[Any], None]:
            stream.when_gone(leave)
            with lock:
                watchers.append(stream)
            return lambda message: None

        service = Service("test.Toys", None, streaming={"Watch": StreamingMethod(watch)})
        serving = serve(service)

        def tell() -> None:
            for _ in range(50):
                with lock:
                    for watcher in watchers:
                        watcher.send(b"news")

        for turn in range(20):
            caller = connect(serving)
            number = caller.call("Watch", b"", end=False)
            caller.ping()
            telling = in_thread(tell)
            if turn % 2:
                caller.reset(number)
            else:
                caller.close()
            assert left.acquire(timeout=PATIENCE_S)
            join(telling)
            watchers.clear()

    def test_watcher_that_leaves_is_told_once(self, caller: Caller, toys: Toys) -> None:
        number = caller.call("Chat", None)
        told = []
        toys.next_chat().when_gone(lambda: told.append(1))
        caller.reset(number)
        caller.ping()
        caller.close()
        assert told == [1]


class TestTls:
    def test_half_a_handshake_and_none_hold_nobody_up(self, serve: Serve, connect: Connect) -> None:
        authority = trustme.CA()
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.issue_cert("localhost").configure_cert(server)
        authority.configure_trust(client)
        server.set_alpn_protocols(["h2"])
        client.set_alpn_protocols(["h2"])
        serving = serve(tls=server)
        with (
            socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S),
            socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as half,
        ):
            half.sendall(b"\x16\x03\x01\x02\x00\x01")
            caller = connect(serving, client)
            message = bytes(range(256)) * 8000
            assert caller.answer(caller.call("Echo", message)).messages == [message]


class TestStop:
    def test_slow_reader_gets_what_goes_and_does_not_hold_up_the_end(
        self, serve: Serve, connect: Connect, toys: Toys
    ) -> None:
        serving = serve(times=Times(last_words_s=0.05))
        caller = connect(serving)
        caller.call("Hold")
        answer_of(toys.next_held(), bytes(20 * 2**20))
        serving.stop()
        caller.until_closed()

    def test_answers_in_the_outbox_go_out_before_the_end(
        self, serving: Serving, caller: Caller, toys: Toys
    ) -> None:
        number = caller.call("Hold")
        reply = toys.next_held()
        with serving.server.connections_lock:
            join(in_thread(answer_of, reply))
        serving.stop()
        assert caller.answer(number).messages == [b"well"]

    def test_answers_after_the_end_are_dropped(self, serving: Serving, caller: Caller, toys: Toys) -> None:
        caller.call("Hold")
        caller.call("Chat", None)
        reply, stream = toys.next_held(), toys.next_chat()
        serving.stop()
        answer_of(reply)
        stream.send(b"news")
        stream.end()
        serving.stop()

    def test_closed_port_takes_no_connections_and_says_go_away(
        self, serving: Serving, caller: Caller, toys: Toys
    ) -> None:
        number = caller.call("Hold")
        reply = toys.next_held()
        serving.server.close_port()
        caller.until(lambda: caller.client.farewells)
        # The port is closed in the round that sends the farewell, or the next.
        assert any(refused(serving.port) for _ in range(10_000))
        answer_of(reply)
        assert caller.answer(number).messages == [b"well"]

    def test_every_socket_is_closed(self, serve: Serve, connect: Connect, toys: Toys) -> None:
        def sockets() -> set[int]:
            found = [one for one in gc.get_objects() if isinstance(one, socket.socket)]
            return {id(one) for one in found if one.fileno() != -1}

        before = sockets()
        serving = serve()
        caller = connect(serving)
        caller.ping()
        # The listener, both ends of what wakes the thread, and those of the connection.
        assert len(sockets() - before) == 5
        serving.stop()
        caller.close()
        assert sockets() <= before

    def test_thread_that_does_not_end_is_named(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        go_on, close = threading.Event(), SelfPipe.close

        def close_later(pipe: SelfPipe) -> None:
            assert go_on.wait(PATIENCE_S)
            close(pipe)

        # The last thing that the thread does.
        monkeypatch.setattr(SelfPipe, "close", close_later)
        serving = serve(times=Times(last_words_s=0.0))
        with caplog.at_level(logging.WARNING):
            serving.server.stop(0.0)
        assert caplog.messages == ["thread 'serving' has not ended after 0.0 s"]
        go_on.set()


class TestQuiet:
    """A server with nothing to do does nothing."""

    def test_waiting_connections_cost_no_rounds(self, serve: Serve, connect: Connect, toys: Toys) -> None:
        """Idle, with an open call, with an answer that waits for a window or for the socket, silent, half
        closed."""
        counting = Counting()
        serving = serve(coalescer=counting)
        idle, held, window, unread = (connect(serving) for _ in range(4))
        idle.ping()
        held.call("Hold")
        toys.next_held()
        window.call("Hold")
        answer_of(toys.next_held(), bytes(100_000))
        unread.client.h2.increment_flow_control_window(2**30)
        unread.client.h2.update_settings({frames.INITIAL_WINDOW_SIZE: 2**30})
        unread.call("Hold")
        answer_of(toys.next_held(), bytes(50 * 2**20))
        silent = socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S)
        half = connect(serving)
        half.ping()
        half.sock.shutdown(socket.SHUT_WR)
        idle.ping()
        idle.ping()
        before = counting.rounds
        for _ in range(20):
            idle.ping()
        # The last one may not have been counted yet.
        assert 19 <= counting.rounds - before <= 25
        silent.close()


class Counting(ReceiveCoalescer):
    """It is asked once a round, and never has arrivals wait."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    def delay_s(self, now: float, waiting: int, arrived: int, answered: int) -> float:
        self.rounds += 1
        return 0.0


class WhileAnyWaits(ReceiveCoalescer):
    """For ever, but for what ends a delay."""

    def delay_s(self, now: float, waiting: int, arrived: int, answered: int) -> float:
        return 1e6 if waiting else 0.0


class UntilTheFirstAnswer(ReceiveCoalescer):
    """Sets `delays` when there is a delay."""

    def __init__(self) -> None:
        super().__init__()
        self.delays = threading.Event()

    def delay_s(self, now: float, waiting: int, arrived: int, answered: int) -> float:
        if answered or not waiting:
            return 0.0
        self.delays.set()
        return 1e6


class TestDelays:
    """See receive_coalescing.py."""

    def test_answer_ends_a_delay(self, serve: Serve, connect: Connect, toys: Toys) -> None:
        serving = serve(coalescer=WhileAnyWaits(), times=Times(looking_s=1e6))
        caller = connect(serving)
        number = caller.call("Hold")
        join(in_thread(answer_of, toys.next_held()))
        assert caller.answer(number).messages == [b"well"]
        caller.ping()

    def test_deadline_ends_a_delay(self, serve: Serve, connect: Connect) -> None:
        serving = serve(coalescer=WhileAnyWaits(), times=Times(looking_s=1e6))
        caller = connect(serving)
        number = caller.call("Hold", b"", ("grpc-timeout", "20m"))
        assert caller.answer(number).status == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]

    def test_calls_that_come_during_a_delay_count_from_its_beginning(
        self, serve: Serve, connect: Connect, toys: Toys
    ) -> None:
        """They may have come then; and no answer shall come past its caller's deadline."""
        coalescer = UntilTheFirstAnswer()
        caller = connect(serve(coalescer=coalescer))
        caller.call("Hold")
        reply = toys.next_held()
        assert coalescer.delays.wait(PATIENCE_S)
        sent_at = time.monotonic()
        caller.call("Hold", b"", ("grpc-timeout", "1000S"))
        join(in_thread(answer_of, reply))
        assert toys.next_held().deadline <= sent_at + 1000.0


class TestGrpcClients:
    """Those of grpc itself, against this server alone."""

    @pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
    def test_compressed_requests_are_taken(self, serving: Serving, how: grpc.Compression) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{serving.port}", compression=how) as channel:
            message = b"again and again " * 100_000
            assert hot(channel, "Echo")(message, timeout=PATIENCE_S) == message

    def test_streams_of_messages_go_both_ways(self, serving: Serving) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{serving.port}") as channel:
            messages = [b"%d" % number * 1000 for number in range(200)]
            method: Any = channel.stream_stream("/test.Toys/Chat")
            assert list(method(iter(messages), timeout=PATIENCE_S)) == messages

    def test_large_messages_and_small_ones_side_by_side(self, serving: Serving) -> None:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{serving.port}", options) as channel:
            echo = hot(channel, "Echo")
            messages = [
                bytes((number % 251,)) * (3_000_000 if number % 10 == 0 else 10) for number in range(50)
            ]
            calls = [echo.future(message, timeout=PATIENCE_S) for message in messages]
            assert [call.result() for call in calls] == messages


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
    except ConnectionRefusedError:
        return True
    return False
