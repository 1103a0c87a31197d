"""time_charts.py: the server's memory, where it is told."""

from __future__ import annotations

from hotgraph_client.loadtest.document import Document, Resident, ServerMoment
from hotgraph_client.loadtest.report.time_charts import charts_over_time

from .documents import document, open_step


def charts(made: Document) -> dict[str, str]:
    """Charts of the first step by name, with what each says."""
    ((_, found),) = charts_over_time(made)
    return {chart.id: chart.summary for chart in found}


def test_memory_is_drawn_where_the_server_tells_it_and_said_in_numbers() -> None:
    step = open_step(200, seconds=5, seed=1)
    assert "time-memory" not in charts(document(step))
    step["server"]["resident_mib"] = {"before": 400.0, "most": 431.0, "after": 430.0}
    for place, moment in enumerate(step["server"]["over_time"]):
        moment["resident_mib"] = 400.0 + place
    said = charts(document(step))["time-memory"]
    assert "400 MiB at the beginning, 431 at most, 430 at the end" in said


def test_of_several_seconds_to_a_point_the_most_is_shown() -> None:
    step = open_step(20, seconds=1300, seed=1)
    quiet = ServerMoment(at_s=0.0, calls_per_s=0.0, rows_per_run=None, queue_wait_ms=None, run_ms=None)
    moments = [quiet.copy() for _ in range(1300)]
    for at, moment in enumerate(moments):
        moment["at_s"], moment["resident_mib"] = float(at), 900.0 if at == 701 else 1.0
    memory: Resident = {"before": 1.0, "most": 900.0, "after": 1.0}
    step["server"] = {"source": "s", "resident_mib": memory, "over_time": moments}
    ((_, found),) = charts_over_time(document(step))
    (drawn,) = (chart for chart in found if chart.id == "time-memory")
    points = [y for _, y in drawn.series[0].points]
    assert len(points) <= 600
    assert max(y for y in points if y is not None) == 900.0
