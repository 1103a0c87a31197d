"""Models on demand as Prometheus reads them."""

from __future__ import annotations

from hotgraph_server.models.demand_figures import WAIT_BOUNDS_S, DemandFigures, Waits
from hotgraph_server.observability.metrics.demand import demand_metrics


def figures(waits: Waits) -> DemandFigures:
    return DemandFigures(
        limit_bytes=100,
        held_bytes=60,
        working_set_bytes=150,
        hits=7,
        misses=waits.count,
        refused=2,
        loads=4,
        reloads=1,
        evictions=3,
        waiting=5,
        most_waiting=1000,
        waits=tuple(waits.counts),
        waited_s=waits.total_s,
        thrash_share=0.25,
    )


def samples(waits: Waits) -> dict[tuple[str, str], float]:
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for metric in demand_metrics(figures(waits))
        for sample in metric.samples
    }


def test_every_figure_has_its_series() -> None:
    waits = Waits()
    waits.add(0.3)
    found = samples(waits)
    assert found["hotgraph_demand_calls_total", "live"] == 7
    assert found["hotgraph_demand_calls_total", "waited"] == 1
    assert found["hotgraph_demand_calls_total", "refused"] == 2
    assert found["hotgraph_demand_loads_total", ""] == 4
    assert found["hotgraph_demand_reloads_total", ""] == 1
    assert found["hotgraph_evictions_total", ""] == 3
    assert found["hotgraph_load_waiting_calls", ""] == 5
    assert found["hotgraph_load_waiting_calls_limit", ""] == 1000
    assert found["hotgraph_models_memory_bytes", ""] == 60
    assert found["hotgraph_models_memory_bytes_limit", ""] == 100
    assert found["hotgraph_working_set_bytes", ""] == 150
    assert found["hotgraph_thrash_ratio", ""] == 0.25


def test_waits_are_a_histogram_whose_buckets_add_up() -> None:
    waits = Waits()
    for seconds in (0.01, 0.05, 0.3, 61.0):
        waits.add(seconds)
    found = samples(waits)
    assert found["hotgraph_load_wait_seconds_bucket", "0.05"] == 2
    assert found["hotgraph_load_wait_seconds_bucket", "0.5"] == 3
    assert found["hotgraph_load_wait_seconds_bucket", str(WAIT_BOUNDS_S[-1])] == 3
    assert found["hotgraph_load_wait_seconds_bucket", "+Inf"] == 4
    assert found["hotgraph_load_wait_seconds_count", ""] == 4
    assert found["hotgraph_load_wait_seconds_sum", ""] == 61.36
