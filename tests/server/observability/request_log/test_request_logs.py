"""request_logs.py: which calls are kept, and that all others go through as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2

from hotgraph_server.errors import InvalidCall
from hotgraph_server.observability.request_log.request_logs import RequestLogs
from hotgraph_server.observability.request_log.writer import LogWriter
from hotgraph_server.settings import LogSettings, ModelSettings
from hotgraph_server.transport import service
from hotgraph_server.transport.service import HotMethod, Left, Reply, Service


class Writer(LogWriter):
    """Writes at once, into a list."""

    def __init__(self) -> None:
        super().__init__()
        self.running = False
        self.kept: list[tuple[str, prediction_log_pb2.PredictionLog]] = []

    def start(self) -> None:
        self.running = True

    def stop(self, timeout_s: float) -> None:
        self.running = False

    def offer(self, prefix: str, nbytes: int, make: Callable[[], bytes]) -> bool:
        self.kept.append((prefix, prediction_log_pb2.PredictionLog.FromString(make())))
        return True


class Answered:
    """A reply that encodes at once."""

    def __init__(self) -> None:
        self.deadline = 7.0
        self.peer = "127.0.0.1:1"
        self.observer = None
        self.held_up = None
        self.answer: service.Answered | None = None
        self.left: list[Any] = []

    def finish(self, encode: Callable[[], service.Answered]) -> None:
        try:
            self.answer = encode()
        except InvalidCall:
            self.answer = None

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        self.left.append(cancel)

    def expire_at(self, deadline: float) -> None:
        self.left.append(deadline)

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    def header(self, name: str) -> str | None:
        return None


def request(name: str) -> bytes:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    return bytes(message.SerializeToString())


def answering(message: Any, reply: Reply) -> None:
    """Leaves traces of everything that a method may do with a reply."""
    response = predict_pb2.PredictResponse()
    response.model_spec.name = predict_pb2.PredictRequest.FromString(bytes(message)).model_spec.name
    response.model_spec.version.value = 3
    reply.when_gone(lambda: None)
    reply.expire_at(min(reply.deadline, math.inf))
    reply.finish(response.SerializeToString)


def model(name: str, rate: float | None) -> ModelSettings:
    return ModelSettings(name, Path("/m"), log=None if rate is None else LogSettings(f"/logs/{name}", rate))


@pytest.fixture
def writer() -> Writer:
    return Writer()


def logs_of(writer: Writer, *models: ModelSettings, draws: float = 0.0) -> RequestLogs:
    logs = RequestLogs(writer, draw=lambda: draws, now=lambda: 11.5)
    logs.configure(models)
    return logs


def around(logs: RequestLogs, method: HotMethod = answering, name: str = "Predict") -> HotMethod:
    plain = Service("s", prediction_service_pb2.DESCRIPTOR, hot={name: method})
    return logs.around(plain).hot[name]


def test_call_of_a_model_with_a_log_is_kept_with_its_answer(writer: Writer) -> None:
    reply = Answered()
    around(logs_of(writer, model("a", 1.0)))(memoryview(request("a")), reply)
    ((prefix, record),) = writer.kept
    assert prefix == "/logs/a"
    assert record.predict_log.request.model_spec.name == "a"
    assert record.predict_log.response.SerializeToString() == reply.answer
    assert record.log_metadata.model_spec.version.value == 3
    assert record.log_metadata.timestamp_secs == 11
    # and the transport was told what it is told without a log
    assert len(reply.left) == 2
    assert reply.left[1] == 7.0


def test_answer_in_pieces_is_kept_and_sent_whole(writer: Writer) -> None:
    whole = predict_pb2.PredictResponse()
    whole.model_spec.name = "a"
    text = whole.SerializeToString()

    def in_pieces(_: Any, reply: Reply) -> None:
        reply.finish(lambda: [memoryview(text)[:2], memoryview(text)[2:]])

    reply = Answered()
    around(logs_of(writer, model("a", 1.0)), in_pieces)(request("a"), reply)
    ((_, record),) = writer.kept
    assert record.predict_log.response == whole
    assert reply.answer == text


@pytest.mark.parametrize(
    ("rate", "drawn", "kept"),
    [(1.0, 0.999, 1), (0.5, 0.499, 1), (0.5, 0.5, 0), (0.0, 0.0, 0), (None, 0.0, 0)],
)
def test_as_many_are_kept_as_the_models_rate_says(
    writer: Writer, rate: float | None, drawn: float, kept: int
) -> None:
    """Whatever the rate of another model is."""
    reply = Answered()
    around(logs_of(writer, model("a", rate), model("b", 0.9), draws=drawn))(request("a"), reply)
    assert reply.answer is not None
    assert len(writer.kept) == kept


def test_call_that_fails_is_not_kept(writer: Writer) -> None:
    def failing(_: Any, reply: Reply) -> None:
        def encode() -> bytes:
            raise InvalidCall("wrong")

        reply.finish(encode)

    around(logs_of(writer, model("a", 1.0)), failing)(request("a"), Answered())
    assert not writer.kept


def test_call_that_is_refused_is_not_kept_and_its_error_goes_on(writer: Writer) -> None:
    def refusing(message: Any, reply: Reply) -> None:
        raise InvalidCall("wrong")

    with pytest.raises(InvalidCall, match="wrong"):
        around(logs_of(writer, model("a", 1.0)), refusing)(request("a"), Answered())
    assert not writer.kept


def test_message_that_is_none_goes_to_the_method_as_it_is(writer: Writer) -> None:
    seen = []
    around(logs_of(writer, model("a", 1.0)), lambda message, _: seen.append(message))(b"\xff\xff", Answered())
    assert seen == [b"\xff\xff"]


def test_methods_without_a_record_are_left_alone(writer: Writer) -> None:
    logs = logs_of(writer, model("a", 1.0))
    assert around(logs, answering, "GetModelMetadata") is answering


def test_writer_runs_from_the_first_log_on_and_new_settings_hold_at_once(writer: Writer) -> None:
    logs = logs_of(writer, model("a", None))
    method = around(logs)
    assert not writer.running
    logs.configure([model("a", 1.0)])
    assert writer.running
    method(request("a"), Answered())
    logs.configure([model("b", 1.0)])
    method(request("a"), Answered())
    assert len(writer.kept) == 1
    logs.stop()
    assert not writer.running
