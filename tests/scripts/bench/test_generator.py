"""The overload bench's calls, each with what became of it, against a server of grpcio's."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from bench.generator import Asked, call
from bench.outcomes import Outcome
from hotgraph_client.loadtest.load import Arrivals

PATH = "/inference.GRPCInferenceService/ModelInfer"
ASKED = [Asked(PATH, b"question", b"abc")]
STEADY = Arrivals("uniform", rate=400.0)

Answer = Callable[[bytes, grpc.ServicerContext], bytes]


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of a server that answers each message so."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer) if details.method == PATH else None

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_every_call_of_an_open_loop_ends_with_its_own_outcome() -> None:
    numbers = itertools.count()

    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        assert message == b"question"
        if next(numbers) % 2:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return b"xabcx"

    with serving(answer) as address:
        ended = call(address, ASKED, STEADY, seconds=0.1, deadline_s=30.0, seed=1)
    assert sorted(call.outcome.value for call in ended) == ["refused"] * 20 + ["right"] * 20
    assert all(0.0 <= call.lag_s <= call.latency_s for call in ended)


def test_wrong_answer_is_no_right_one() -> None:
    with serving(lambda message, context: b"xyz") as address:
        ended = call(address, ASKED, STEADY, seconds=0.01, deadline_s=30.0, seed=1)
    assert {call.outcome for call in ended} == {Outcome.WRONG}


def test_each_answer_is_held_against_its_own_question() -> None:
    asked = [Asked(PATH, b"one", b"ONE"), Asked(PATH, b"two", b"TWO")]
    with serving(lambda message, context: message.upper()) as address:
        ended = call(address, asked, STEADY, seconds=0.05, deadline_s=30.0, seed=1)
    assert [call.outcome for call in ended] == [Outcome.RIGHT] * 20


def test_caller_of_a_closed_loop_calls_again_when_it_is_answered() -> None:
    with serving(lambda message, context: b"abc") as address:
        ended = call(address, ASKED, Arrivals("closed", callers=2), seconds=0.5, deadline_s=None, seed=1)
    assert len(ended) > 2
    assert {call.outcome for call in ended} == {Outcome.RIGHT}


def test_servers_word_is_waited_for_past_the_deadline() -> None:
    """Which another client would not do: an answer that is late is right, and its latency says that it is."""
    left: list[float] = []

    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        left.append(context.time_remaining())
        return b"abc"

    with serving(answer) as address:
        # Due before anything can be sent: the deadline is over when the call is read.
        ended = call(address, ASKED, STEADY, seconds=0.01, deadline_s=1e-6, seed=1)
    assert all(call.outcome in (Outcome.RIGHT, Outcome.EXPIRED) for call in ended)
    assert all(call.latency_s > 1e-6 for call in ended)
    assert all(seconds < 1 for seconds in left)


def test_call_without_an_answer_is_silent() -> None:
    release = threading.Event()

    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        release.wait(30.0)
        return b"abc"

    with serving(answer) as address:
        try:
            load = Arrivals("uniform", rate=50.0)
            (ended,) = call(address, ASKED, load, seconds=0.01, deadline_s=0.05, seed=1)
        finally:
            release.set()
    # Unless the server says first that its time is over, as grpcio's does.
    assert ended.outcome in (Outcome.SILENT, Outcome.EXPIRED)


def test_server_that_is_gone_is_failed_calls() -> None:
    with serving(lambda message, context: b"abc") as address:
        pass
    ended = call(address, ASKED, STEADY, seconds=0.02, deadline_s=30.0, seed=1)
    assert [call.outcome for call in ended] == [Outcome.FAILED] * 8
