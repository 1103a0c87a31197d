"""grpc.health.v1 over a real connection."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.transport.health import Health
from hotgraph_server.transport.server import CallServer
from hotgraph_server.transport.service import answer_plain

from .conftest import PATIENCE_S, TRANSPORTS, Connect, Serve, Toys, hot

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def check(channel: grpc.Channel, name: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=name)
    response = health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE_S)
    return int(response.status)


def watch(channel: grpc.Channel, name: str = "") -> Any:
    request = health_pb2.HealthCheckRequest(service=name)
    return health_pb2_grpc.HealthStub(channel).Watch(request, timeout=PATIENCE_S)


def next_status(watching: Iterator[Any]) -> int:
    return int(next(watching).status)


def test_nothing_is_healthy_before_it_is_said(channel: grpc.Channel) -> None:
    assert check(channel) == NOT_SERVING


def test_names_and_the_server_as_a_whole_are_healthy_once_said(
    server: CallServer, channel: grpc.Channel
) -> None:
    server.health.serving(["model", "test.Toys"])
    assert [check(channel, name) for name in ("", "model", "test.Toys")] == [SERVING] * 3


def test_unknown_name_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        check(channel, "nonesuch")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_after_draining_nothing_is_healthy_for_good(server: CallServer, channel: grpc.Channel) -> None:
    server.health.serving(["model"])
    server.health.drain()
    server.health.serving(["model"])
    assert [check(channel, name) for name in ("", "model")] == [NOT_SERVING] * 2


def test_nothing_is_healthy_while_another_process_is_not(server: CallServer, channel: grpc.Channel) -> None:
    health = server.health
    health.serving(["model"])
    watching = watch(channel, "model")
    assert next_status(watching) == SERVING
    health.of_all(False)
    assert next_status(watching) == NOT_SERVING
    # What becomes of this process alone changes nothing, and is remembered.
    health.not_serving(["model"])
    health.serving(["another"])
    assert [check(channel, name) for name in ("", "model", "another")] == [NOT_SERVING] * 3
    health.serving(["model"])
    health.of_all(True)
    assert next_status(watching) == SERVING
    assert [check(channel, name) for name in ("", "model", "another")] == [SERVING] * 3
    watching.cancel()


def test_watcher_sees_it_come_and_go(server: CallServer, channel: grpc.Channel) -> None:
    watching = watch(channel, "model")
    assert next_status(watching) == SERVICE_UNKNOWN
    server.health.serving(["model"])
    assert next_status(watching) == SERVING
    server.health.drain()
    assert next_status(watching) == NOT_SERVING
    watching.cancel()


def test_watcher_is_told_of_the_drain_when_the_server_stops(
    server: CallServer, channel: grpc.Channel, toys: Toys
) -> None:
    server.health.serving([])
    watching = watch(channel)
    assert next_status(watching) == SERVING
    server.stop(0)
    assert next_status(watching) == NOT_SERVING


def test_many_watchers_hold_up_neither_checks_nor_each_other(
    server: CallServer, channel: grpc.Channel
) -> None:
    watchers = [watch(channel) for _ in range(20)]
    assert [next_status(watching) for watching in watchers] == [NOT_SERVING] * 20
    assert check(channel) == NOT_SERVING
    server.health.serving([])
    assert [next_status(watching) for watching in watchers] == [SERVING] * 20
    for watching in watchers:
        watching.cancel()


@pytest.mark.parametrize("transport", [TRANSPORTS["http2"]], ids=["http2"])
def test_callers_that_send_no_request_do_not_hold_up_checks(channel: grpc.Channel) -> None:
    """Anyone can open calls and then say nothing; a balancer must still hear that the server is well.

    Through grpc's public API each of them holds a thread until its message comes; through HTTP/2 of our own
    none does.
    """
    silent = [open_and_say_nothing(channel, "/grpc.health.v1.Health/Check") for _ in range(8)]
    assert check(channel) == NOT_SERVING
    for call in silent:
        call.cancel()


def test_two_servers_in_one_process_share_nothing(serve: Serve, connect: Connect) -> None:
    first, second = serve(), serve()
    first.health.serving([])
    one, other = connect(first), connect(second)
    assert (check(one), check(other)) == (SERVING, NOT_SERVING)
    first.stop(0)
    second.health.serving([])
    for _ in range(10):
        assert check(other) == SERVING
    assert hot(other, "Echo")(b"well", timeout=PATIENCE_S) == b"well"


@given(st.binary(max_size=64), st.sampled_from(["Check", "List"]))
def test_any_bytes_are_a_question_or_are_refused(message: bytes, method: str) -> None:
    health = Health()
    with contextlib.suppress(NotFound, InvalidCall):
        assert isinstance(answer_plain(health.service.plain[method], message), bytes)


def open_and_say_nothing(channel: grpc.Channel, path: str) -> Any:
    """A call whose headers have arrived at the server, and whose message never comes."""
    # A stream of requests of which none ever comes; grpc sends headers at once. It ends when cancelled.
    silence = _Silence()
    method: Any = channel.stream_unary(path)
    call = method.future(silence, timeout=PATIENCE_S)
    call.add_done_callback(lambda _: silence.end())
    return call


class _Silence:
    """An iterator that says nothing until it is ended."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()

    def __iter__(self) -> _Silence:
        return self

    def __next__(self) -> bytes:
        self._ended.wait(PATIENCE_S)
        raise StopIteration


@pytest.mark.parametrize("method", ["Check", "Watch"])
def test_message_that_cannot_be_read_is_the_callers_mistake(
    channel: grpc.Channel, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    call: Any = channel.unary_stream(f"/grpc.health.v1.Health/{method}")
    with pytest.raises(grpc.RpcError) as raised:
        next(call(b"\xff\xff", timeout=PATIENCE_S))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not [record for record in caplog.records if record.exc_info]


def quiet() -> Any:
    """A Quiet, which is all of a stream that health needs."""
    return Quiet()


class Quiet:
    """An OpenStream whose caller the test is."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.leave: Any = None

    def send(self, message: bytes) -> None:
        self.said.append(health_pb2.HealthCheckResponse.FromString(message).status)

    def end(self, error: CallError | None = None) -> None:
        self.said.append("end")

    def when_gone(self, leave: Any) -> None:
        self.leave = leave


class TestWatchers:
    """At the moments that a real connection meets only by chance."""

    request = health_pb2.HealthCheckRequest(service="model").SerializeToString()

    def test_watcher_that_left_before_it_was_heard_is_forgotten(self) -> None:
        health, watcher = Health(), quiet()
        receive = health.service.streaming["Watch"].open(watcher)
        watcher.leave()
        receive(self.request)
        health.serving(["model"])
        health.drain()
        assert watcher.said == []
        left = weakref.ref(watcher)
        del watcher, receive
        gc.collect()
        assert left() is None

    def test_watcher_that_asks_after_the_drain_is_told_and_ended(self) -> None:
        health, watcher = Health(), quiet()
        health.serving(["model"])
        receive = health.service.streaming["Watch"].open(watcher)
        health.drain()
        assert watcher.said == []
        receive(self.request)
        receive(None)
        assert watcher.said == [NOT_SERVING, "end"]
        told = weakref.ref(watcher)
        del watcher, receive
        gc.collect()
        assert told() is None

    def test_watcher_that_asks_again_watches_the_other_name(self) -> None:
        health, watcher = Health(), quiet()
        receive = health.service.streaming["Watch"].open(watcher)
        receive(self.request)
        receive(health_pb2.HealthCheckRequest(service="other").SerializeToString())
        health.serving(["model"])
        health.serving(["other"])
        assert watcher.said == [SERVICE_UNKNOWN, SERVICE_UNKNOWN, SERVING]
