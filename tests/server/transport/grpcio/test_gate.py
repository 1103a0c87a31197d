"""What calls over the limit get, from either server."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import wrappers_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hotgraph_server.errors import QueueFull

from ..conftest import PATIENCE_S, Connect, Serve, Toys, hot, plain
from .test_handlers import failure, trailers


class TestEdge:
    """With ``max_calls`` hot calls inside, and all of them held."""

    @pytest.fixture
    def full(self, serve: Serve, connect: Connect, toys: Toys) -> Iterator[grpc.Channel]:
        channel = connect(serve(max_calls=3))
        # grpc cancels calls that nobody refers to any more.
        calls = [hot(channel, "Hold").future(b"") for _ in range(3)]
        for _ in calls:
            toys.next_held()
        yield channel
        toys.release_all()
        assert [call.result(PATIENCE_S) for call in calls] == [b"released"] * 3

    def test_next_hot_call_is_refused_with_the_numbers(self, full: grpc.Channel) -> None:
        error = failure(hot(full, "Echo").future(b""))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details() == "the server is full: 3 calls wait, the limit is 3"
        assert trailers(error)["grpc-retry-pushback-ms"] == str(QueueFull.retry_after_ms)

    def test_plain_calls_are_answered(self, full: grpc.Channel) -> None:
        for _ in range(10):
            assert plain(full)(wrappers_pb2.StringValue(value="well"), timeout=PATIENCE_S).value == "well"

    def test_health_is_answered(self, full: grpc.Channel) -> None:
        stub = health_pb2_grpc.HealthStub(full)
        for _ in range(10):
            response = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
            assert response.status == health_pb2.HealthCheckResponse.NOT_SERVING

    def test_place_is_free_again_when_a_call_has_ended(self, full: grpc.Channel, toys: Toys) -> None:
        toys.release_all()
        assert echoes_soon(full)

    def test_place_of_a_caller_that_left_is_free_again_once_its_call_ended(
        self, serve: Serve, connect: Connect, toys: Toys
    ) -> None:
        channel = connect(serve(max_calls=1))
        call = hot(channel, "Hold").future(b"")
        reply = toys.next_held()
        # What a protocol does: the call leaves, and so its reply is finished.
        reply.when_gone(lambda: toys.release(reply))
        call.cancel()
        assert echoes_soon(channel)


def echoes_soon(channel: grpc.Channel) -> bool:
    """Is a hot call answered? A place is given back a moment after its call has ended, so one may be refused
    before."""
    return any(
        hot(channel, "Echo").future(b"", timeout=PATIENCE_S).exception() is None for _ in range(10_000)
    )
