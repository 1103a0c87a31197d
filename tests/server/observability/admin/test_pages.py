from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_server.errors import InvalidCall
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.shadow_figures import ShadowFigures
from hotgraph_server.models.status import State
from hotgraph_server.observability.admin.http import Request, Response
from hotgraph_server.observability.admin.pages import Pages
from hotgraph_server.settings import ModelSettings
from hotgraph_server.statistics import DURATION_BOUNDS_S, ROWS_BOUNDS, Event

from ...fakes import HANG_S, FakeClock, FakeGraph, signature


class Shown:
    """The pages of a server with the model `m`, and `late`, which has no version yet."""

    def __init__(self) -> None:
        graph = FakeGraph(signature("serving_default"), signature("alone", {"x": None}))
        graph.unusable = {"init": "it has no outputs"}
        self.version = open_version(ModelSettings("m", Path("unused")), 3, graph.open)
        self.clock = FakeClock()
        self.state = State.LIVE
        self.models = Registry()
        self.models.publish([self.version])
        self.pages = Pages(self.models, lambda: ["late", "m"], lambda: self.state, self.clock)

    def get(self, path: str, accept: str = "", method: str = "GET") -> Response:
        response = self.pages.answer(Request(method, path, {"accept": accept}))
        assert isinstance(response, Response)
        return response

    def status(self) -> Any:
        response = self.get("/api/status")
        assert (response.status, response.kind) == (200, "application/json")
        return json.loads(response.body)


@pytest.fixture
def shown() -> Iterator[Shown]:
    shown = Shown()
    yield shown
    assert shown.version.stop(HANG_S)


@pytest.mark.parametrize(
    ("state", "ready"), [(State.LOADING, 503), (State.LIVE, 200), (State.DRAINING, 503), (State.CLOSED, 503)]
)
def test_it_is_ready_while_live_and_healthy_always(shown: Shown, state: State, ready: int) -> None:
    shown.state = state
    assert shown.get("/readyz").status == ready
    assert shown.get("/readyz").body == f"{state.value}\n".encode()
    assert shown.get("/healthz").status == 200


@pytest.mark.parametrize("path", ["/nope", "", "/metrics/", "/../etc/passwd", "//", "/METRICS"])
def test_other_paths_are_not_there(shown: Shown, path: str) -> None:
    response = shown.get(path)
    assert response.status == 404
    assert b"/metrics" in response.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_for_reading_only(shown: Shown, method: str) -> None:
    response = shown.get("/metrics", method=method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


def test_metrics_come_in_the_form_that_is_asked_for(shown: Shown) -> None:
    plain = shown.get("/metrics")
    assert plain.kind.startswith("text/plain")
    assert any(family.name == "hotgraph_calls" for family in parse(plain.body.decode()))
    open_ = shown.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert open_.kind.startswith("application/openmetrics-text")
    families = parse_openmetrics(open_.body.decode())  # type: ignore[no-untyped-call]
    assert any(family.name == "hotgraph_calls" for family in families)


class TestStatus:
    def test_it_has_all_that_the_page_reads(self, shown: Shown) -> None:
        statistics = shown.version.statistics
        statistics.add_run("serving_default", [1.0, 2.0], rows=5, started=3.0, ended=3.5)
        statistics.count("serving_default", Event.REFUSED_LATE, 2)
        shown.clock.now += 60.0
        status = shown.status()
        models = status.pop("models")
        packages = status.pop("packages")
        assert set(status.pop("process")) == {
            *("cpu_s", "rss_bytes", "processors", "serving_cpu_s", "executors_cpu_s", "others_cpu_s"),
            "memory_limit_bytes",
        }
        assert status.pop("wall_s") == pytest.approx(time.time(), abs=60)
        assert status == {
            "processes": 1,
            "errors": [],
            "limits": [],
            "now_s": 1060.0,
            "uptime_s": 60.0,
            "state": "live",
            "bounds": {"duration_s": list(DURATION_BOUNDS_S), "rows": list(ROWS_BOUNDS)},
        }
        assert set(packages) == {"version", "python", "tensorflow", "grpcio"}
        late, model = models
        assert late == {"name": "late", "default": None, "versions": []}
        assert model["default"] == 3
        (version,) = model["versions"]
        assert version.pop("load_s") >= 0
        batching, alone = version.pop("signatures")
        assert (model["name"], version) == (
            "m",
            {
                "number": 3,
                "state": "live",
                "waiting": 0,
                "busy_s": 0.5,
                "unusable": {"init": "it has no outputs"},
                "state_bytes": None,
                "shadow": None,
                "limits": [],
            },
        )
        assert (alone["name"], alone["default"], alone["runs"]) == ("alone", False, 0)
        assert alone["inputs"] == [{"alias": "x", "dtype": "float", "shape": None}]
        assert "no free dimension 0" in alone["alone"]
        histograms = {name: batching.pop(name) for name in list(batching) if isinstance(batching[name], list)}
        events = batching.pop("events")
        assert batching.pop("plan").startswith("as saved, in the caller's thread")
        assert batching == {
            "name": "serving_default",
            "default": True,
            "alone": None,
            "joined_because": "tried, not proven",
            "runs": 1,
            "failed_runs": 0,
            "rows": 5,
            "answered": 2,
            "failed": 0,
            "cache_hits": 0,
            "ran_s": 0.5,
            "waited_s": 3.0,
        }
        assert histograms.pop("inputs") == [{"alias": "x", "dtype": "float", "shape": [None, 2]}]
        assert histograms.pop("outputs") == [{"alias": "y", "dtype": "float", "shape": [None, 2]}]
        assert {name: sum(counts) for name, counts in histograms.items()} == {
            "rows_per_run": 1,
            "run_durations": 1,
            "wait_durations": 2,
            "call_durations": 2,
        }
        assert events == {**{event.name.lower(): 0 for event in Event}, "refused_late": 2}

    def test_it_has_the_last_errors_of_versions_and_of_calls_that_met_none(self, shown: Shown) -> None:
        shown.version.statistics.failed("serving_default", InvalidCall("no such id: 7"))
        shown.models.last_errors.add("NOT_FOUND", "no model 'nobody'", model="nobody")
        first, second = shown.status()["errors"]
        assert (first["model"], first["version"], first["text"]) == ("nobody", 0, "no model 'nobody'")
        assert (second["model"], second["version"], second["signature"]) == ("m", 3, "serving_default")
        assert (second["status"], second["text"], second["times"]) == ("INVALID_ARGUMENT", "no such id: 7", 1)

    def test_who_looks_twice_hears_what_limits_it(self, shown: Shown) -> None:
        assert shown.status()["limits"] == []
        shown.version.statistics.add_run("alone", [1000.0], rows=1, started=1000.0, ended=1004.9)
        shown.clock.now += 5.0
        status = shown.status()
        (limit,) = status["limits"]
        assert (limit["kind"], limit["text"]) == (
            "graph",
            "m: the graph is the limit: 98 % of the time in runs, 1 rows a run",
        )
        graph, alone = status["models"][1]["versions"][0]["limits"]
        assert (graph["kind"], alone["kind"]) == ("graph", "alone")

    def test_version_in_a_shadow_is_told_with_what_comes_of_it(self, shown: Shown) -> None:
        shown.version.shadowing = ShadowFigures(of=2, tolerance=0.0)
        shown.version.shadowing.dropped()
        (version,) = shown.status()["models"][1]["versions"]
        assert (version["shadow"]["of"], version["shadow"]["dropped"]) == (2, 1)

    def test_model_that_is_loading_has_no_versions_yet(self, shown: Shown) -> None:
        shown.state = State.LOADING
        assert shown.status()["state"] == "loading"
        assert shown.status()["models"][0] == {"name": "late", "default": None, "versions": []}


def test_the_pages_own_files_are_there_and_no_others(shown: Shown) -> None:
    assert shown.get("/live/main.js").kind == "text/javascript; charset=utf-8"
    for path in ("/live/", "/live/live.html", "/live/../pages.py", "/live/main.js/"):
        assert shown.get(path).status == 404
    assert shown.get("/live/main.js", method="POST").status == 405
