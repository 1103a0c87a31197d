"""Pages of several processes as one."""

from __future__ import annotations

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from hotgraph_server.observability.metrics import merged

PAGE = """\
# HELP a_total Calls.
# TYPE a_total counter
a_total{{model="m"}} {calls}.0
# HELP hotgraph_ready Ready.
# TYPE hotgraph_ready gauge
hotgraph_ready {ready}
# HELP hotgraph_executor_duty_ratio Duty.
# TYPE hotgraph_executor_duty_ratio gauge
hotgraph_executor_duty_ratio{{model="m"}} {duty}
# HELP hotgraph_build_info What is installed.
# TYPE hotgraph_build_info gauge
hotgraph_build_info{{version="1"}} 1.0
# HELP d_seconds Durations.
# TYPE d_seconds histogram
d_seconds_bucket{{le="0.1"}} {calls}
d_seconds_bucket{{le="+Inf"}} {calls}
d_seconds_count {calls}
d_seconds_sum 2.5
# HELP nv_inference_count Calls, as Triton calls them.
# TYPE nv_inference_count untyped
nv_inference_count {calls}.0
"""
PAGES = {
    1: PAGE.format(calls=3, ready=0.0, duty=0.5).encode(),
    0: (PAGE.format(calls=2, ready=1.0, duty=1.0) + "# TYPE only gauge\nonly 7\n").encode(),
}


def samples(metrics: list[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (one.name, frozenset(one.labels.items())): one.value for metric in metrics for one in metric.samples
    }


def labels(**given: str) -> frozenset[tuple[str, str]]:
    return frozenset(given.items())


def test_each_series_says_whose_it_is() -> None:
    found = samples(merged.by_process(PAGES))
    assert found["a_total", labels(model="m", process="0")] == 2
    assert found["a_total", labels(model="m", process="1")] == 3
    assert found["only", labels(process="0")] == 7
    assert all(dict(of)["process"] in "01" for _, of in found)


def test_sums_have_the_series_that_one_process_has() -> None:
    found = samples(merged.summed(PAGES))
    assert found["a_total", labels(model="m")] == 5
    assert found["d_seconds_bucket", labels(le="+Inf")] == 5
    assert found["d_seconds_sum", labels()] == 5.0
    assert found["only", labels()] == 7
    # What would be nonsense added up.
    assert found["hotgraph_ready", labels()] == 0
    assert found["hotgraph_executor_duty_ratio", labels(model="m")] == 0.75
    assert found["hotgraph_build_info", labels(version="1")] == 1


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_what_is_written_can_be_read(accept: str) -> None:
    body, kind = merged.written(merged.summed(PAGES), accept)
    assert kind.startswith("application/openmetrics-text" if accept else "text/plain")
    text = body.decode()
    assert 'a_total{model="m"} 5.0' in text
    assert "nv_inference_count 5.0" in text
    if not accept:
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert families["a"].type == "counter"
        assert families["a"].documentation == "Calls."
