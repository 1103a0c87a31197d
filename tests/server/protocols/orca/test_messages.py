"""Reports on the wire, read by other readers."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import orca as pb
from hotgraph_server.observability.load.report import LoadReport
from hotgraph_server.protocols.orca import messages

REPORT = LoadReport(
    utilization=1.5,
    cpu=0.25,
    memory=0.125,
    calls_per_s=1234.5678,
    errors_per_s=2.0,
    models={"a": 0.5, "b, or =": 0.25},
    named={"queue_wait_ms": 3.25, "rss_bytes": 655737000.0},
)
FLOATS = st.floats(0, 1e12)
# What no message can carry is served under no name.
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
REPORTS = st.builds(
    LoadReport,
    utilization=FLOATS,
    cpu=FLOATS,
    memory=FLOATS,
    calls_per_s=FLOATS,
    errors_per_s=FLOATS,
    models=st.dictionaries(NAMES, FLOATS, max_size=3),
    named=st.dictionaries(st.sampled_from(["queue_wait_ms", "rss_bytes"]), FLOATS),
)
KNOWN_TO_ENVOY = {"application_utilization", "cpu_utilization", "mem_utilization", "eps", "rps_fractional"}


def plain(text: str) -> dict[str, float]:
    """As Envoy and Google's load balancers read it: by commas, and each by its sign."""
    kind, _, content = text.partition(" ")
    assert kind == "TEXT"
    return {one.partition("=")[0].strip(): float(one.partition("=")[2]) for one in content.split(",")}


def test_message_has_every_figure_in_its_field() -> None:
    found = pb.OrcaLoadReport.FromString(messages.message(REPORT))
    assert (found.application_utilization, found.cpu_utilization, found.mem_utilization) == (1.5, 0.25, 0.125)
    assert (found.rps_fractional, found.eps) == (1234.5678, 2.0)
    assert dict(found.utilization) == REPORT.models
    assert dict(found.named_metrics) == REPORT.named


def test_json_is_triton_s_header_with_the_names_of_the_message() -> None:
    kind, _, content = messages.json_text(REPORT).partition(" ")
    assert kind == "JSON"
    assert json.loads(content) == {
        "application_utilization": 1.5,
        "cpu_utilization": 0.25,
        "mem_utilization": 0.125,
        "rps_fractional": 1234.57,
        "eps": 2.0,
        "utilization": REPORT.models,
        "named_metrics": {"queue_wait_ms": 3.25, "rss_bytes": 655737000.0},
    }


def test_text_is_triton_s_header_and_names_nothing_that_envoy_does_not_know() -> None:
    found = plain(messages.plain_text(REPORT))
    named = {name for name in found if name.startswith("named_metrics.")}
    assert found.keys() - named == KNOWN_TO_ENVOY
    assert named == {"named_metrics.queue_wait_ms", "named_metrics.rss_bytes"}
    assert found["rps_fractional"] == 1234.57


@given(REPORTS)
def test_headers_are_printable_whatever_models_are_called(report: LoadReport) -> None:
    for asked in ("json", "text"):
        header = messages.header(report, asked)
        assert header is not None
        name, value = header
        assert name == "endpoint-load-metrics"
        assert isinstance(value, str)
        assert value.isascii()
        assert value.isprintable()
    assert all(math.isfinite(value) for value in plain(messages.plain_text(report)).values())


@pytest.mark.parametrize("asked", ["bin", "BIN", " bin "])
def test_message_is_asked_for_by_its_name(asked: str) -> None:
    assert messages.header(REPORT, asked) == ("endpoint-load-metrics-bin", messages.message(REPORT))


@given(st.text().filter(lambda text: text.strip().lower() not in messages.FORMATS))
def test_what_is_no_format_gets_nothing(asked: str) -> None:
    assert messages.header(REPORT, asked) is None
