"""The figures of the ports for calls as a scrape shows them."""

from __future__ import annotations

from hotgraph_server.observability.metrics.doors import NO_DOORS, door_metrics
from hotgraph_server.transport.figures import DoorFigures


def samples(now: DoorFigures) -> dict[tuple[str, ...], float]:
    """By name, and protocol and status where there are any."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in door_metrics(now)
        for sample in metric.samples
    }


def test_each_figure_is_a_metric() -> None:
    found = samples(
        DoorFigures(3, 9, 2, 2048, 100, 1000, {("http", "NOT_FOUND"): 4, ("grpc", "ABORTED"): 1}, 5)
    )
    assert {name[0]: value for name, value in found.items() if len(name) == 1} == {
        "hotgraph_connections": 3,
        "hotgraph_accepted_connections_total": 9,
        "hotgraph_open_calls": 2,
        "hotgraph_open_calls_limit": 2048,
        "hotgraph_message_bytes": 100,
        "hotgraph_message_bytes_limit": 1000,
        "hotgraph_faults_total": 5,
    }
    assert found["hotgraph_error_answers_total", "http", "NOT_FOUND"] == 4
    assert found["hotgraph_error_answers_total", "grpc", "ABORTED"] == 1


def test_first_error_of_an_ordinary_kind_is_no_new_series() -> None:
    found = samples(NO_DOORS)
    for protocol in ("grpc", "http"):
        for status in ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNAUTHENTICATED", "NOT_FOUND"):
            assert found["hotgraph_error_answers_total", protocol, status] == 0
    assert found["hotgraph_faults_total",] == 0
