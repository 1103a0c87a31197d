from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_server.fleet.admin import ASSETS, OWN, STALE_S, FleetPages, stored
from hotgraph_server.fleet.metrics import fleet_metrics
from hotgraph_server.observability.admin.http import Request, Response
from hotgraph_server.observability.admin.page import POLICY
from tests.server.fleet.documents import document

DOCS = Path(__file__).parents[3] / "docs" / "rollouts.md"


class Shown:
    def __init__(self) -> None:
        self.now = 1000.5
        self.document: dict[str, Any] | None = document(at_s=1000.0)
        self.pages = FleetPages(lambda: self.document, lambda: self.now)

    def get(self, path: str, method: str = "GET") -> Response:
        return self.pages.answer(Request(method, path))

    def metrics(self) -> dict[tuple[str, ...], float]:
        text = self.get("/metrics").body.decode()
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in parse(text)
            for sample in family.samples
        }


@pytest.fixture
def shown() -> Shown:
    return Shown()


def test_status_is_the_document(shown: Shown) -> None:
    assert json.loads(shown.get("/api/status").body) == shown.document


def test_driver_that_has_not_looked_yet_has_no_status_and_is_well(shown: Shown) -> None:
    shown.document = None
    assert shown.get("/api/status").status is HTTPStatus.SERVICE_UNAVAILABLE
    assert shown.get("/healthz").status is HTTPStatus.OK
    assert shown.metrics() == {}


def test_driver_that_looks_no_more_is_not_well(shown: Shown) -> None:
    shown.now = 1000.0 + STALE_S
    assert shown.get("/healthz").status is HTTPStatus.OK
    shown.now += 0.1
    answer = shown.get("/healthz")
    assert (answer.status, answer.body) == (
        HTTPStatus.SERVICE_UNAVAILABLE,
        b"the driver has not looked for 10 s\n",
    )


def test_metrics_tell_of_the_fleet(shown: Shown) -> None:
    found = shown.metrics()
    assert found["hotgraph_fleet_replicas", "ready"] == 2
    assert found["hotgraph_fleet_replicas", "lost"] == 1
    assert found["hotgraph_fleet_replicas", "draining"] == 0
    assert found["hotgraph_fleet_replicas_wanted",] == 3
    assert found["hotgraph_fleet_nodes",] == 2
    assert found["hotgraph_fleet_model_copies", "voices"] == 1
    assert found["hotgraph_fleet_model_copies_wanted", "voices"] == 2
    assert found["hotgraph_fleet_refused_versions", "voices"] == 1
    assert found["hotgraph_fleet_rollouts", "comparing"] == 1
    assert found["hotgraph_fleet_rollouts", "back"] == 0
    assert found["hotgraph_fleet_actions_total", "done", "load"] == 7
    assert found["hotgraph_fleet_actions_total", "failed", "load"] == 1
    assert found["hotgraph_fleet_last_look_seconds",] == 0.5


def test_documentation_lists_exactly_what_there_is(shown: Shown) -> None:
    documented = set(re.findall(r"^\| `(hotgraph_fleet_\w+)`", DOCS.read_text("utf-8"), re.MULTILINE))
    told = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in fleet_metrics(document(), 1000.0)
    }
    assert documented == told


def test_page_comes_with_the_policy_that_holds_it_to_this_port(shown: Shown) -> None:
    page = shown.get("/")
    assert page.headers["Content-Security-Policy"] == POLICY
    assert b"<script>" not in page.body
    assert b" style=" not in page.body


def test_all_that_the_page_asks_for_is_there(shown: Shown) -> None:
    page = shown.get("/").body.decode()
    asked = [link for link in re.findall(r'(?:src|href)="([^":]+)"', page)]
    imported = re.findall(r'from "\.\./([^"]+)"', stored("fleet.js").decode())
    assert "live/live.css" in asked
    assert "live/words.js" in imported
    for path in (*asked, *imported):
        assert shown.get(f"/{path}").status is HTTPStatus.OK, path


def test_script_finds_each_element_that_it_asks_for() -> None:
    ids = set(re.findall(r'byId\("([^"]+)"\)', stored("fleet.js").decode()))
    there = set(re.findall(r'id="([^"]+)"', stored("fleet.html").decode()))
    assert ids <= there


@pytest.mark.parametrize("path", ["/nonesuch", "/fleet/nonesuch", "/fleet/../admin.py", "/live/nonesuch"])
def test_nothing_else_is_there(shown: Shown, path: str) -> None:
    assert shown.get(path).status is HTTPStatus.NOT_FOUND


def test_port_is_for_reading(shown: Shown) -> None:
    for path in ("/", "/api/status", f"{OWN}{next(iter(ASSETS))}"):
        assert shown.get(path, "POST").status is HTTPStatus.METHOD_NOT_ALLOWED
