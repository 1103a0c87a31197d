"""Who is told of the load, and how often it is put into words."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import orca as pb
from hotgraph_server.observability.load.report import LoadReport
from hotgraph_server.protocols.orca.trailers import ReportHeaders
from hotgraph_server.settings.load_reports import ALWAYS, ASKED, NEVER

ASKS = "endpoint-load-metrics-format"


class Load:
    def __init__(self) -> None:
        self.report = LoadReport(utilization=0.5)
        self.asked = 0

    def __call__(self) -> LoadReport:
        self.asked += 1
        return self.report


@pytest.fixture
def load() -> Load:
    return Load()


def test_calls_that_do_not_ask_cost_no_report(load: Load) -> None:
    headers = ReportHeaders(load, ASKED)
    trailers = headers.over_grpc()
    assert trailers is not None
    assert trailers.for_call({"user-agent": "any"}) is None
    assert headers.over_http({"accept": "*/*"}) == ()
    assert load.asked == 0


def test_calls_that_ask_get_what_they_ask_for(load: Load) -> None:
    trailers = ReportHeaders(load, ASKED).over_grpc()
    assert trailers is not None
    name, value = trailers.for_call({ASKS: "bin"}) or ("", b"")
    assert name == "endpoint-load-metrics-bin"
    assert isinstance(value, bytes)
    assert pb.OrcaLoadReport.FromString(value).application_utilization == 0.5
    for kind in ("json", "text"):
        name, text = trailers.for_call({ASKS: kind}) or ("", "")
        assert name == "endpoint-load-metrics"
        assert str(text).startswith(kind.upper())


def test_balancers_that_ask_for_nothing_get_messages_where_all_calls_do(load: Load) -> None:
    headers = ReportHeaders(load, ALWAYS)
    trailers = headers.over_grpc()
    assert trailers is not None
    name, _ = trailers.for_call({}) or ("", b"")
    ((over_http, value),) = headers.over_http({})
    assert name == over_http == "endpoint-load-metrics-bin"
    assert pb.OrcaLoadReport.FromString(base64.b64decode(value)).application_utilization == 0.5


def test_nobody_is_told_where_nobody_shall_be(load: Load) -> None:
    headers = ReportHeaders(load, NEVER)
    assert headers.over_grpc() is None
    assert headers.over_http({ASKS: "json"}) == ()


def test_report_is_put_into_words_once_and_again_when_it_has_changed(load: Load) -> None:
    trailers = ReportHeaders(load, ALWAYS).over_grpc()
    assert trailers is not None
    first = trailers.for_call({})
    assert trailers.for_call({}) is first
    load.report = LoadReport(utilization=0.75)
    second = trailers.for_call({})
    assert second is not None
    assert pb.OrcaLoadReport.FromString(bytes(second[1])).application_utilization == 0.75  # type: ignore[arg-type]


@given(st.text(), st.sampled_from([ASKED, ALWAYS, NEVER]))
def test_whatever_is_asked_for_gets_one_header_or_none(asked: str, to_whom: str) -> None:
    headers = ReportHeaders(Load(), to_whom)
    found = headers.over_http({ASKS: asked})
    assert len(found) <= 1
    trailers = headers.over_grpc()
    assert (trailers is not None and trailers.for_call({ASKS: asked}) is not None) == bool(found)
