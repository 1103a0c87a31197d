"""opening.py: what is sent by which settings, and where the packages for it are not installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from hotgraph_server.errors import StartError
from hotgraph_server.observability.otlp import opening, sending
from hotgraph_server.observability.otlp.opening import Otlp
from hotgraph_server.settings import OtlpSettings
from hotgraph_server.threads.time_left import TimeLeft

ENVIRON = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
ASKED = OtlpSettings(otlp_endpoint="http://127.0.0.1:1")


def opened(settings: OtlpSettings, environ: Mapping[str, str] | None = None) -> Otlp:
    return Otlp(settings, environ or {}, list)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if OpenTelemetry had never been installed."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    for name in list(sys.modules):
        if (
            name.startswith(("opentelemetry.", "hotgraph_server.observability.otlp."))
            and name != opening.__name__
        ):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["hotgraph_server.observability.otlp"], "sending", raising=False)


def test_nothing_is_opened_where_nothing_is_asked_for() -> None:
    otlp = opened(OtlpSettings())
    assert otlp.spans is None
    otlp.start()
    otlp.stop(TimeLeft(5.0))
    assert otlp.lost == 0


class Hanging:
    """A thread that sends, and takes all the time that it is given."""

    def __init__(self, name: str, clock: Clock, told: list[tuple[str, float]]) -> None:
        self._name, self._clock, self._told = name, clock, told

    def give_up(self) -> None:
        self._told.append((f"{self._name} gives up", self._clock.now))

    def stop(self, timeout_s: float) -> None:
        self._clock.now += timeout_s
        self._told.append((self._name, self._clock.now))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_spans_and_metrics_that_hang_hold_up_the_end_no_longer_than_one_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, told = Clock(), list[tuple[str, float]]()
    monkeypatch.setattr(sending, "span_export", lambda *_: Hanging("spans", clock, told))
    monkeypatch.setattr(sending, "MetricExport", lambda *_: Hanging("metrics", clock, told))
    otlp = opened(ASKED)
    otlp.stop(TimeLeft(5.0, clock))
    assert [what for what, _ in told] == ["metrics gives up", "spans", "metrics"]
    assert told[0][1] == 0.0
    assert told[-1][1] < 5.5


@pytest.mark.parametrize(("settings", "environ"), [(ASKED, {}), (OtlpSettings(), ENVIRON)])
def test_either_asks_for_spans(settings: OtlpSettings, environ: dict[str, str]) -> None:
    assert opened(settings, environ).spans is not None


def test_metrics_alone_make_no_spans() -> None:
    assert opened(ASKED, {"OTEL_TRACES_EXPORTER": "none"}).spans is None


def test_protocol_that_is_not_spoken_is_told(caplog: pytest.LogCaptureFixture) -> None:
    opened(ASKED, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"})
    assert "grpc is not spoken here" in caplog.text


@pytest.mark.usefixtures("without")
def test_setting_without_the_packages_is_one_line() -> None:
    for act in (lambda: opening.check(ASKED), lambda: opened(ASKED)):
        with pytest.raises(StartError, match=r"^--otlp-endpoint: .*pip install 'hotgraph\[otel\]'$"):
            act()


@pytest.mark.usefixtures("without")
def test_environment_without_the_packages_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    otlp = opened(OtlpSettings(), ENVIRON)
    assert otlp.spans is None
    (said,) = caplog.records
    assert "pip install 'hotgraph[otel]'" in said.getMessage()
    opening.check(OtlpSettings())
