from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hotgraph_client.loadtest.report import fleet_page
from hotgraph_client.loadtest.report.fleet_day import MAX_POINTS

from .documents import HOSTILE
from .test_markup import Read


def moment(minute: int, **others: float) -> dict[str, Any]:
    return {
        **{"at_s": 60.0 * minute, "wanted": 4, "ready": 4, "memory": 0.5, "duty": 0.25, "calls_per_s": 100.0},
        **{"short": 0, "without": 0},
        **others,
    }


def document(moments: int = 3, **others: Any) -> dict[str, Any]:
    """What `hotgraph fleet plan --simulate --json` writes."""
    return {
        "fleet": "shop",
        "nodes": 20,
        "replicas": {"count": 4, "least": 2, "most": 8},
        "models": 100,
        "scenario": {"hours": 24, "seed": 1},
        "placed_s": 68.0,
        "loads_to_place": 202,
        "calls": 491_894_174,
        "found_at_once": 0.99999,
        "found_at_another": 0.00001,
        "found_none": 0.0,
        "models_short_on_average": 0.02,
        "models_short_at_most": 13,
        "loads": 583,
        "actions": {"drain": 12, "load": 583},
        "updates": 209,
        "update_s": {"median": 13.0, "worst": 70.0},
        "losses": {"node": 1, "server": 2},
        "recovery_s": {"node": {"median": 46.0, "worst": 46.0}, "server": None},
        "losses_not_mended": 0,
        "over_time": [moment(one) for one in range(moments)],
        **others,
    }


def drawn(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page)
    assert found
    return {one["id"]: one for one in json.loads(found[1])["charts"]}


def test_page_is_one_file_that_asks_for_nothing_and_says_what_it_shows() -> None:
    page = fleet_page(document())
    found = Read(page)
    assert [tag for tag, _ in found.tags].count("script") == 3
    for tag, attributes in found.tags:
        assert not {"src", "style", "srcset", "action"} & set(attributes), tag
        assert attributes.get("href", "#").startswith("#"), tag  # type: ignore[union-attr]
    texts = " ".join(found.texts)
    assert "A day of fleet shop on paper" in texts
    assert "Every call found a copy of its model." in texts
    assert "20 nodes, 4 replicas at first (2 to 8), 100 models" in texts
    assert "Written by hotgraph fleet plan --simulate" in texts
    assert "hotgraph loadtest" not in texts


def test_every_chart_has_a_place_and_its_moments() -> None:
    page = fleet_page(document(over_time=[moment(0), moment(60, ready=3, short=2, memory=0.75)]))
    charts = drawn(page)
    places = {one.get("data-chart") for _, one in Read(page).tags} - {None}
    assert set(charts) == places == {"fleet-calls", "fleet-replicas", "fleet-use", "fleet-short"}
    series = {one["name"]: one["points"] for chart in charts.values() for one in chart["series"]}
    assert series["ready"] == [[0, 4], [1, 3]]
    assert series["memory for models"] == [[0, 50], [1, 75]]
    assert series["fewer than asked for"] == [[0, 0], [1, 2]]
    assert charts["fleet-replicas"]["summary"] == "wanted: 4; ready: 3 to 4."


def test_long_times_keep_what_was_worst() -> None:
    moments = [moment(one) for one in range(4 * MAX_POINTS)]
    moments[7] = moment(7, ready=1, without=5)
    charts = drawn(fleet_page(document(over_time=moments)))
    series = {one["name"]: one["points"] for chart in charts.values() for one in chart["series"]}
    assert len(series["ready"]) == MAX_POINTS
    assert min(value for _, value in series["ready"]) == 1
    assert max(value for _, value in series["none at all"]) == 5


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"placed_s": None}, "Not all models were placed."),
        ({"found_none": 0.001}, "Calls were left without a copy."),
        ({"losses_not_mended": 2}, "2 losses not made good at the end."),
        ({"scenario": {"hours": 2, "seed": 1}, "update_s": None}, "2 hours of fleet shop on paper"),
        ({"over_time": []}, "A day of fleet shop on paper"),
    ],
)
def test_what_is_not_as_it_should_be_is_said(others: dict[str, Any], said: str) -> None:
    assert said in " ".join(Read(fleet_page(document(**others))).texts)


def test_hostile_name_adds_no_element() -> None:
    mild, hostile = (Read(fleet_page(document(fleet=name))) for name in ("mild", HOSTILE))
    assert [tag for tag, _ in mild.tags] == [tag for tag, _ in hostile.tags]
