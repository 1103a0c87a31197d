"""The load generator, against a server of python-hyper's h2 behind a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from bench.wire import WireError

from bench.generator import Asked, Generator
from bench.outcomes import Outcome
from tests.scripts.bench.test_wire import BODY, Server, decode, request

Answer = Callable[[Server, int], None]

ASKED = [Asked(request(), b"abc")]


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of a server that does `answer` for each call that has come whole."""
    threads: list[threading.Thread] = []

    def serve(link: socket.socket) -> None:
        server, answered = Server(), 0
        with link, contextlib.suppress(OSError):
            while data := link.recv(65_536):
                server.receive(data)
                for stream in server.whole[answered:]:
                    answer(server, stream)
                answered = len(server.whole)
                link.sendall(server.h2.data_to_send())

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(link,), name="link"))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, name="accepting")
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def test_every_call_of_an_open_loop_is_sent_and_ends_with_its_own_outcome() -> None:
    def answer(server: Server, stream: int) -> None:
        if stream % 4 == 1:
            server.answer(stream)
        else:
            server.refuse(stream, 8)

    with serving(answer) as address, Generator(address, ASKED, decode, deadline_s=30.0) as generator:
        ended = generator.open_loop([0.0] * 40)
    # Four connections, each with streams 1, 3, 5 ...: every second one is refused.
    assert sorted(call.outcome.value for call in ended) == ["refused"] * 20 + ["right"] * 20
    assert all(0.0 <= call.lag_s <= call.latency_s for call in ended)


def test_wrong_answer_is_no_right_one() -> None:
    with (
        serving(lambda server, stream: server.answer(stream, BODY.replace(b"abc", b"xyz"))) as address,
        Generator(address, ASKED, decode, deadline_s=30.0) as generator,
    ):
        (call,) = generator.open_loop([0.0])
    assert call.outcome is Outcome.WRONG


def test_caller_of_a_closed_loop_calls_again_when_it_is_answered() -> None:
    with (
        serving(lambda server, stream: server.answer(stream)) as address,
        Generator(address, ASKED, decode, deadline_s=None) as generator,
    ):
        ended = generator.closed_loop(2, seconds=0.05)
    assert len(ended) > 2
    assert all(call.outcome is Outcome.RIGHT for call in ended)


def test_server_that_hangs_up_is_an_error() -> None:
    def answer(server: Server, stream: int) -> None:
        raise OSError

    with (
        serving(answer) as address,
        Generator(address, ASKED, decode, deadline_s=None) as generator,
        pytest.raises(WireError),
    ):
        generator.open_loop([0.0])
