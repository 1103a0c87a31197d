from __future__ import annotations

import math

import pytest

from hotgraph_client.loadtest.report.charts import Chart, Mark
from hotgraph_client.loadtest.report.step_charts import (
    NINES,
    SHOWN_STATUSES,
    at_share,
    distributions,
    errors_by_step,
    grouped,
    throughput_latency,
)

from .conftest import Make


def series(chart: Chart | None) -> dict[str, list[tuple[float, float | None]]]:
    assert chart is not None
    return {one.name: list(one.points) for one in chart.series}


def test_the_curve_has_every_percentile_of_every_step_that_says_something(made: Make) -> None:
    document = made("ramp")
    found = series(throughput_latency(document, None))
    for name in ("p50", "p99", "p99.9"):
        assert found[name] == [
            (step["offered_per_s"], step["latency_ms"][name]) for step in document["steps"][:-1]
        ]
    assert found["p99 of void steps"] == [(1500, document["steps"][-1]["latency_ms"]["p99"])]


def test_the_curve_of_a_closed_loop_is_by_what_was_answered(made: Make) -> None:
    document = made("closed_loop")
    chart = throughput_latency(document, None)
    assert chart is not None
    assert chart.x.name == "answered, calls/s"
    assert series(chart)["p99"] == [
        (step["achieved_per_s"], step["latency_ms"]["p99"]) for step in document["steps"]
    ]


def test_more_callers_that_are_answered_more_slowly_turn_the_line_back(made: Make) -> None:
    document = made("closed_loop")
    document["steps"][-1]["achieved_per_s"] = 700.0
    places = [x for x, _ in series(throughput_latency(document, None))["p50"]]
    assert places[-1] == 700.0
    assert places[-2] > 700.0


def test_a_baseline_is_dashed(made: Make) -> None:
    chart = throughput_latency(made("ramp"), made("baseline"))
    assert chart is not None
    assert {one.name for one in chart.series if one.dashed} == {
        "p50, baseline",
        "p99, baseline",
        "p99.9, baseline",
    }
    assert chart.table is not None
    assert [row[0] for row in chart.table.rows][8:10] == ["1500/s (void)", "baseline: 100/s"]


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("p99<17ms,errors<0.1%", [("y", 17.0, "p99 < 17 ms")]),
        ("p50 <= 500us, p99.9<1.5s", [("y", 0.5, "p50 < 500 us"), ("y", 1500.0, "p99.9 < 1.5 s")]),
        ("p99<0ms", []),
        ("p99<1.2.3ms", []),
        ("goodput>3", []),
    ],
)
def test_an_objective_is_marked(made: Make, text: str, marks: list[tuple[str, float, str]]) -> None:
    document = made("search")
    document["slo"]["text"] = text
    chart = throughput_latency(document, None)
    assert chart is not None
    assert chart.marks == (
        *(Mark(axis, at, said) for axis, at, said in marks),  # type: ignore[arg-type]
        Mark("x", 875, "held: 875/s"),
    )


def test_a_distribution_is_drawn_on_nines(made: Make) -> None:
    document = made("one_step")
    chart = distributions(document)
    step = document["steps"][0]
    points = series(chart)[step["label"]]
    assert [value for _, value in points] == [value for _, value in step["distribution"]]
    assert [1 - 10**-x for x, _ in points] == pytest.approx([share for share, _ in step["distribution"]])
    assert chart is not None
    assert chart.table is not None
    assert chart.table.rows[0][0] == "500/s"
    assert chart.table.rows[0][1 + NINES.index(0.99)] == pytest.approx(step["latency_ms"]["p99"])


def test_a_share_of_one_is_nowhere_on_nines(made: Make) -> None:
    document = made("one_step")
    document["steps"][0]["distribution"].append((1.0, 99.0))
    points = series(distributions(document))["500/s"]
    assert len(points) == len(document["steps"][0]["distribution"]) - 1
    assert all(math.isfinite(x) for x, _ in points)


def test_what_a_distribution_does_not_reach_is_not_told() -> None:
    found = [(0.0, 1.0), (0.5, 2.0), (0.99, 3.0)]
    assert [at_share(found, share) for share in (0.25, 0.5, 0.75, 0.99, 0.999)] == [2.0, 2.0, 3.0, 3.0, None]


def test_errors_stand_on_each_other_to_the_share_that_had_them(made: Make) -> None:
    document = made("ramp")
    found = series(errors_by_step(document))
    for place, step in enumerate(document["steps"]):
        total = sum(points[place][1] or 0 for points in found.values())
        assert total == pytest.approx(100 * sum(step["errors"].values()) / step["calls"])


def test_without_errors_there_is_no_chart_of_them(made: Make) -> None:
    assert errors_by_step(made("one_step")) is None


def test_an_axis_of_shares_ends_at_all(made: Make) -> None:
    chart = errors_by_step(made("nothing_but_errors"))
    assert chart is not None
    assert chart.y.greatest == 100


def test_many_statuses_are_one_beyond_those_that_colours_tell_apart() -> None:
    names = [f"S{place}" for place in range(12)]
    found = grouped(names)
    assert [name for name, _ in found] == [*names[:SHOWN_STATUSES], "5 others"]
    assert [status for _, members in found for status in members] == names


def test_nothing_to_draw_is_no_chart(made: Make) -> None:
    assert throughput_latency({}, None) is None
    assert distributions({}) is None
    assert errors_by_step({}) is None
    assert throughput_latency(made("nothing_but_errors"), None) is None
    assert distributions(made("nothing_but_errors")) is None
