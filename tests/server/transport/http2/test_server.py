"""The server on real sockets: who is served when, and what one connection does to the others."""

from __future__ import annotations

import errno
import gc
import logging
import math
import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import grpc
import hyperframe.frame
import pytest
import trustme

from hotgraph_server.errors import InvalidCall
from hotgraph_server.transport import deadlines
from hotgraph_server.transport.http2 import acceptor, flood_limits, frames, socket_io
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.receive_coalescing import ReceiveCoalescer
from hotgraph_server.transport.http2.self_pipe import SelfPipe
from hotgraph_server.transport.http2.times import Times
from hotgraph_server.transport.http2.unary_call import UnaryCall
from hotgraph_server.transport.listening import listen
from hotgraph_server.transport.service import OpenStream, Reply, Service, StreamingMethod

from ..conftest import PATIENCE_S, hot
from .conftest import Caller, Serving, Toys
from .peer import parse_frames, prefixed

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


class TestBadCallers:
    """What they do costs their connection, and nobody else's."""

    @pytest.fixture
    def well(self, serving: Serving, connect: Connect) -> Callable[[], bool]:
        other = connect(serving)
        return lambda: other.answer(other.call("Echo", b"well")).messages == [b"well"]

    @pytest.mark.parametrize(
        "wire",
        [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100), frames.PREFACE + b"\xff" * 100, b"\x16\x03\x01"],
    )
    def test_other_protocols_are_shown_out(
        self, serving: Serving, well: Callable[[], bool], wire: bytes
    ) -> None:
        with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as sock:
            sock.sendall(wire)
            received = b""
            try:
                while piece := sock.recv(1000):
                    received += piece
            except ConnectionError:
                pass
        assert well()

    def test_calls_of_a_connection_that_breaks_are_told(
        self, caller: Caller, toys: Toys, well: Callable[[], bool]
    ) -> None:
        caller.call("Hold")
        gone = threading.Event()
        toys.next_held().when_gone(gone.set)
        caller.sock.sendall(frames.frame(frames.PUSH_PROMISE, 0, 1))
        caller.until_closed()
        assert gone.wait(PATIENCE_S)
        assert well()

    def test_peer_that_broke_the_protocol_hears_of_it_though_it_goes_on(
        self, serving: Serving, well: Callable[[], bool]
    ) -> None:
        with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as sock:
            wrong = frames.frame(frames.PUSH_PROMISE, 0, 1, bytes(4))
            sock.sendall(frames.PREFACE + frames.settings({}) + wrong + bytes(2**20))
            received = b""
            while piece := sock.recv(2**16):
                received += piece
        away = parse_frames(received)[-1]
        assert isinstance(away, hyperframe.frame.GoAwayFrame)
        assert away.error_code == Code.PROTOCOL_ERROR
        assert well()

    def test_peer_that_is_stuck_is_cut_off(self, serving: Serving, connect: Connect, toys: Toys) -> None:
        """One that says nothing at all, and one that does not take its answer; not one that is idle."""
        idle, unread = connect(serving), connect(serving)
        idle.ping()
        number = unread.call("Hold")
        answer_of(toys.next_held(), bytes(10 * 2**20))
        neighbour = unread.call("Hold")
        held = toys.next_held()
        serving.set_times(stuck_s=-1.0, looking_s=0.01)
        with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as silent:
            assert silent.recv(100) == b""
        assert unread.answer(number).reset == Code.CANCEL
        # It cost the stream that was not read, and no other of its connection.
        answer_of(held, b"well")
        assert unread.answer(neighbour).messages == [b"well"]
        assert serving.calls.wait_until_none(PATIENCE_S)
        assert idle.answer(idle.call("Echo", b"well")).messages == [b"well"]

    def test_connection_on_which_nothing_moves_is_closed_whatever_its_peer_says(
        self, serving: Serving, caller: Caller, toys: Toys
    ) -> None:
        caller.call("Hold")
        answer_of(toys.next_held(), bytes(10 * 2**20))
        caller.ping()
        serving.set_times(stuck_s=0.02, looking_s=0.01)
        caller.until_closed()
        assert serving.calls.wait_until_none(PATIENCE_S)

    def test_connection_with_much_to_ask_waits_while_others_have_their_turn(
        self, serve: Serve, connect: Connect, toys: Toys
    ) -> None:
        serving = serve(times=Times(connection_share_s=0.0))
        greedy, modest = connect(serving), connect(serving)
        for caller in (greedy, modest):
            caller.ping()
        # Both have come before the serving thread looks.
        with serving.server.connections_lock:
            for _ in range(50):
                greedy.call("Hold", b"greedy")
            modest.call("Hold", b"modest")
            for one in serving.server.connections.sockets:
                assert select.select([one.sock], [], [], PATIENCE_S)[0]
        order = [bytes(toys.held.get(timeout=PATIENCE_S)[0]) for _ in range(51)]
        assert order.index(b"modest") <= 5

    def test_everybody_has_a_turn_however_many_there_are(
        self, serve: Serve, connect: Connect, toys: Toys
    ) -> None:
        """Also where a whole round is time for one of them only."""
        serving = serve(times=Times(round_s=0.0))
        callers = [connect(serving) for _ in range(8)]
        for _ in range(3):
            numbers = [[caller.call("Echo", b"well") for _ in range(5)] for caller in callers]
            for caller, calls in zip(callers, numbers, strict=True):
                assert [caller.answer(number).messages for number in calls] == [[b"well"]] * 5

    def test_flood_of_pings_by_a_peer_that_does_not_read_is_not_kept(
        self, serving: Serving, connect: Connect, well: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket_io, "MAX_UNSENT_BYTES", 2**16)
        monkeypatch.setattr(flood_limits, "MAX", math.inf)
        flooding = connect(serving)
        flooding.ping()
        flooded = socket_io_of(serving, flooding)
        flooding.sock.setblocking(False)
        ping = frames.frame(frames.PING, 0, 0, bytes(8)) * 1000
        sent, stopped, wire = 0, 0, ping
        while stopped < 5 and sent < 100 * 2**20:
            try:
                count = flooding.sock.send(wire)
                sent, stopped, wire = sent + count, 0, wire[count:] or ping
            except BlockingIOError:
                # The server reads no more, or has not yet; a call of another's takes it some rounds.
                stopped += 1
                assert well()
        assert stopped == 5
        assert flooded.unsent_bytes < 2**20

    def test_process_without_files_accepts_again_later(
        self,
        serve: Serve,
        connect: Connect,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(acceptor, "PAUSE_S", 0.0)
        failures = iter([errno.EMFILE, errno.ENFILE, errno.ECONNABORTED])

        class Scarce(socket.socket):
            """The listener of a process that has no file left for some time."""

            def accept(self) -> Any:
                number = next(failures, None)
                if number:
                    raise OSError(number, "no more files")
                return super().accept()

        (listener,), _ = listen("127.0.0.1", 0)
        serving = serve(listener=Scarce(fileno=listener.detach()))
        with caplog.at_level(logging.WARNING):
            late = connect(serving)
            assert late.answer(late.call("Echo", b"well")).messages == [b"well"]
        assert next(failures, None) is None
        assert caplog.text.count("no more connections can be accepted") == 1

    def test_unexpected_error_costs_the_connection(
        self,
        serving: Serving,
        connect: Connect,
        well: Callable[[], bool],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        assert well()
        broken = connect(serving)
        broken.ping()

        def bug(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(socket_io_of(serving, broken), "read", bug)
        with caplog.at_level(logging.ERROR):
            broken.call("Echo")
            broken.until_closed()
        assert "unexpected error" in caplog.text
        assert well()


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
        assert caplog.messages == ["thread 'serving' has not ended"]
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


def socket_io_of(serving: Serving, caller: Caller) -> socket_io.SocketIO:
    """The server's side of a caller's connection."""
    (found,) = [
        one
        for one in serving.server.connections.sockets
        if one.sock.getpeername() == caller.sock.getsockname()
    ]
    return found


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
    except ConnectionRefusedError:
        return True
    return False
