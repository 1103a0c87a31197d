"""export.py: what is sent together, what is dropped and counted, and what the log says of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from hotgraph_server.observability.otlp.export import Batching, SpanExport
from hotgraph_server.observability.otlp.spans import SpanMaker
from hotgraph_server.observability.otlp.telling import Reach
from hotgraph_server.observability.tracing.traceparent import SpanIdentity

from .traces import GRPC, RUN, trace_of

PATIENCE_S = 30.0


class Sent:
    """A collector, which takes what comes when the test lets it."""

    def __init__(self, batching: Batching) -> None:
        self.batches: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[bool | Exception] = queue.SimpleQueue()
        self.shut_downs = 0
        maker = SpanMaker(Resource({}), b"seed", lambda: 1)
        self.export = SpanExport(
            maker, self.take, self.shut_down, Reach("spans", "calls", "http://there"), batching
        )

    def take(self, spans: Sequence[ReadableSpan]) -> bool:
        self.batches.put([span.name for span in spans])
        answer = self.answers.get(timeout=PATIENCE_S)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def shut_down(self) -> None:
        self.shut_downs += 1

    def offer(self, number: int = 1) -> bool:
        return self.export.offer(trace_of(GRPC, SpanIdentity(number, 1), RUN._replace(number=number)))

    def came(self) -> int:
        """How many calls the next export has."""
        names = self.batches.get(timeout=PATIENCE_S)
        return sum(name.endswith("ModelInfer") for name in names)


@pytest.fixture
def sent() -> Iterator[Sent]:
    one = Sent(Batching(max_queue_size=3, schedule_delay_s=0.0))
    one.export.start()
    yield one
    for _ in range(10):
        one.answers.put(True)
    one.export.stop(PATIENCE_S)


def test_what_waits_is_sent_together_and_each_batch_once() -> None:
    one = Sent(Batching(max_export_batch_size=3, schedule_delay_s=3600.0))
    for _ in range(3):
        one.offer(5)
    one.export.start()
    names = one.batches.get(timeout=PATIENCE_S)
    one.answers.put(True)
    assert names.count("batch m") == 1
    assert names.count("run") == 3
    one.offer(6)
    one.answers.put(True)
    # The last ones do not wait for their time.
    one.export.stop(PATIENCE_S)
    assert one.came() == 1
    assert one.shut_downs == 1
    assert one.export.lost == 0


def test_what_does_not_fit_is_dropped_and_counted(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    assert sent.offer()
    assert sent.came() == 1
    # While the first is on its way, two more may wait.
    assert [sent.offer() for _ in range(4)] == [True, True, False, False]
    sent.answers.put(True)
    sent.answers.put(True)
    sent.answers.put(True)
    sent.export.stop(PATIENCE_S)
    assert sent.export.lost == 2
    assert "the spans of 2 calls were not sent, because too many waited" in caplog.text


def test_collector_that_cannot_be_reached_is_told_once_and_its_return_too(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    for answer in (False, OSError("no\nway"), True):
        sent.offer()
        sent.came()
        sent.answers.put(answer)
    sent.export.stop(PATIENCE_S)
    assert sent.export.lost == 2
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "spans are lost, calls are answered as ever: http://there cannot be reached: unknown",
        "spans arrive again; those of 2 calls were lost",
    ]


def test_offering_neither_waits_nor_raises_before_the_start_and_after_the_end() -> None:
    one = Sent(Batching(max_queue_size=1))
    one.export.stop(0.0)
    assert one.offer()
    assert not one.offer()


def test_end_gives_up_an_export_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    one = Sent(Batching(schedule_delay_s=0.0))
    one.export.start()
    one.offer()
    one.came()
    one.export.stop(0.0)
    assert one.shut_downs == 1
    assert "the spans are not all sent after 0 s" in caplog.text
    one.answers.put(True)
    for thread in threading.enumerate():
        if thread.name == "spans":
            thread.join(PATIENCE_S)
