"""call_log.py: lines of failed calls in a bounded rate, and of every call where that is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.observability.log_settings import BOUNDED_ELSEWHERE, WHILE_S
from hotgraph_server.observability.logs.call_log import CallLog
from hotgraph_server.observability.logs.calls import MAX_TEXT, FailedCall, said_of_any, said_of_failed
from hotgraph_server.observability.logs.formats import FIELDS
from hotgraph_server.observability.tracing.trace import Origin, Trace
from hotgraph_server.transport.service import Failure

from ..otlp.traces import HTTP, IDENTITY, RUN, trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
PATIENCE_S = 30.0
LONG = "x" * 100_000


class Facts(NamedTuple):
    model: str = "m"
    version: int = 3
    signature: str = "f"
    arrived: float | None = None
    ran: tuple[float, float] | None = None


class Written:
    """A log, and what comes of it."""

    def __init__(self, caplog: pytest.LogCaptureFixture, facts: Facts, a_second: int) -> None:
        self.now = 100.0
        self.later: list[tuple[float, Callable[[], None]]] = []
        self._caplog = caplog
        self.log = CallLog(
            a_second,
            lambda _: facts,
            lambda: self.now,
            lambda seconds, act: self.later.append((seconds, act)),
        )

    def fail(self, error: CallError | None = None) -> None:
        header = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}.get
        self.log.tell(Failure("/a/B", "10.0.0.1:5", error or NotFound("no such model"), header))

    def lines(self) -> list[tuple[str, dict[str, Any]]]:
        """All; the last thing that a test asks for."""
        self.log.start()
        self.log.stop_writing()
        assert all(getattr(one, BOUNDED_ELSEWHERE) for one in self._caplog.records if hasattr(one, FIELDS))
        return [(one.getMessage(), dict(getattr(one, FIELDS, {}))) for one in self._caplog.records]


@pytest.fixture
def write(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Written]]:
    caplog.set_level(logging.INFO, "hotgraph_server")
    others = set(threading.enumerate())

    def made(facts: Facts = Facts(), a_second: int = 10) -> Written:  # noqa: B008
        return Written(caplog, facts, a_second)

    yield made
    for thread in set(threading.enumerate()) - others:
        if thread.name == "call log":
            thread.join(PATIENCE_S)


def test_failed_call_has_a_line_with_all_that_is_known(write: Callable[..., Written]) -> None:
    written = write(Facts(arrived=99.0, ran=(99.5, 99.75)))
    written.fail()
    assert written.lines() == [
        (
            "call failed",
            {
                "status": "NOT_FOUND",
                "method": "/a/B",
                "model": "m",
                "version": 3,
                "signature": "f",
                "peer": "10.0.0.1:5",
                "wait_ms": 500.0,
                "run_ms": 250.0,
                "trace_id": TRACE,
                "error": "no such model",
            },
        )
    ]


def test_call_that_was_never_run_has_waited_to_its_end(write: Callable[..., Written]) -> None:
    written = write(Facts(arrived=99.0))
    written.fail()
    ((_, fields),) = written.lines()
    assert fields["wait_ms"] == 1000.0
    assert "run_ms" not in fields


def test_call_that_nobody_took_has_no_times(write: Callable[..., Written]) -> None:
    written = write(Facts("", 0, ""))
    written.fail()
    ((_, fields),) = written.lines()
    assert not {"wait_ms", "run_ms", "model", "version", "signature"} & set(fields)


def test_flood_has_so_many_lines_and_one_that_counts_the_others(write: Callable[..., Written]) -> None:
    written = write(a_second=2)
    for _ in range(5):
        written.fail()
    written.fail(InvalidCall("wrong"))
    ((seconds, tell),) = written.later
    assert seconds == WHILE_S
    tell()
    lines = written.lines()
    assert [message for message, _ in lines] == ["call failed", "call failed", "4 more calls failed"]
    assert lines[-1][1] == {"NOT_FOUND": 3, "INVALID_ARGUMENT": 1}


def test_others_are_told_at_the_end_too(write: Callable[..., Written]) -> None:
    written = write(a_second=1)
    written.fail()
    written.fail()
    assert written.lines()[-1][0] == "1 more calls failed"


@pytest.mark.parametrize("off", ["setting", "level"])
def test_failed_calls_can_be_left_out(
    write: Callable[..., Written], caplog: pytest.LogCaptureFixture, off: str
) -> None:
    if off == "level":
        caplog.set_level(logging.WARNING, "hotgraph_server.calls")
    written = write(a_second=0 if off == "setting" else 10)
    written.fail()
    assert written.lines() == []


def test_any_call_has_a_line_in_the_access_log(write: Callable[..., Written]) -> None:
    written = write()
    trace = trace_of(HTTP, IDENTITY, RUN)
    trace.http_status = 200
    written.log.offer(trace)
    assert written.lines() == [
        (
            "call",
            {
                "status": "OK",
                "http_status": 200,
                "method": "POST /v1/models/m:predict",
                "model": "m",
                "version": 12,
                "signature": "f",
                "rows": 2,
                "peer": "10.0.0.1:4711",
                "request_id": "seven",
                "total_ms": 8000.0,
                "wait_ms": 2000.0,
                "run_ms": 3000.0,
                "batch": 3,
                "batch_rows": 5,
                "trace_id": f"{0xAB:032x}",
            },
        )
    ]


def test_what_waits_has_an_edge_and_the_rest_is_counted(write: Callable[..., Written]) -> None:
    written = write()
    trace = trace_of(HTTP, IDENTITY)
    taken = [written.log.offer(trace) for _ in range(5000)]
    assert taken.count(False) == 5000 - 4096
    lines = written.lines()
    assert lines[-1][0] == "904 lines of calls were not written, because too many waited"
    assert written.log.lost == 904


def test_line_that_waits_holds_no_more_than_it_says(
    write: Callable[..., Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    written, waiting = write(Facts(LONG, 3, LONG)), list[FailedCall]()
    monkeypatch.setattr(written.log, "_offer", lambda call, _: waiting.append(call))
    written.log.tell(Failure(LONG, LONG, InvalidCall(LONG), {"traceparent": LONG}.get))
    (call,) = waiting
    assert sum(len(one) for one in call if isinstance(one, str)) < 1000
    # And says that it was cut.
    said = said_of_failed(call)
    assert all(said[name].endswith("...") for name in ("method", "model", "signature", "peer", "error"))


def test_trace_that_waits_holds_no_more_than_a_few_kilobytes() -> None:
    origin = Origin.of("POST", "10.0.0.1:5", LONG, route="/r", path=LONG)
    trace = Trace(None, 1, LONG, LONG, origin)
    trace.named(LONG)
    texts = [trace.model, trace.request_id, trace.origin.path, trace.origin.trace_id]
    assert sum(map(len, texts)) < 5000


@given(st.text(), st.text(max_size=1000), st.text(max_size=1000))
def test_what_callers_say_is_cut(path: str, name: str, text: str) -> None:
    trace = Trace(None, 1, name * 20, name * 20, Origin("POST", "/r", path * 100, name * 20), None)
    trace.failed(InvalidCall(text * 20))
    failed = FailedCall(
        path * 100, name * 20, "INTERNAL", text * 20, TRACE, name * 20, 1, name * 20, -1.0, -1.0
    )
    for fields in (said_of_any(trace), said_of_failed(failed)):
        assert all(len(value) <= MAX_TEXT + 3 for value in fields.values() if isinstance(value, str))
