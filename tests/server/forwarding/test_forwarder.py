"""Calls that are sent on: which, to whom, and that each ends once, whoever leaves and whatever breaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import pytest

from hotgraph_server.errors import CallError, InternalError, QueueFull
from hotgraph_server.forwarding.figures import Outcome
from hotgraph_server.forwarding.forwarder import Forwarder
from hotgraph_server.forwarding.headers import FORWARDED
from hotgraph_server.forwarding.links import Links, NobodyThere, PeersError
from hotgraph_server.forwarding.peers import Peers, read
from hotgraph_server.transport.http import Request
from hotgraph_server.transport.service import HotMethod, PlainMethod, Service

from ..fakes import until
from ..protocols.fakes import FakeReply

PATIENCE_S = 30.0
FILE = "h:1 b slow\nh:2 b slow\nh:3 alone"


class FakeLinks(Links):
    """Peers that answer as the test says.

    Attributes:
        asked: addresses, in their order.
        away: those that cannot be reached.
        gate: is waited for, where the message says `wait`.
        waiting: is set when one waits; `cancelled` when that is over.
        unblocked: until it is set, one whose message says `block` has the loop wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.said: list[Any] = []
        self.away: set[str] = set()
        self.fault: BaseException | None = None
        self.waiting, self.cancelled = threading.Event(), threading.Event()
        self.unblocked = threading.Event()
        self.open: Callable[[], object] = lambda: None

    async def call(self, address: str, path: str, message: bytes, metadata: Any, deadline: float) -> bytes:
        self.asked.append(address)
        self.said.append((path, metadata, deadline))
        if address in self.away:
            raise NobodyThere("away")
        if self.fault is not None:
            raise self.fault
        if b"block" in message:
            self.waiting.set()
            self.unblocked.wait(PATIENCE_S)
        if b"wait" in message:
            gate, loop = asyncio.Event(), asyncio.get_running_loop()
            self.open = lambda: loop.call_soon_threadsafe(gate.set)
            self.waiting.set()
            try:
                await gate.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return b"of " + address.encode()


class Scene:
    """A forwarder that knows `a`, with two peers that have `b`; and a service around it."""

    def __init__(self, max_calls: int = 4, max_bytes: int = 1000) -> None:
        self.links = FakeLinks()
        self.peers = Peers(read(FILE))
        self.forwarder = Forwarder(lambda: self.peers, {"a"}.__contains__, max_calls, max_bytes, self.links)
        here = Service(
            "inference.GRPCInferenceService",
            None,
            hot={"ModelInfer": answer_here, "RepositoryModelLoad": answer_here},
            plain={
                "ModelReady": PlainMethod(None, lambda request: None),
                "ServerLive": PlainMethod(None, str),
            },
        )
        self.service = self.forwarder.around(here)
        self.infer: HotMethod = self.service.hot["ModelInfer"]

    def call(self, model: str, rest: bytes = b"", headers: Mapping[str, str] | None = None) -> FakeReply:
        reply = FakeReply(deadline=1e9)
        reply.headers = headers or {}
        self.infer(message(model, rest), reply)
        return reply

    def ended(self) -> dict[Outcome, int]:
        return {outcome: count for outcome, count in self.forwarder.figures().ended.items() if count}


def message(model: str, rest: bytes = b"") -> bytes:
    return (
        b"\x0a"
        + bytes((len(model),))
        + model.encode()
        + (b"\x1a" + bytes((len(rest),)) + rest if rest else b"")
    )


def answer_here(message: Any, reply: Any) -> None:
    reply.finish(lambda: b"here")


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    made.forwarder.start()
    yield made
    assert made.forwarder.stop(PATIENCE_S)
    assert made.forwarder.figures().under_way == 0
    assert made.forwarder.figures().held_bytes == 0
    assert "forwarding" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("model", ["a", "nobody's", ""])
def test_what_is_here_or_nowhere_is_answered_here(scene: Scene, model: str) -> None:
    assert scene.call(model).answer() == b"here"
    assert not scene.links.asked


def test_what_a_peer_has_is_answered_by_it_with_what_its_caller_says(scene: Scene) -> None:
    assert scene.call("b", headers={"authorization": "Bearer key"}).answer() in (b"of h:1", b"of h:2")
    ((path, metadata, deadline),) = scene.links.said
    assert path == "/inference.GRPCInferenceService/ModelInfer"
    assert metadata == (("authorization", "Bearer key"), (FORWARDED, "1"))
    assert deadline == 1e9
    assert scene.ended() == {Outcome.ANSWERED: 1}


def test_what_was_sent_on_is_not_sent_on_again(scene: Scene) -> None:
    assert scene.call("b", headers={FORWARDED: "1"}).answer() == b"here"


def test_calls_that_are_about_no_model_or_change_one_are_left_alone(scene: Scene) -> None:
    assert scene.service.hot["RepositoryModelLoad"] is answer_here
    assert scene.service.plain["ServerLive"].later is None
    assert scene.service.plain["ModelReady"].later is not None


def test_a_plain_method_is_sent_on_too(scene: Scene) -> None:
    reply, later = FakeReply(), scene.service.plain["ModelReady"].later
    assert later is not None
    later(message("b"), reply)
    assert reply.answer().startswith(b"of h:")


def test_peers_take_turns(scene: Scene) -> None:
    for _ in range(10):
        scene.call("b").answer()
    assert scene.links.asked.count("h:1") == 5


def test_one_that_cannot_be_reached_is_passed_over_and_asked_last_for_a_while(scene: Scene) -> None:
    scene.links.away = {"h:1"}
    for _ in range(6):
        assert scene.call("b").answer() == b"of h:2"
    assert scene.links.asked.count("h:1") <= 2


def test_where_no_peer_can_be_reached_the_caller_may_try_again_elsewhere(scene: Scene) -> None:
    scene.links.away = {"h:1", "h:2"}
    with pytest.raises(PeersError, match="model 'b' is not on this server, and none that has it") as caught:
        scene.call("b").answer()
    assert caught.value.status is grpc.StatusCode.UNAVAILABLE
    assert caught.value.about == ("b", 0, "")
    assert sorted(scene.links.asked) == ["h:1", "h:2"]
    assert scene.ended() == {Outcome.UNREACHABLE: 1}


def test_an_error_of_a_peer_is_the_callers_and_no_other_is_asked(scene: Scene) -> None:
    scene.links.fault = PeersError(grpc.StatusCode.UNAVAILABLE, "Server is stopping", 20)
    with pytest.raises(CallError, match="Server is stopping") as caught:
        scene.call("b").answer()
    assert (caught.value.status, caught.value.retry_after_ms) == (grpc.StatusCode.UNAVAILABLE, 20)
    assert len(scene.links.asked) == 1
    assert scene.ended() == {Outcome.ERROR: 1}


def test_a_bug_ends_its_call_and_no_other(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.links.fault = RuntimeError("a bug")
    with pytest.raises(InternalError):
        scene.call("b").answer()
    assert "a bug" in caplog.text
    scene.links.fault = None
    assert scene.call("b").answer().startswith(b"of")


def test_a_caller_that_leaves_ends_its_call_at_the_peer_and_is_told_nothing(scene: Scene) -> None:
    reply = scene.call("b", b"wait")
    assert scene.links.waiting.wait(PATIENCE_S)
    assert reply.cancel is not None
    reply.cancel()
    reply.cancel()
    assert scene.links.cancelled.wait(PATIENCE_S)
    scene.call("b").answer()  # the loop has come so far
    assert not reply.finished
    assert scene.ended()[Outcome.LEFT] == 1


class _GoneAlready(FakeReply):
    """Its caller has left when it is told how."""

    def when_gone(self, cancel: Callable[[], object]) -> None:
        cancel()


def test_a_caller_that_has_left_already_is_sent_nowhere(scene: Scene) -> None:
    reply = _GoneAlready()
    scene.infer(message("b", b"wait"), reply)
    scene.call("b").answer()
    assert len(scene.links.asked) == 1
    assert not reply.finished
    assert scene.ended() == {Outcome.LEFT: 1, Outcome.ANSWERED: 1}


def test_a_caller_that_leaves_before_its_call_has_begun_gives_back_its_room(scene: Scene) -> None:
    blocking = scene.call("b", b"block")
    assert scene.links.waiting.wait(PATIENCE_S)
    # Begun and left in the same turn of the loop: its task ends without having run a line.
    replies = [scene.call("b", b"wait") for _ in range(3)]
    for reply in replies:
        assert reply.cancel is not None
        reply.cancel()
    scene.links.unblocked.set()
    assert blocking.answer().startswith(b"of")
    until(lambda: scene.forwarder.figures().under_way == 0)
    assert scene.forwarder.figures().held_bytes == 0
    assert scene.ended() == {Outcome.LEFT: 3, Outcome.ANSWERED: 1}
    assert not any(reply.finished for reply in replies)
    assert scene.call("b").answer().startswith(b"of")


def test_a_call_that_is_cancelled_and_was_not_left_is_told_so(scene: Scene) -> None:
    """As one is whose channel is closed under it."""
    scene.links.fault = asyncio.CancelledError()
    with pytest.raises(PeersError, match="the connection to the server that has model 'b' is lost") as caught:
        scene.call("b").answer()
    assert caught.value.status is grpc.StatusCode.UNAVAILABLE
    assert scene.ended() == {Outcome.ERROR: 1}


def test_one_call_more_than_may_be_is_refused_for_load() -> None:
    scene = Scene(max_calls=1)
    scene.forwarder.start()
    try:
        first = scene.call("b", b"wait")
        assert scene.links.waiting.wait(PATIENCE_S)
        with pytest.raises(QueueFull, match="forwarding to other servers is full: 1 calls wait"):
            scene.call("b")
        scene.links.open()
        first.answer()
        assert scene.call("b").answer().startswith(b"of")
        assert scene.ended() == {Outcome.ANSWERED: 2, Outcome.REFUSED: 1}
    finally:
        assert scene.forwarder.stop(PATIENCE_S)


def test_more_bytes_than_may_be_are_refused_unless_they_are_one_call() -> None:
    scene = Scene(max_bytes=10)
    scene.forwarder.start()
    try:
        first = scene.call("b", b"wait for ever")
        assert scene.links.waiting.wait(PATIENCE_S)
        with pytest.raises(QueueFull, match="MiB"):
            scene.call("b")
        scene.links.open()
        first.answer()
    finally:
        assert scene.forwarder.stop(PATIENCE_S)


def test_before_the_start_and_after_the_stop_all_is_answered_here() -> None:
    scene = Scene()
    assert scene.call("b").answer() == b"here"
    scene.forwarder.start()
    waiting = scene.call("b", b"wait")
    assert scene.links.waiting.wait(PATIENCE_S)
    assert scene.forwarder.stop(PATIENCE_S)
    assert scene.links.cancelled.is_set()
    assert not waiting.finished
    assert scene.forwarder.figures().under_way == 0
    assert scene.call("b").answer() == b"here"


def test_a_request_of_http_is_another_servers_only_where_its_model_is_not_here(scene: Scene) -> None:
    def request(**headers: str) -> Request:
        return Request("POST", "/v2/models/b/infer", "", headers)

    endpoint = scene.forwarder.elsewhere(request(), "b", 100)
    assert endpoint is not None
    # Its JSON is read by nobody here, and it counts as one of the calls that run models.
    assert (endpoint.most_bytes, endpoint.json_bytes, endpoint.limited) == (100, 0, True)
    assert scene.forwarder.elsewhere(request(), "a", 100) is None
    assert scene.forwarder.elsewhere(request(), "nobody's", 100) is None
    assert scene.forwarder.elsewhere(request(**{FORWARDED: "1"}), "b", 100) is None
