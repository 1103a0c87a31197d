"""Hot and plain calls over a real connection: answers, errors, callers that leave, the edge."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from hotgraph_server.errors import CallError, InternalError, InvalidCall, NotFound, QueueFull, RunFailed
from hotgraph_server.transport.grpcio.handlers import monotonic_deadline
from hotgraph_server.transport.server import CallServer

from ..conftest import PATIENCE_S, Connect, Toys, hot, plain


def failure(call: Any) -> Any:
    """The RpcError of a call, which is also its future."""
    error = call.exception(timeout=PATIENCE_S)
    assert isinstance(error, grpc.RpcError)
    return error


def method_at(channel: grpc.Channel, path: str) -> Any:
    """Any method, bytes to bytes."""
    return channel.unary_unary(path)


def trailers(error: Any) -> dict[str, str]:
    return {key: value for key, value in error.trailing_metadata() or ()}


def test_peer_tells_a_connection_from_all_others(server: CallServer, toys: Toys) -> None:
    # Without that option channels to one address share a connection.
    channels = [
        grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(2)
    ]
    peers = []
    for channel in (channels[0], channels[0], channels[1]):
        call = hot(channel, "Hold").future(b"")
        reply = toys.next_held()
        peers.append(reply.peer)
        toys.release(reply)
        call.result(PATIENCE_S)
    for channel in channels:
        channel.close()
    assert peers[0] == peers[1] != peers[2]
    assert "127.0.0.1:" in peers[0]


class TestAnswers:
    @pytest.mark.parametrize("message", [b"", b"\0", b"answer me"])
    def test_hot_call_is_answered_from_another_thread(self, channel: grpc.Channel, message: bytes) -> None:
        assert hot(channel, "Echo")(message, timeout=PATIENCE_S) == message

    def test_plain_call_is_answered(self, channel: grpc.Channel) -> None:
        assert plain(channel)(wrappers_pb2.StringValue(value="é"), timeout=PATIENCE_S).value == "é"

    def test_messages_of_any_size_travel_both_ways(self, channel: grpc.Channel) -> None:
        message = bytes(range(256)) * (20 * 2**20 // 256)
        assert hot(channel, "Echo")(message, timeout=PATIENCE_S) == message

    def test_many_calls_at_a_time_each_get_their_own_answer(self, channel: grpc.Channel) -> None:
        calls = [hot(channel, "Echo").future(b"%d" % number, timeout=PATIENCE_S) for number in range(300)]
        assert [call.result() for call in calls] == [b"%d" % number for number in range(300)]

    def test_calls_are_answered_in_any_order(self, channel: grpc.Channel, toys: Toys) -> None:
        calls = {}
        replies = []
        for name in (b"first", b"second", b"third"):
            calls[name] = hot(channel, "Hold").future(name)
            replies.append((name, toys.next_held()))
        for name, reply in reversed(replies):
            toys.release(reply, b"to " + name)
            assert calls[name].result(PATIENCE_S) == b"to " + name

    def test_deadline_of_the_caller_reaches_the_method(self, channel: grpc.Channel, toys: Toys) -> None:
        limited = hot(channel, "Hold").future(b"", timeout=PATIENCE_S)
        reply = toys.next_held()
        unlimited = hot(channel, "Hold").future(b"")
        assert reply.deadline < float("inf")
        assert toys.next_held().deadline == float("inf")
        toys.release_all()
        assert limited.result(PATIENCE_S) == unlimited.result(PATIENCE_S) == b"released"

    def test_unknown_method_and_service_are_unimplemented(self, channel: grpc.Channel) -> None:
        for path in ("/test.Toys/Nonesuch", "/test.Nonesuch/Echo"):
            error = failure(method_at(channel, path).future(b""))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", ["Fail", "FailLater", "PlainFail"])
class TestErrors:
    def raised(self, channel: grpc.Channel, method: str) -> Any:
        if method.startswith("Plain"):
            return failure(plain(channel, method).future(wrappers_pb2.StringValue()))
        return failure(hot(channel, method).future(b""))

    @pytest.mark.parametrize(
        "error",
        [
            InvalidCall("input 'x' is wrong"),
            NotFound("no model 'é'\nhere"),
            RunFailed(11, "out of range\n\t[[node]]"),
            RunFailed(999, "who knows"),
        ],
        ids=["invalid", "not found", "out of range", "unknown"],
    )
    def test_error_keeps_its_code_and_text(
        self, channel: grpc.Channel, toys: Toys, method: str, error: CallError
    ) -> None:
        toys.error = error
        raised = self.raised(channel, method)
        assert raised.code() is error.status
        assert raised.details() == str(error)
        assert "grpc-retry-pushback-ms" not in trailers(raised)

    @pytest.mark.parametrize(
        ("sent", "arrives"), [("x" * 1024, "x" * 1024), ("x" * 1025, "x" * 1024 + "...TRUNCATED")]
    )
    def test_long_text_is_cut_with_a_mark(
        self, channel: grpc.Channel, toys: Toys, method: str, sent: str, arrives: str
    ) -> None:
        toys.error = InvalidCall(sent)
        assert self.raised(channel, method).details() == arrives

    @pytest.mark.parametrize("character", ["é", "€", "\U0001f600", "\n", "%"])
    def test_long_text_in_any_script_keeps_the_code(
        self, channel: grpc.Channel, toys: Toys, method: str, character: str
    ) -> None:
        """On the wire each such character is several, and peers refuse long header blocks."""
        toys.error = InvalidCall(character * 5000)
        raised = self.raised(channel, method)
        assert raised.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert raised.details().startswith(character * 100)
        assert raised.details().endswith("...TRUNCATED")

    def test_full_queue_says_when_to_come_again(self, channel: grpc.Channel, toys: Toys, method: str) -> None:
        toys.error = QueueFull("model 'm'", 8, 8)
        raised = self.raised(channel, method)
        assert raised.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert raised.details() == "model 'm' is full: 8 calls wait, the limit is 8"
        assert trailers(raised)["grpc-retry-pushback-ms"] == str(QueueFull.retry_after_ms)

    def test_bug_is_logged_whole_and_sent_without_details(
        self, channel: grpc.Channel, toys: Toys, method: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        toys.error = ZeroDivisionError("the secret")
        with caplog.at_level(logging.ERROR, "hotgraph_server"):
            raised = self.raised(channel, method)
        assert raised.code() is grpc.StatusCode.INTERNAL
        assert raised.details() == str(InternalError())
        logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
        assert logged == [toys.error]


def test_plain_message_that_cannot_be_read_is_an_error_and_no_crash(channel: grpc.Channel) -> None:
    error = failure(method_at(channel, "/test.Toys/Plain").future(b"\xff\xff"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert plain(channel)(wrappers_pb2.StringValue(value="well"), timeout=PATIENCE_S).value == "well"


def test_waiting_time_becomes_a_deadline_and_what_outlasts_everything_none() -> None:
    before = time.monotonic()
    assert before + 5 <= monotonic_deadline(5) <= time.monotonic() + 5
    # grpc's own ways to say that there is no deadline.
    assert monotonic_deadline(None) == monotonic_deadline(2**63 / 1e9 * 0.99) == math.inf


class TestLeaving:
    def test_cancelling_caller_is_told_to_the_call(self, channel: grpc.Channel, toys: Toys) -> None:
        call = hot(channel, "Hold").future(b"")
        reply = toys.next_held()
        gone = threading.Event()
        reply.when_gone(gone.set)
        call.cancel()
        assert gone.wait(PATIENCE_S)

    def test_passed_deadline_is_told_to_the_call(self, channel: grpc.Channel, toys: Toys) -> None:
        call = hot(channel, "Hold").future(b"", timeout=0.2)
        reply = toys.next_held()
        gone = threading.Event()
        reply.when_gone(gone.set)
        assert failure(call).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert gone.wait(PATIENCE_S)

    def test_closed_connection_is_told_to_the_call(
        self, server: CallServer, connect: Connect, toys: Toys
    ) -> None:
        channel = connect(server)
        call = hot(channel, "Hold").future(b"")
        reply = toys.next_held()
        gone = threading.Event()
        reply.when_gone(gone.set)
        channel.close()
        assert gone.wait(PATIENCE_S)
        assert call.done()

    def test_caller_that_has_left_already_is_told_at_once(self, channel: grpc.Channel, toys: Toys) -> None:
        call = hot(channel, "Hold").future(b"")
        reply = toys.next_held()
        gone, told_again = threading.Event(), threading.Event()
        reply.when_gone(gone.set)
        call.cancel()
        assert gone.wait(PATIENCE_S)
        reply.when_gone(told_again.set)
        assert told_again.wait(PATIENCE_S)

    def test_caller_that_left_does_not_harm_its_neighbours(self, channel: grpc.Channel, toys: Toys) -> None:
        leaving, staying = hot(channel, "Hold").future(b""), hot(channel, "Hold").future(b"")
        replies = [toys.next_held(), toys.next_held()]
        gone = threading.Semaphore(0)
        for reply in replies:
            reply.when_gone(gone.release)
        leaving.cancel()
        assert gone.acquire(timeout=PATIENCE_S)
        toys.release_all()
        assert staying.result(PATIENCE_S) == b"released"

    def test_answer_to_a_caller_that_left_is_dropped(self, channel: grpc.Channel, toys: Toys) -> None:
        call = hot(channel, "Hold").future(b"")
        reply = toys.next_held()
        gone = threading.Event()
        reply.when_gone(gone.set)
        call.cancel()
        assert gone.wait(PATIENCE_S)
        toys.release(reply)
        assert hot(channel, "Echo")(b"next", timeout=PATIENCE_S) == b"next"
