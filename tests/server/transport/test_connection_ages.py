"""Connections that have their age, on either server: no call fails of it. What is counted are calls and
connections; how long anything takes is up to the machine. Over HTTP/1.1: sockets/test_open_connections.py."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Iterator

import grpc
import pytest

from hotgraph_server.transport.server import CallServer

from .conftest import PATIENCE_S, Connect, Serve, Toys, hot
from .http2.conftest import Caller

CallByHand = Callable[[CallServer], Caller]


@pytest.fixture
def call_by_hand() -> Iterator[CallByHand]:
    callers: list[Caller] = []

    def connect(server: CallServer) -> Caller:
        callers.append(Caller(int(server.address.rpartition(":")[2])))
        return callers[-1]

    yield connect
    for caller in callers:
        caller.close()


def seen_out(caller: Caller) -> None:
    """It is asked to go, and its connection closed."""
    caller.until(lambda: caller.client.farewells)
    caller.until_closed()


def ready_again(channel: grpc.Channel) -> queue.Queue[None]:
    """Has something for each connection that a channel makes."""
    made: queue.Queue[None] = queue.Queue()

    def tell(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            made.put(None)

    channel.subscribe(tell, try_to_connect=True)
    return made


def test_grpcs_own_client_sees_connections_go_and_no_call_fail(serve: Serve, connect: Connect) -> None:
    server = serve(max_connection_age_s=0.05, max_connection_age_grace_s=PATIENCE_S)
    channel = connect(server)
    made = ready_again(channel)
    calls = itertools.count()
    while made.qsize() < 4:
        message = b"%d" % next(calls)
        assert hot(channel, "Echo")(message, timeout=PATIENCE_S) == message


def test_call_under_way_ends_well_and_its_connection_is_closed_behind_it(
    serve: Serve, call_by_hand: CallByHand, toys: Toys
) -> None:
    caller = call_by_hand(serve(max_connection_age_s=0.05))
    held = caller.call("Hold")
    reply = toys.next_held()
    caller.until(lambda: caller.client.farewells)
    assert caller.client.answers[held].reset is None
    toys.release(reply, b"late, and well")
    assert caller.answer(held).messages == [b"late, and well"]
    caller.until_closed()
    assert all(farewell.error_code == 0 for farewell in caller.client.farewells)  # type: ignore[attr-defined]


def test_call_that_takes_longer_than_the_grace_is_cut_off(serve: Serve, connect: Connect, toys: Toys) -> None:
    server = serve(max_connection_age_s=0.05, max_connection_age_grace_s=0.05)
    call = hot(connect(server), "Hold").future(b"", timeout=PATIENCE_S)
    toys.next_held()
    assert call.code() is grpc.StatusCode.UNAVAILABLE


def test_connection_without_a_call_is_asked_to_go(serve: Serve, call_by_hand: CallByHand) -> None:
    caller = call_by_hand(serve(max_connection_idle_s=0.05))
    seen_out(caller)


def test_connection_with_a_call_is_not_idle(serve: Serve, call_by_hand: CallByHand, toys: Toys) -> None:
    server = serve(max_connection_idle_s=0.05)
    busy, idle = call_by_hand(server), call_by_hand(server)
    held = busy.call("Hold")
    reply = toys.next_held()
    for _ in range(3):
        seen_out(idle)
        idle = call_by_hand(server)
    busy.ping()
    assert not busy.client.farewells
    toys.release(reply, b"well")
    assert busy.answer(held).messages == [b"well"]
    busy.until(lambda: busy.client.farewells)
