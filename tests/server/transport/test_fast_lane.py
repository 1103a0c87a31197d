"""What the fast lane has that grpc's public API has not, and what happens where it cannot be used.

That it answers as the public API does is tested by all the other modules here, which run on both.
"""

from __future__ import annotations

import gc
import logging
import threading
import types
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from hotgraph_server.transport import fast_lane
from hotgraph_server.transport.fast_lane import missing_pieces
from hotgraph_server.transport.service import Reply, Service

from .conftest import LANES, PATIENCE_S, Connect, Serve, Toys, hot, plain
from .test_health import open_and_say_nothing

pytestmark = pytest.mark.parametrize("lane", [LANES["fast lane"]], ids=["fast lane"])


@pytest.mark.usefixtures("lane")
def test_installed_grpc_has_every_piece() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert missing_pieces(grpc.server(pool)) == []


@pytest.mark.parametrize(
    ("table", "value", "missing"),
    [
        ("_NEEDED", ((types.ModuleType("grpc._server"), ("_gone",)),), "grpc._server._gone"),
        ("_NEEDED_STATE", ("due", "gone"), "_ServerState.gone"),
    ],
)
def test_grpc_without_a_piece_is_served_through_its_public_api_with_a_warning(
    serve: Serve,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    table: str,
    value: Any,
    missing: str,
) -> None:
    monkeypatch.setattr(fast_lane, table, value)
    with caplog.at_level(logging.WARNING, "hotgraph_server"):
        channel = connect(serve())
    assert f"lacks {missing}: " in caplog.text
    assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"


def test_callers_that_send_no_request_do_not_hold_up_others(channel: grpc.Channel) -> None:
    silent = [
        open_and_say_nothing(channel, f"/test.Toys/{method}")
        for method in ("Plain", "Echo")
        for _ in range(8)
    ]
    assert plain(channel)(wrappers_pb2.StringValue(value="well"), timeout=PATIENCE_S).value == "well"
    assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"
    for call in silent:
        call.cancel()


def test_calls_without_a_message_keep_nobody_out(serve: Serve, connect: Connect) -> None:
    """Anyone can open more calls than may be inside, and say nothing; they are owed nothing."""
    channel = connect(serve(max_calls=2))
    silent = [open_and_say_nothing(channel, "/test.Toys/Echo") for _ in range(20)]
    assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"
    for call in silent:
        call.cancel()


def test_large_message_is_decoded_beside_the_serving_thread(serve: Serve, connect: Connect) -> None:
    """Decoding can take seconds, and health must be answered meanwhile."""
    threads: list[str] = []

    def note(message: bytes, reply: Reply) -> None:
        threads.append(threading.current_thread().name.partition("_")[0])
        reply.finish(lambda: b"")

    service = Service("test.Large", wrappers_pb2.DESCRIPTOR, hot={"Note": note})
    channel = connect(serve(service))
    for size in (10, 2**20):
        note_size: Any = channel.unary_unary("/test.Large/Note")
        note_size(b"x" * size, timeout=PATIENCE_S)
    assert threads == ["serving", "decoding"]


def test_message_above_the_limit_is_refused_with_its_status(serve: Serve, connect: Connect) -> None:
    channel = connect(serve(max_message_mb=1))
    call = hot(channel, "Echo").future(b"x" * (2**20 + 1), timeout=PATIENCE_S)
    assert call.exception().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert hot(channel, "Echo")(b"well", timeout=PATIENCE_S) == b"well"


def test_more_calls_than_there_are_threads_are_open_at_a_time(channel: grpc.Channel, toys: Toys) -> None:
    calls = [hot(channel, "Hold").future(b"") for _ in range(600)]
    for _ in calls:
        toys.next_held()
    toys.release_all()
    assert [call.result(PATIENCE_S) for call in calls] == [b"released"] * 600


def test_reply_is_forgotten_without_a_garbage_collection(channel: grpc.Channel, toys: Toys) -> None:
    """Replies hold on to requests: what only the collector can free would add up under load."""
    gc.collect()
    gc.disable()
    try:
        references = []
        for _ in range(20):
            call = hot(channel, "Hold").future(b"x" * 1000)
            reply = toys.next_held()
            marker = _Marker()
            references.append(weakref.ref(marker))
            reply.when_gone(marker)
            del marker
            toys.release(reply)
            del reply
            assert call.result(PATIENCE_S) == b"released"
        # The last of them may still be on its way out.
        assert sum(reference() is not None for reference in references) <= 2
    finally:
        gc.enable()


class _Marker:
    """Something to leave with a reply."""

    def __call__(self) -> None:
        pass
