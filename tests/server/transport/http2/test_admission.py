"""Which calls are let in, and how they are counted."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import wrappers_pb2

from hotgraph_server.errors import CallError, Draining, NotReady, QueueFull, Unsupported
from hotgraph_server.transport.http2.admission import Admission, HeadersTooLarge, UnaryRoute
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import PlainMethod, Reply, Service, StreamingMethod


def hot(message: Any, reply: Reply) -> None:
    raise AssertionError("never called here")


CHAT = StreamingMethod(lambda stream: lambda message: None)
SERVICE = Service(
    "test.Toys",
    None,
    hot={"Hot": hot},
    plain={"Plain": PlainMethod(wrappers_pb2.StringValue, lambda request: request)},
    streaming={"Chat": CHAT},
    early=("Plain",),
)
NOT_YET, DRAINING = NotReady("loading"), Draining("this server")


def admission(
    max_calls: int = 2, calls: OpenCalls | None = None, admit: Callable[..., CallError | None] | None = None
) -> Admission:
    """As the thread sees it that has connections_lock."""
    lock = threading.Lock()
    lock.acquire()
    return Admission([SERVICE], lock, max_calls=max_calls, open_calls=calls or OpenCalls(), admit=admit)


def head(method: str = "Hot", **more: Any) -> Head:
    return Head(f"/test.Toys/{method}", math.inf, "identity", **more)


class TestDeciding:
    def test_methods_are_found_by_their_paths(self) -> None:
        found = admission()
        assert found.decide(head("Hot")) == UnaryRoute(hot, limited=True)
        plain = found.decide(head("Plain"))
        assert isinstance(plain, UnaryRoute)
        assert not plain.limited
        assert found.decide(head("Chat")) is CHAT

    @pytest.mark.parametrize("more", [{}, {"http_status": 415}])
    def test_there_is_no_other_method(self, more: dict[str, int]) -> None:
        assert isinstance(admission().decide(head("Nonesuch", **more)), Unsupported)
        assert isinstance(admission().decide(head("Hot", http_status=415)), Unsupported)

    def test_headers_that_are_too_large_are_refused_whatever_they_say(self) -> None:
        def admit(path: str, header: Any) -> CallError:
            raise AssertionError("asked")

        refusal = admission(admit=admit).decide(head("Nonesuch", too_large=17_000))
        assert isinstance(refusal, HeadersTooLarge)
        assert str(refusal) == "the call's headers have 17000 bytes, and 16384 are allowed"

    def test_server_that_is_not_open_answers_early_methods_only(self) -> None:
        found = admission()
        found.not_yet = NOT_YET
        assert found.decide(head("Hot")) is found.decide(head("Chat")) is NOT_YET
        assert isinstance(found.decide(head("Plain")), UnaryRoute)
        assert isinstance(found.decide(head("Nonesuch")), Unsupported)
        found.not_yet = None
        assert isinstance(found.decide(head("Hot")), UnaryRoute)

    def test_server_that_drains_refuses_hot_calls_and_no_others(self) -> None:
        found = admission()
        found.refusal = DRAINING
        assert found.decide(head("Hot")) is DRAINING
        assert isinstance(found.decide(head("Plain")), UnaryRoute)
        assert found.decide(head("Chat")) is CHAT

    def test_call_that_may_not_be_made_is_refused_before_anything_else_is_said_of_it(self) -> None:
        asked: list[tuple[str, str | None]] = []
        refusal = Unsupported("no")

        def admit(path: str, header: Callable[[str], str | None]) -> CallError | None:
            asked.append((path, header("key")))
            return refusal if header("key") is None else None

        found = admission(admit=admit)
        found.not_yet = NOT_YET
        assert found.decide(head("Nonesuch")) is refusal
        assert found.decide(head("Hot", fields={"key": "right"})) is NOT_YET
        assert isinstance(found.decide(head("Hot", http_status=405)), Unsupported)
        assert asked == [("/test.Toys/Nonesuch", None), ("/test.Toys/Hot", "right")]


class TestCounting:
    def test_calls_over_the_limit_are_refused_and_count_until_they_are_over(self) -> None:
        calls = OpenCalls()
        found = admission(max_calls=2, calls=calls)
        assert found.take(limited=True) is None
        assert found.take(limited=True) is None
        refusal = found.take(limited=True)
        assert isinstance(refusal, QueueFull)
        assert str(refusal) == "the server is full: 2 calls wait, the limit is 2"
        assert (found.inside, found.arrived) == (3, 3)
        for _ in range(3):
            assert not calls.wait_until_none(0)
            found.let_go(limited=True)
        assert calls.wait_until_none(0)
        assert (found.inside, found.arrived) == (0, 3)
        assert found.take(limited=True) is None

    def test_plain_calls_are_owed_an_answer_and_never_refused(self) -> None:
        calls = OpenCalls()
        found = admission(max_calls=0, calls=calls)
        assert found.take(limited=False) is None
        assert (found.inside, found.arrived) == (0, 0)
        assert not calls.wait_until_none(0)
        found.let_go(limited=False)
        assert calls.wait_until_none(0)

    def test_calls_of_streams_are_refused_by_a_server_that_drains_alone(self) -> None:
        calls = OpenCalls()
        found = admission(max_calls=0, calls=calls)
        assert found.take_part() is None
        assert not calls.wait_until_none(0)
        found.let_part_go()
        found.refusal = DRAINING
        assert found.take_part() is DRAINING
        assert calls.wait_until_none(0)

    def test_counting_without_the_lock_is_a_mistake(self) -> None:
        lock = threading.Lock()
        found = Admission([SERVICE], lock, max_calls=1, open_calls=OpenCalls())
        with pytest.raises(AssertionError):
            found.take(limited=True)
        with pytest.raises(AssertionError):
            found.let_go(limited=True)
        with pytest.raises(AssertionError):
            found.failed("grpc", DRAINING)
