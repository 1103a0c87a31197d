"""What the transport tells of itself."""

from __future__ import annotations

import grpc
import pytest

from hotgraph_server.errors import InvalidCall
from hotgraph_server.transport.server import CallServer

from .conftest import PATIENCE_S, Connect, Serve, Toys, hot


def call(server: CallServer, connect: Connect, method: str) -> grpc.StatusCode:
    """The status that a call ends with, over a connection of its own."""
    try:
        hot(connect(server), method)(b"x", timeout=PATIENCE_S)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def test_calls_that_are_held_are_open(server: CallServer, connect: Connect, toys: Toys) -> None:
    assert server.figures().open_calls == 0
    ended = hot(connect(server), "Hold").future(b"x", timeout=PATIENCE_S)
    reply = toys.next_held()
    assert server.figures().open_calls == 1
    toys.release(reply)
    ended.result()


def test_limits_are_those_of_the_settings(serve: Serve) -> None:
    figures = serve(max_calls=7, max_inflight_mb=3).figures()
    assert (figures.max_calls, figures.max_held_bytes) == (7, 3 << 20)


class TestFastLane:
    """Of which grpc's own server tells nothing."""

    @pytest.fixture
    def transport(self) -> dict[str, bool]:
        return {"fast_lane": True}

    def test_messages_count_while_their_calls_are_inside(
        self, server: CallServer, connect: Connect, toys: Toys
    ) -> None:
        ended = hot(connect(server), "Hold").future(b"x" * 100_000, timeout=PATIENCE_S)
        reply = toys.next_held()
        assert server.figures().held_bytes >= 100_000
        toys.release(reply)
        ended.result()

    def test_connections_are_open_until_they_are_closed_and_accepted_for_good(
        self, server: CallServer, connect: Connect
    ) -> None:
        channel = connect(server)
        for _ in range(3):
            hot(channel, "Echo")(b"x", timeout=PATIENCE_S)
        assert (server.figures().connections, server.figures().accepted) == (1, 1)
        channel.close()
        server.stop(0)
        assert (server.figures().connections, server.figures().accepted) == (0, 1)

    def test_errors_count_by_status_whoever_refuses_them(
        self, server: CallServer, connect: Connect, toys: Toys
    ) -> None:
        toys.error = InvalidCall("no")
        assert call(server, connect, "Fail") is grpc.StatusCode.INVALID_ARGUMENT
        assert call(server, connect, "FailLater") is grpc.StatusCode.INVALID_ARGUMENT
        assert call(server, connect, "NoSuchMethod") is grpc.StatusCode.UNIMPLEMENTED
        assert call(server, connect, "Echo") is grpc.StatusCode.OK
        expected = {("grpc", "INVALID_ARGUMENT"): 2, ("grpc", "UNIMPLEMENTED"): 1}
        assert (server.figures().errors, server.figures().faults) == (expected, 0)

    def test_bug_is_a_fault_too(self, server: CallServer, connect: Connect, toys: Toys) -> None:
        toys.error = ZeroDivisionError("the secret")
        assert call(server, connect, "Fail") is grpc.StatusCode.INTERNAL
        assert server.figures().errors == {("grpc", "INTERNAL"): 1}
        assert server.figures().faults == 1
