"""environment.py: which of OpenTelemetry's variables count, and under which settings of ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.observability.otlp.environment import (
    DEFAULT_SHARE,
    Destination,
    batching,
    destination,
    metrics_every_s,
    other_protocol,
    share,
)
from hotgraph_server.settings import OtlpSettings

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
NOTHING = OtlpSettings()


def test_nothing_is_sent_where_nothing_is_said() -> None:
    assert destination(NOTHING, {}) is None
    assert destination(NOTHING, {BASE: " "}) is None


def test_endpoint_is_the_base_of_both() -> None:
    both = Destination("http://c:4318/v1/traces", "http://c:4318/v1/metrics")
    assert destination(NOTHING, {BASE: "http://c:4318/"}) == both
    assert destination(OtlpSettings(otlp_endpoint="http://c:4318"), {BASE: "http://x"}) == both
    # Ours wins over both of theirs.
    assert destination(OtlpSettings(otlp_endpoint="http://c:4318"), {TRACES: "http://x"}) == both


def test_endpoint_of_one_signal_is_taken_as_it_is() -> None:
    assert destination(NOTHING, {TRACES: "http://t/spans"}) == Destination("http://t/spans", "")


@pytest.mark.parametrize(
    ("settings", "environ", "found"),
    [
        (OtlpSettings(otlp_metrics=False), {}, Destination("http://c/v1/traces", "")),
        (NOTHING, {"OTEL_METRICS_EXPORTER": "none"}, Destination("http://c/v1/traces", "")),
        (NOTHING, {"OTEL_TRACES_EXPORTER": "none"}, Destination("", "http://c/v1/metrics")),
        (NOTHING, {"OTEL_SDK_DISABLED": "TRUE"}, None),
    ],
)
def test_each_can_be_turned_off(
    settings: OtlpSettings, environ: dict[str, str], found: Destination | None
) -> None:
    assert destination(settings, {BASE: "http://c", **environ}) == found


@pytest.mark.parametrize(
    ("name", "argument", "wanted", "remark"),
    [
        ("parentbased_always_on", "", 1.0, ""),
        ("parentbased_always_off", "", 0.0, ""),
        ("parentbased_traceidratio", "0.25", 0.25, ""),
        ("traceidratio", "0.25", 0.25, "is taken as parentbased_traceidratio"),
        ("parentbased_traceidratio", "2", DEFAULT_SHARE, "is no share"),
        ("parentbased_traceidratio", "nan", DEFAULT_SHARE, "is no share"),
        ("xray", "", DEFAULT_SHARE, "is not known"),
        ("", "", DEFAULT_SHARE, ""),
    ],
)
def test_samplers_are_shares(name: str, argument: str, wanted: float, remark: str) -> None:
    found, said = share(NOTHING, {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument})
    assert found == wanted
    assert remark in said
    assert bool(remark) == bool(said)


def test_our_share_wins() -> None:
    assert share(OtlpSettings(otlp_sampling=0.5), {"OTEL_TRACES_SAMPLER": "always_on"}) == (0.5, "")


def test_protocol_that_is_not_spoken_is_found() -> None:
    assert other_protocol({}, "traces") == ""
    assert other_protocol({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "traces") == ""
    assert other_protocol({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "traces") == "grpc"
    spoken = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    assert other_protocol(spoken, "traces") == ""


@given(st.text(), st.text(), st.text(), st.text())
def test_no_variable_is_too_odd(most: str, delay: str, size: str, every: str) -> None:
    said = {
        "OTEL_BSP_MAX_QUEUE_SIZE": most,
        "OTEL_BSP_SCHEDULE_DELAY": delay,
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": size,
        "OTEL_METRIC_EXPORT_INTERVAL": every,
    }
    waiting, delay_s, at_a_time = batching(said)
    assert 0 < at_a_time <= waiting
    assert delay_s >= 0
    assert metrics_every_s(said) > 0
