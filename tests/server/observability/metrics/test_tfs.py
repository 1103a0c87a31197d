"""TensorFlow Serving's names against a parser that is not ours, over a version whose runs the test makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.observability.metrics.tfs import MetricsPage, TfsCollector
from hotgraph_server.settings import BatchSettings, ModelSettings
from hotgraph_server.statistics import Event

from ...fakes import HANG_S, FakeGraph, signature

LABELS = {"model_name": "m", "version": "3", "signature": "s"}
REQUESTS = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
RUNTIME = ":tensorflow:serving:runtime_latency"
RUNS = ":tensorflow:serving:batching_session:wrapped_run_count"
QUEUING = ":tensorflow:serving:batching_session:queuing_latency"
SIZES = ":tensorflow:serving:batching_session:processed_batch_size"


class Scraped:
    """One live version `m` 3 with the signature `s`, and what a scrape of it shows."""

    def __init__(self, refuse_with: str = "resource_exhausted") -> None:
        graph = FakeGraph(signature("s"))
        settings = ModelSettings("m", Path("unused"), BatchSettings(refuse_with=refuse_with))
        self.version = open_version(settings, 3, graph.open)
        self.models = Registry()
        self.models.publish([self.version])
        self.page = MetricsPage(self.models, lambda: True)

    def value(self, name: str, **labels: str) -> float:
        (found,) = [
            sample.value
            for family in parse(self.page.text().decode())
            for sample in family.samples
            # The parser calls every counter that.
            if sample.name in (name, f"{name}_total") and sample.labels == {**LABELS, **labels}
        ]
        return float(found)


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    found = Scraped()
    yield found
    found.version.stop(HANG_S)


@pytest.mark.parametrize("refuse_with", ["resource_exhausted", "unavailable"])
def test_requests_are_counted_by_status(refuse_with: str) -> None:
    scraped = Scraped(refuse_with)
    statistics = scraped.version.statistics
    statistics.add_run("s", [0.0, 0.0], 2, 1.0, 2.0)
    statistics.add_run("s", [0.0], 1, 1.0, 2.0, failed=True)
    for count, event in enumerate(
        (
            Event.REFUSED_FULL,
            Event.REFUSED_LATE,
            Event.REFUSED_DRAINING,
            Event.EXPIRED,
            Event.CANCELLED,
            Event.REFUSED_BY_SIZE,
            Event.TIMED_OUT,
        ),
        1,
    ):
        statistics.count("s", event, count)
    found = {
        status: scraped.value(REQUESTS, status=status)
        for status in ("OK", "UNKNOWN", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
    }
    scraped.version.stop(HANG_S)
    full_and_late, by_policy = 1 + 2, 6 + 7
    exhausted = refuse_with == "resource_exhausted"
    assert found == {
        "OK": 2,
        "UNKNOWN": 1,
        "RESOURCE_EXHAUSTED": full_and_late if exhausted else 0,
        "UNAVAILABLE": by_policy + (3 if exhausted else 3 + full_and_late),
        "DEADLINE_EXCEEDED": 4,
        "CANCELLED": 5,
    }


def test_times_are_microseconds(scraped: Scraped) -> None:
    scraped.version.statistics.add_run("s", [0.0, 0.5], 3, 1.0, 1.25)
    assert scraped.value(f"{LATENCY}_sum") == 1.25e6 + 0.75e6
    assert scraped.value(f"{LATENCY}_count") == 2
    assert scraped.value(f"{LATENCY}_bucket", le="500000.0") == 0
    assert scraped.value(f"{LATENCY}_bucket", le="1e+06") == 1
    assert scraped.value(f"{LATENCY}_bucket", le="+Inf") == 2
    assert scraped.value(f"{RUNTIME}_sum", runtime="TF1") == 0.25e6
    assert scraped.value(f"{RUNTIME}_count", runtime="TF1") == 1
    assert scraped.value(f"{QUEUING}_sum", thread_pool_name="") == 1.5e6


def test_batches_are_counted_by_model_and_signature(scraped: Scraped) -> None:
    statistics = scraped.version.statistics
    statistics.add_run("s", [0.0], 3, 1.0, 2.0)
    statistics.add_run("s", [0.0], 9, 1.0, 2.0)
    assert scraped.value(RUNS) == 2
    assert scraped.value(f"{SIZES}_sum") == 12
    assert scraped.value(f"{SIZES}_bucket", le="4.0") == 1


def test_every_series_is_there_from_the_start(scraped: Scraped) -> None:
    assert scraped.value(REQUESTS, status="OK") == 0
    assert scraped.value(f"{LATENCY}_count") == 0


def test_page_has_types_under_the_names_of_their_samples(scraped: Scraped) -> None:
    text = scraped.page.text().decode()
    for name, kind in ((REQUESTS, "counter"), (RUNS, "counter"), (LATENCY, "histogram")):
        assert f"# TYPE {name} {kind}\n" in text
    assert f"\n{REQUESTS}{{" in text
    # No sample may lack its type: the parser would call its family unknown.
    families = {family.name: family.type for family in parse(text)}
    assert "unknown" not in families.values()
    assert families["hotgraph_calls"] == "counter"


def test_label_that_has_to_be_escaped_is_read_back(scraped: Scraped) -> None:
    name = 'a"\\\nb'
    scraped.version.statistics.count(name, Event.EXPIRED)
    found = {
        sample.labels["signature"]
        for family in parse(scraped.page.text().decode())
        if family.name == LATENCY
        for sample in family.samples
    }
    assert found == {"s", name}


def test_collector_follows_the_models() -> None:
    models = Registry()
    collector = TfsCollector(models)
    assert all(not metric.samples for metric in collector.collect())
