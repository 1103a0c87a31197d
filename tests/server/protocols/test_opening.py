"""Which services there are, by the settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.load.report import LoadReport
from hotgraph_server.observability.log_settings import Logs
from hotgraph_server.observability.metrics.prometheus import of_no_server
from hotgraph_server.observability.request_log.request_logs import RequestLogs
from hotgraph_server.observability.watching import Watching
from hotgraph_server.protocols.opening import Backs, services
from hotgraph_server.settings import LoadReportSettings, ServerSettings

REPORTS = "xds.service.orca.v3.OpenRcaService"


def names(**settings: Any) -> list[str]:
    registry, nobody = Registry(), SimpleNamespace()
    settings_ = ServerSettings((), **settings)
    backs = Backs(
        registry,
        models=nobody,
        control=nobody,
        request_logs=RequestLogs(),
        watching=Watching(
            settings_, registry, cast("Any", SimpleNamespace), lambda: State.LIVE, of_no_server
        ),
        logs=Logs(),
        regions=None,
        load=LoadReport,
        is_ready=lambda: True,
        is_starting=lambda: False,
        reconfigure=lambda models: None,
        make_model=None,
    )
    return [one.name for one in services(settings_, backs)]


@pytest.mark.parametrize("to_whom", ["asked", "always"])
def test_those_that_rest_asks_as_well_come_first_and_reports_behind_them(to_whom: str) -> None:
    assert names(load_reports=LoadReportSettings(to_whom)) == [
        "inference.GRPCInferenceService",
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        REPORTS,
    ]


def test_there_is_no_stream_of_reports_where_nobody_shall_have_any() -> None:
    assert REPORTS not in names(load_reports=LoadReportSettings("never"))
