"""ModelStreamInfer: calls of one stream, as the caller sees them and as the transport does."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import open_inference as pb
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, DeadlineExceeded, Draining, InvalidCall, RunFailed, StreamFull
from hotgraph_server.models.registry import Registry
from hotgraph_server.protocols.v2 import streaming
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.protocols.v2.streaming import Conversation, methods
from hotgraph_server.transport.service import Receiver, failing

from ..fakes import RecordingVersion, float_signature
from ..mutations import mutated


class FakeStream:
    """A StreamOfCalls whose caller and transport the test is.

    Attributes:
        answers: what was sent.
        told: its calls that failed, and by what they would have been left.
        ends: how it ended, if it did; more than one would be a bug.
        owed: calls that were taken and not let go of.
        held: may the caller send nothing?
        unread: how much of it the caller has not read, as the test says.
        put_aside: work that takes long, which the test does.
        alarms: what shall be done when, unless it was taken back.
    """

    def __init__(self, refusal: CallError | None = None, **headers: str) -> None:
        self.peer = "127.0.0.1:1"
        self.answers: list[pb.ModelStreamInferResponse] = []
        self.ends: list[CallError | None] = []
        self.told: list[tuple[CallError, Callable[[], object] | None]] = []
        self.owed = 0
        self.held = False
        self.unread = 0
        self.put_aside: list[Callable[[], None]] = []
        self.refusal = refusal
        self.leave: Callable[[], object] | None = None
        self.alarms: dict[int, tuple[float, Callable[[], None]]] = {}
        self._headers = headers
        self._alarms = 0
        self._on_read: Callable[[], None] | None = None
        self._counting = threading.Lock()

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    def header(self, name: str) -> str | None:
        return self._headers.get(name)

    def failed(self, error: CallError, leave: Callable[[], object] | None) -> None:
        self.told.append((error, leave))

    def send(self, message: bytes) -> None:
        assert not self.ends
        self.answers.append(pb.ModelStreamInferResponse.FromString(message))

    def end(self, error: CallError | None = None) -> None:
        self.ends.append(error)

    def when_gone(self, leave: Callable[[], object]) -> None:
        self.leave = leave

    def take(self) -> CallError | None:
        with self._counting:
            self.owed += self.refusal is None
        return self.refusal

    def let_go(self) -> None:
        with self._counting:
            self.owed -= 1
        assert self.owed >= 0

    def when_read(self, act: Callable[[], None]) -> None:
        self._on_read = act
        if not self.unread:
            self.read()

    def read(self) -> None:
        """The caller reads all that there is."""
        self.unread = 0
        act, self._on_read = self._on_read, None
        if act is not None:
            act()

    def aside(self, work: Callable[[], None]) -> None:
        self.put_aside.append(work)

    def hold(self) -> None:
        assert not self.held
        self.held = True

    def go_on(self) -> None:
        assert self.held
        self.held = False

    def call_at(self, moment: float, act: Callable[[], None]) -> Callable[[], None]:
        self._alarms += 1
        number = self._alarms
        self.alarms[number] = (moment, act)
        return lambda: self.alarms.pop(number, None) and None

    def go(self) -> None:
        """The caller leaves."""
        assert self.leave is not None
        self.leave()

    @property
    def ids(self) -> list[str]:
        """Of the answers."""
        return [answer.infer_response.id for answer in self.answers]


class Scene:
    """A stream to a version whose calls the test ends."""

    def __init__(self, stream: FakeStream | None = None, version: RecordingVersion | None = None) -> None:
        self.stream = stream or FakeStream()
        self.version = version or RecordingVersion("m", 3, float_signature())
        registry = Registry()
        registry.publish([self.version])
        self.receive: Receiver = methods(registry)["ModelStreamInfer"].open(self.stream)

    @property
    def calls(self) -> list[Call]:
        return self.version.calls

    def ask(self, *ids: str, **fields: Any) -> None:
        for one in ids:
            self.receive(request(one, **fields))

    def answer(self, index: int, value: float = 0) -> None:
        """End a call, in order of arrival, with its arrays."""
        rows = self.calls[index].rows
        array = np.full((rows, 2), value, np.float32)
        self.calls[index].completion.finish([array] * len(self.calls[index].outputs))


def request(one: str, *, model: str = "m", timeout_us: int = 0, empty: bool = False) -> bytes:
    built = pb.ModelInferRequest(model_name=model, id=one)
    for name in ("x", "y"):
        built.inputs.add(name=name, datatype="FP32", shape=[1, 2])
        built.raw_input_contents.append(bytes(8))
    if timeout_us:
        built.parameters["timeout"].int64_param = timeout_us
    if empty:
        built.parameters["triton_enable_empty_final_response"].bool_param = True
    return bytes(built.SerializeToString())


def test_many_calls_are_under_way_at_once_and_answers_leave_in_the_order_of_requests() -> None:
    scene = Scene()
    scene.ask("a", "b", "c")
    assert len(scene.calls) == 3
    scene.answer(2)
    scene.answer(1)
    assert scene.stream.ids == []
    scene.answer(0, 5)
    assert scene.stream.ids == ["a", "b", "c"]
    first = scene.stream.answers[0].infer_response
    assert np.frombuffer(first.raw_output_contents[0], np.float32).tolist() == [5, 5]
    assert (first.model_name, first.model_version) == ("m", "3")


def test_a_call_that_waits_for_its_model_is_overtaken_by_none_behind_it() -> None:
    """Else one of a sequence would come before the one that begins it."""
    parked: list[Callable[[], None]] = []
    scene = Scene()
    registry = Registry()
    registry.publish([scene.version])
    infer = Infer(registry, streamed=True)

    def waiting(message: Any, reply: Any) -> None:
        if len(parked) == 1:
            infer(message, reply)
            return
        reply.held_up(True)

        def go_on() -> None:
            infer(message, reply)
            reply.held_up(False)

        parked.append(go_on)

    scene.receive = Conversation(waiting, scene.stream).receive
    scene.ask("a", "b", "c")
    assert (len(parked), scene.calls, scene.stream.held) == (1, [], True)
    parked[0]()
    assert (len(scene.calls), scene.stream.held) == (3, False)
    for index in range(3):
        scene.answer(index, index)
    assert scene.stream.ids == ["a", "b", "c"]


def test_a_call_that_has_waited_in_vain_holds_up_nobody() -> None:
    scene, replies = Scene(), list[Any]()

    def waiting(_: Any, reply: Any) -> None:
        replies.append(reply)
        reply.held_up(True)

    scene.receive = Conversation(waiting, scene.stream).receive
    scene.ask("a", "b")
    for index in range(2):
        assert len(replies) == index + 1
        replies[index].finish(failing(InvalidCall("in vain")))
    assert [answer.error_message for answer in scene.stream.answers] == ["in vain"] * 2


@pytest.mark.parametrize("empty", [False, True])
def test_the_only_answer_of_a_request_is_its_final_one(empty: bool) -> None:
    scene = Scene()
    scene.ask("a", "bad", empty=empty)
    scene.calls[1].completion.finish(RunFailed(3, "no"))
    scene.answer(0)
    assert len(scene.stream.answers) == 2
    for answer in scene.stream.answers:
        assert answer.infer_response.parameters["triton_final_response"].bool_param is True


def test_error_is_told_in_its_place_with_the_id_and_the_stream_goes_on() -> None:
    scene = Scene()
    scene.ask("a")
    scene.ask("wrong", model="nobody")
    scene.receive(b"\xff\xff")
    scene.ask("b", "c")
    scene.answer(2)
    scene.calls[1].completion.finish(RunFailed(3, "out of range"))
    assert scene.stream.answers == []
    scene.answer(0)
    assert scene.stream.ids == ["a", "wrong", "", "b", "c"]
    told = [answer.error_message for answer in scene.stream.answers]
    assert told[1] == "[request id: wrong] Request for unknown model: 'nobody' is not found"
    assert told[2].startswith("the message is no ModelInferRequest")
    assert told[3] == "[request id: b] out of range"
    assert [told[0], told[4]] == ["", ""]
    assert scene.stream.ends == []
    # Who is told of failures hears of each; by what leaves a call it is known, if there was one.
    assert [(str(error), leave is not None) for error, leave in scene.stream.told] == [
        (told[1], False),
        (told[2], False),
        (told[3], True),
    ]


def test_stream_ends_well_when_all_is_said_and_answered() -> None:
    scene = Scene()
    scene.ask("a", "b")
    scene.receive(None)
    scene.answer(1)
    assert scene.stream.ends == []
    scene.answer(0)
    assert scene.stream.ids == ["a", "b"]
    assert scene.stream.ends == [None]


def test_stream_without_requests_ends_well() -> None:
    scene = Scene()
    scene.receive(None)
    assert scene.stream.ends == [None]


def test_caller_who_leaves_leaves_all_its_calls_and_nobody_elses() -> None:
    scene = Scene()
    neighbour = Scene(version=scene.version)
    scene.ask("a", "b")
    neighbour.ask("c")
    scene.stream.go()
    assert [call.completion.taken for call in scene.calls] == [True, True, False]
    assert (scene.stream.owed, neighbour.stream.owed) == (0, 1)
    scene.ask("too late")
    assert len(scene.calls) == 3
    scene.answer(2)
    assert neighbour.stream.ids == ["c"]
    assert scene.stream.answers == scene.stream.ends == []


def test_header_turns_errors_into_the_status_of_the_stream() -> None:
    scene = Scene(FakeStream(triton_grpc_error="true"))
    scene.ask("a", "b", "c")
    scene.calls[1].completion.finish(InvalidCall("no good"))
    assert scene.stream.ends == []
    scene.answer(0)
    (error,) = scene.stream.ends
    assert isinstance(error, CallError)
    assert (error.status, str(error)) == (InvalidCall.status, "[request id: b] no good")
    assert scene.stream.ids == ["a"]
    # Nobody hears of the third one any more.
    assert scene.calls[2].completion.taken
    assert scene.stream.owed == 0


def test_server_that_stops_waits_for_what_was_taken_and_tells_later_requests() -> None:
    scene = Scene()
    scene.ask("a")
    assert scene.stream.owed == 1
    scene.stream.refusal = Draining("this server")
    scene.ask("b")
    assert scene.stream.owed == 1
    scene.answer(0)
    assert scene.stream.owed == 0
    assert "Server is stopping" in scene.stream.answers[1].error_message


def test_timeout_of_a_request_ends_it_alone_and_is_forgotten_with_an_answer() -> None:
    scene = Scene()
    scene.ask("hurried", "too", timeout_us=1_000_000)
    scene.ask("patient")
    assert len(scene.stream.alarms) == 2
    scene.answer(1)
    ((moment, act),) = scene.stream.alarms.values()
    assert moment == scene.calls[0].deadline < math.inf
    scene.version.clock = lambda: moment
    act()
    assert scene.stream.answers[0].error_message == f"[request id: hurried] {DeadlineExceeded()}"
    assert scene.stream.ids == ["hurried", "too"]
    assert not scene.calls[2].completion.taken


def test_so_many_are_at_work_and_the_caller_is_held_until_the_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "MAX_AT_WORK", 2)
    scene = Scene()
    scene.ask("a", "b")
    assert not scene.stream.held
    scene.ask("c", "d")
    assert scene.stream.held
    assert len(scene.calls) == 2
    # It is done, but waits for the answer before it.
    scene.answer(1)
    assert len(scene.calls) == 2
    scene.answer(0)
    assert len(scene.calls) == 4
    assert not scene.stream.held
    scene.receive(None)
    scene.answer(2)
    scene.answer(3)
    assert scene.stream.ids == ["a", "b", "c", "d"]
    assert scene.stream.ends == [None]


def test_caller_who_sends_ahead_and_does_not_read_is_held_until_it_has_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "MAX_AT_WORK", 2)
    scene = Scene()
    scene.ask("a", "b")
    scene.stream.unread = 2
    scene.answer(0)
    scene.answer(1)
    scene.ask("c")
    assert scene.stream.held
    assert len(scene.calls) == 2
    scene.stream.read()
    assert not scene.stream.held
    assert len(scene.calls) == 3
    scene.receive(None)
    scene.answer(2)
    assert scene.stream.ids == ["a", "b", "c"]
    assert scene.stream.ends == [None]


def test_large_message_is_read_aside_and_nothing_of_its_stream_overtakes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "LARGE_MESSAGE", len(request("small")))
    scene = Scene()
    scene.ask("large one", "small", "large two", "a")
    scene.receive(None)
    assert scene.calls == []
    (first,) = scene.stream.put_aside
    first()
    assert len(scene.calls) == 2
    scene.answer(0)
    scene.answer(1)
    assert scene.stream.ids == ["large one", "small"]
    assert scene.stream.ends == []
    scene.stream.put_aside[1]()
    assert len(scene.calls) == 4
    scene.answer(3)
    scene.answer(2)
    assert scene.stream.ids == ["large one", "small", "large two", "a"]
    assert scene.stream.ends == [None]


def test_large_message_of_a_caller_who_has_left_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LARGE_MESSAGE", 0)
    scene = Scene()
    scene.ask("a", "b")
    scene.stream.go()
    (work,) = scene.stream.put_aside
    work()
    assert scene.calls == []
    assert scene.stream.owed == 0


def test_what_waits_has_an_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_AT_WORK", 1)
    monkeypatch.setattr(streaming, "MAX_WAITING", 2)
    scene = Scene()
    scene.ask("a", "b", "c")
    with pytest.raises(StreamFull, match="more than 2 requests of this stream wait"):
        scene.ask("d")


def test_bug_in_one_call_is_told_without_details_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def broken(message: Any, reply: Any) -> None:
        raise ZeroDivisionError("secret")

    stream = FakeStream()
    conversation = Conversation(broken, stream)
    conversation.receive(b"")
    assert "secret" not in stream.answers[0].error_message
    assert "secret" in caplog.text
    assert stream.ends == []


def test_nothing_of_a_call_is_kept_once_it_is_answered() -> None:
    gc.disable()
    try:
        scene = Scene()
        scene.ask("a")
        kept = weakref.ref(scene.calls[0].inputs[0])
        scene.answer(0)
        scene.calls.clear()
        assert kept() is None
    finally:
        gc.enable()


@given(st.data())
def test_any_messages_get_one_answer_each_and_what_ModelInfer_would_say(data: st.DataObject) -> None:
    scene = Scene()
    alone = Infer(scene_registry(scene.version))
    good = request("id")
    messages = [data.draw(mutated(good)) for _ in range(data.draw(st.integers(1, 4)))]
    expected: list[str] = []
    for message in messages:
        taken = len(scene.calls)
        try:
            alone(message, Unheard())
        except CallError as error:
            expected.append(str(error))
        else:
            expected.append("")
        del scene.calls[taken:]
        scene.receive(message)
    for index in reversed(range(len(scene.calls))):
        scene.answer(index)
    assert [answer.error_message for answer in scene.stream.answers] == expected
    assert scene.stream.owed == 0


@given(st.data())
def test_whatever_the_threads_do_answers_keep_their_order_and_the_end_comes_once(data: st.DataObject) -> None:
    """Calls are ended by several threads while requests come in."""
    count = data.draw(st.integers(1, 12))
    most = data.draw(st.integers(1, 4))
    scene = Scene(version=Answering("m", 3, float_signature()))
    before, streaming.MAX_AT_WORK = streaming.MAX_AT_WORK, most
    try:
        scene.ask(*[str(index) for index in range(count)])
        scene.receive(None)
        assert isinstance(scene.version, Answering)
        scene.version.wait()
    finally:
        streaming.MAX_AT_WORK = before
    assert scene.stream.ids == [str(index) for index in range(count)]
    assert scene.stream.ends == [None]
    assert scene.stream.owed == 0
    assert not scene.stream.held


class Answering(RecordingVersion):
    """Ends every call in a thread of its own."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._threads: list[threading.Thread] = []

    def record(self, request: Request) -> Call:
        call = super().record(request)
        array = np.zeros((1, 2), np.float32)
        thread = threading.Thread(target=call.completion.finish, args=([array] * len(call.outputs),))
        self._threads.append(thread)
        thread.start()
        return call

    def wait(self) -> None:
        """Until all threads have ended, those included that others of them start."""
        for thread in self._threads:
            thread.join()


class Unheard:
    """A Reply that nobody waits for."""

    deadline = math.inf
    peer = "127.0.0.1:1"
    observer = None
    held_up = None

    def finish(self, encode: Callable[[], Any]) -> None:
        pass

    def when_gone(self, leave: Callable[[], object]) -> None:
        pass

    def expire_at(self, deadline: float) -> None:
        pass

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    def header(self, name: str) -> str | None:
        return None


def scene_registry(version: RecordingVersion) -> Registry:
    registry = Registry()
    registry.publish([version])
    return registry
