from __future__ import annotations

from typing import Any

from hotgraph_client.loadtest.document import Moment
from hotgraph_client.loadtest.report.charts import Chart
from hotgraph_client.loadtest.report.time_charts import MAX_POINTS, charts_over_time, chosen

from . import documents
from .conftest import Make


def named(charts: tuple[Chart, ...]) -> dict[str, dict[str, list[tuple[float, float | None]]]]:
    return {chart.id: {one.name: list(one.points) for one in chart.series} for chart in charts}


def test_every_second_is_where_it_was(made: Make) -> None:
    document = made("ramp")
    step, charts = charts_over_time(document)[6]
    found = named(charts)
    seconds = step["over_time"]
    latency: dict[str, Any] = found["time-latency"]
    assert latency["p99"] == [(one["at_s"], one["p99_ms"]) for one in seconds]
    assert latency["sender's lag, p99"] == [(one["at_s"], one["lag_p99_ms"]) for one in seconds]
    calls = found["time-calls"]
    assert calls["answered"] == [(one["at_s"], one["answered"]) for one in seconds]
    assert calls["LATE" if "LATE" in calls else "RESOURCE_EXHAUSTED"] == [
        (one["at_s"], one["errors"].get("RESOURCE_EXHAUSTED", 0)) for one in seconds
    ]


def test_the_servers_figures_share_the_axis(made: Make) -> None:
    step, charts = charts_over_time(made("ramp"))[2]
    assert {(one.x.least, one.x.greatest, one.group) for one in charts} == {(0, 10, "time")}
    server = step["server"]["over_time"]
    found = named(charts)
    assert found["time-rows"]["rows per run"] == [(one["at_s"], one["rows_per_run"]) for one in server]
    assert found["time-waits"]["queue wait"] == [(one["at_s"], one["queue_wait_ms"]) for one in server]
    assert found["time-waits"]["run time"] == [(one["at_s"], one["run_ms"]) for one in server]


def test_a_server_that_tells_nothing_has_no_charts(made: Make) -> None:
    ((_, charts),) = charts_over_time(made("one_step"))
    assert [chart.id for chart in charts] == ["time-latency", "time-calls"]


def test_where_nothing_was_answered_there_is_no_latency(made: Make) -> None:
    ((_, charts),) = charts_over_time(made("nothing_but_errors"))
    assert [chart.id for chart in charts] == ["time-calls"]


def test_of_an_hour_the_worst_seconds_are_kept() -> None:
    step = documents.open_step(100, seconds=2)
    second = step["over_time"][0]
    step["over_time"] = [{**second, "at_s": at, "p99_ms": 3.0, "answered": 100} for at in range(3600)]
    step["over_time"][1234]["p99_ms"] = 950.0
    ((_, charts),) = charts_over_time(documents.document(step))
    found = named(charts)
    p99 = found["time-latency"]["p99, the worst of 6 s"]
    assert len(p99) <= MAX_POINTS
    assert max(p99, key=lambda point: point[1] or 0) == (1230, 950.0)
    assert {value for _, value in found["time-calls"]["answered"]} == {100}


def test_means_of_the_server_are_weighed_by_calls() -> None:
    step = documents.open_step(100, seconds=2)
    one = step["server"]["over_time"][0]
    step["server"]["over_time"] = [
        {**one, "at_s": at, "calls_per_s": 1.0 if at % 2 else 3.0, "run_ms": 9.0 if at % 2 else 1.0}
        for at in range(2 * MAX_POINTS)
    ]
    ((_, charts),) = charts_over_time(documents.document(step))
    assert {value for _, value in named(charts)["time-waits"]["run time"]} == {3.0}


def test_a_second_in_which_nothing_ran_is_a_gap() -> None:
    step = documents.open_step(100, seconds=3)
    nothing: Moment = {**step["over_time"][1], "p50_ms": None, "p99_ms": None, "max_ms": None}
    step["over_time"][1] = nothing
    step["server"]["over_time"][1]["run_ms"] = None
    ((_, charts),) = charts_over_time(documents.document(step))
    assert named(charts)["time-latency"]["p99"][1] == (1, None)
    assert named(charts)["time-waits"]["run time"][1] == (1.5, None)


def test_the_step_at_the_top_is_shown_first(made: Make) -> None:
    steps = made("ramp")["steps"]
    assert chosen(steps, steps[3]) == 3
    assert chosen(steps, None) == len(steps) - 1
    assert chosen(made("nothing_but_errors")["steps"], None) == 0
