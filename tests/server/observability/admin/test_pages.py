from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
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
        models = Registry()
        models.publish([self.version])
        self.pages = Pages(models, lambda: ["late", "m"], lambda: self.state, self.clock)

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
        assert status == {
            "now_s": 1060.0,
            "uptime_s": 60.0,
            "state": "live",
            "bounds": {"duration_s": list(DURATION_BOUNDS_S), "rows": list(ROWS_BOUNDS)},
        }
        assert set(packages) == {"version", "python", "tensorflow", "grpcio"}
        late, model = models
        assert late == {"name": "late", "versions": []}
        (version,) = model["versions"]
        batching, alone = version.pop("signatures")
        assert (model["name"], version) == (
            "m",
            {
                "number": 3,
                "state": "live",
                "waiting": 0,
                "busy_s": 0.5,
                "unusable": {"init": "it has no outputs"},
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

    def test_model_that_is_loading_has_no_versions_yet(self, shown: Shown) -> None:
        shown.state = State.LOADING
        assert shown.status()["state"] == "loading"
        assert shown.status()["models"][0] == {"name": "late", "versions": []}


class _Elements(HTMLParser):
    """What a page is made of, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        values = dict(attrs)
        self.loaded += [str(values[key]) for key in ("src", "srcset", "action") if key in values]
        if tag == "link":
            self.loaded.append(str(values["href"]))
        self.ids += [str(values["id"])] if "id" in values else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestPage:
    @pytest.fixture
    def page(self, shown: Shown) -> str:
        response = shown.get("/")
        assert (response.status, response.kind) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        return response.body.decode()

    def test_it_is_well_formed_and_loads_nothing_from_elsewhere(self, page: str) -> None:
        elements = _Elements()
        elements.feed(page)
        elements.close()
        assert not elements.open
        assert all(loaded.startswith("data:") for loaded in elements.loaded)
        for word in ("@import", "import(", "url(", "innerHTML", "document.write", "eval("):
            assert word not in page
        for wanted in page.split('getElementById("')[1:]:
            assert wanted.partition('"')[0] in elements.ids

    def test_it_knows_every_event_by_name(self, page: str) -> None:
        for event in Event:
            assert f"{event.name.lower()}:" in page

    def test_it_reads_only_what_the_status_has(self, page: str, shown: Shown) -> None:
        (signature_, _) = shown.status()["models"][1]["versions"][0]["signatures"]
        for wanted in page.split("signature.")[1:]:
            name = wanted[
                : next(i for i, letter in enumerate(wanted) if not (letter.isalnum() or letter == "_"))
            ]
            assert name in signature_
