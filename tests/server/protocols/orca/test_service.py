"""The stream of reports, to a caller and over a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import orca as pb
from hotgraph_server.errors import CallError, InvalidCall, QueueFull
from hotgraph_server.observability.load.report import LoadReport
from hotgraph_server.protocols.orca import service as orca

from ...fakes import FakeClock

LEAST_S = 1.0


class Stream:
    """The caller's end, and the alarms that the transport would ring."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.unread = 0
        self.alarms: dict[int, tuple[float, Callable[[], None]]] = {}
        self.go: Callable[[], None] = lambda: None
        self._alarms = 0

    def send(self, message: bytes) -> None:
        self.sent.append(pb.OrcaLoadReport.FromString(message))

    def end(self, error: CallError | None = None) -> None:
        raise AssertionError("nothing ends but by its caller")

    def when_gone(self, cancel: Callable[[], None]) -> None:
        self.go = cancel

    def call_at(self, moment: float, act: Callable[[], None]) -> Callable[[], None]:
        self._alarms += 1
        number = self._alarms
        self.alarms[number] = (moment, act)
        return lambda: self.alarms.pop(number, None) and None


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.load = LoadReport(utilization=0.5)
        self.service = orca.service(lambda: self.load, LEAST_S, self.clock)

    def open(self) -> tuple[Stream, Callable[[Any], None]]:
        stream = Stream()
        return stream, self.service.streaming["StreamCoreMetrics"].open(stream)  # type: ignore[arg-type]

    def ask(self, seconds: float) -> Stream:
        stream, receive = self.open()
        nanos = round(seconds * 1e9)
        interval = {"seconds": nanos // 10**9, "nanos": nanos % 10**9}
        receive(pb.OrcaLoadReportRequest(report_interval=interval).SerializeToString())
        receive(None)
        return stream

    def ring(self, stream: Stream) -> None:
        """The time has come for what was to be done next."""
        ((number, (moment, act)),) = stream.alarms.items()
        del stream.alarms[number]
        self.clock.now = moment
        act()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_first_report_comes_at_once_and_each_other_after_the_interval(scene: Scene) -> None:
    stream, began = scene.ask(2.5), scene.clock.now
    for expected in (0.25, 0.125):
        scene.load = LoadReport(utilization=expected)
        scene.ring(stream)
    assert [one.application_utilization for one in stream.sent] == [0.5, 0.25, 0.125]
    assert scene.clock.now - began == 5.0


@pytest.mark.parametrize(
    ("asked_s", "expected_s"), [(1e-9, LEAST_S), (0.999, LEAST_S), (1.5, 1.5), (1e9, 3600.0), (0.0, 10.0)]
)
def test_interval_has_bounds_whatever_is_asked_for(scene: Scene, asked_s: float, expected_s: float) -> None:
    stream = scene.ask(asked_s)
    ((moment, _),) = stream.alarms.values()
    assert moment - scene.clock.now == pytest.approx(expected_s)


def test_caller_that_names_no_interval_gets_what_balancers_ask_for(scene: Scene) -> None:
    stream, receive = scene.open()
    receive(b"")
    ((moment, _),) = stream.alarms.values()
    assert moment - scene.clock.now == orca.DEFAULT_S


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1), st.floats(0.1, 3600.0))
def test_any_duration_is_an_interval_within_the_bounds(seconds: int, nanos: int, least_s: float) -> None:
    found = orca.interval_s(Duration(seconds=seconds, nanos=nanos), least_s)
    assert least_s <= found <= orca.MOST_S


@given(st.binary(max_size=64))
def test_any_bytes_open_a_stream_of_reports_or_are_refused(message: bytes) -> None:
    scene = Scene()
    stream, receive = scene.open()
    try:
        receive(message)
    except InvalidCall:
        assert not stream.sent
    else:
        assert len(stream.sent) == len(stream.alarms) == 1


def test_caller_that_does_not_read_is_not_sent_more(scene: Scene) -> None:
    stream = scene.ask(1.0)
    stream.unread = 1
    for _ in range(5):
        scene.ring(stream)
    assert len(stream.sent) == 1
    stream.unread = 0
    scene.load = LoadReport(utilization=0.75)
    scene.ring(stream)
    assert [one.application_utilization for one in stream.sent] == [0.5, 0.75]


def test_caller_that_has_gone_leaves_no_alarm_behind(scene: Scene) -> None:
    stream = scene.ask(1.0)
    stream.go()
    assert not stream.alarms


def test_alarm_that_rings_as_its_caller_goes_is_the_last(scene: Scene) -> None:
    stream = scene.ask(1.0)
    ((_, act),) = stream.alarms.values()
    stream.go()
    act()
    assert not stream.alarms


def test_streams_are_counted_and_one_that_goes_makes_room(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orca, "MAX_STREAMS", 2)
    first, _ = scene.ask(1.0), scene.ask(1.0)
    with pytest.raises(QueueFull, match="the list of load reports is full"):
        scene.ask(1.0)
    first.go()
    first.go()  # told twice, it counts once
    scene.ask(1.0)
    with pytest.raises(QueueFull):
        scene.ask(1.0)


def test_caller_that_asks_a_second_time_changes_nothing(scene: Scene) -> None:
    stream, receive = scene.open()
    receive(b"")
    receive(b"")
    assert len(stream.sent) == len(stream.alarms) == 1
