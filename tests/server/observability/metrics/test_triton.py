"""triton.py against a parser that is not ours, over a version whose figures the test makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.observability.metrics.gpus import Gpus
from hotgraph_server.observability.metrics.triton import REASONS, Processor, TritonCollector
from hotgraph_server.settings import ModelSettings
from hotgraph_server.statistics import ENDINGS, Event

from ...fakes import HANG_S, FakeClock, FakeGraph, signature
from .test_gpus import Driver

DOCS = Path(__file__).parents[4] / "docs" / "metrics.md"
STAT = "cpu  10 0 20 60 10 0 0 0 5 5\ncpu0 1 2 3\n"
MEMINFO = "MemTotal:       1000 kB\nMemFree:        10 kB\nMemAvailable:   250 kB\nHugePages_Total:  0\n"


class Scraped:
    """Version 3 of model "m" with the signatures "s" and "t", on a machine that the test makes up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stat").write_text(STAT)
        (folder / "meminfo").write_text(MEMINFO)
        graph = FakeGraph(signature("s"), signature("t"))
        self.version = open_version(ModelSettings("m", Path("unused")), 3, graph.open, FakeClock())
        models = Registry()
        models.publish([self.version])
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(TritonCollector(models, Processor(folder), lambda _: None, Gpus(Driver)))

    def value(self, name: str, **labels: str) -> float:
        wanted = labels if name.startswith("nv_cpu") else {"model": "m", "version": "3", **labels}
        (found,) = [
            sample.value
            for family in parse(generate_latest(self.registry).decode())
            for sample in family.samples
            if sample.name == name and sample.labels == wanted
        ]
        return float(found)


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[Scraped]:
    scraped = Scraped(tmp_path)
    yield scraped
    assert scraped.version.stop(HANG_S)


def test_runs_of_all_signatures_are_summed_per_call_in_microseconds(scraped: Scraped) -> None:
    figures = scraped.version.statistics
    figures.add_run("s", [1.0, 2.0], rows=5, started=3.0, ended=3.5, input_s=0.125, output_s=0.0625)
    figures.add_run("t", [3.0], rows=1, started=4.0, ended=4.25, failed=True)
    values = {
        name: scraped.value(f"nv_inference_{name}")
        for name in (
            *("request_success", "count", "exec_count", "request_duration_us", "queue_duration_us"),
            *("compute_input_duration_us", "compute_infer_duration_us", "compute_output_duration_us"),
        )
    }
    assert values == {
        "request_success": 2,
        "count": 5,
        "exec_count": 2,
        "request_duration_us": 5_250_000,
        "queue_duration_us": 4_000_000,
        "compute_input_duration_us": 250_000,
        "compute_infer_duration_us": 875_000,
        "compute_output_duration_us": 125_000,
    }
    assert scraped.value("nv_inference_request_failure", reason="BACKEND") == 1
    assert scraped.value("nv_inference_first_response_histogram_ms_count") == 3
    assert scraped.value("nv_inference_first_response_histogram_ms_sum") == 5250
    assert scraped.value("nv_inference_first_response_histogram_ms_bucket", le="1000.0") == 0
    assert scraped.value("nv_inference_first_response_histogram_ms_bucket", le="2500.0") == 3


@pytest.mark.parametrize("event", sorted(ENDINGS, key=str))
def test_every_way_to_end_without_a_run_has_a_reason(scraped: Scraped, event: Event) -> None:
    scraped.version.statistics.count("s", event, 2)
    failed = {
        reason: scraped.value("nv_inference_request_failure", reason=reason)
        for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER")
    }
    assert failed == {**dict.fromkeys(failed, 0), REASONS[event]: 2}


@pytest.mark.parametrize("event", sorted(set(Event) - ENDINGS, key=str))
def test_what_ends_no_call_is_no_failure(event: Event) -> None:
    assert event not in REASONS


def test_answers_from_the_cache_are_successes_but_no_runs(scraped: Scraped) -> None:
    scraped.version.statistics.add_cache_hit("s", 0.5)
    scraped.version.statistics.add_cache_miss("s", 0.25)
    assert scraped.value("nv_inference_request_success") == 1
    assert scraped.value("nv_inference_count") == 0
    assert scraped.value("nv_cache_num_hits_per_model") == 1
    assert scraped.value("nv_cache_num_misses_per_model") == 1
    assert scraped.value("nv_cache_hit_duration_per_model") == 500_000
    assert scraped.value("nv_cache_miss_duration_per_model") == 250_000


def test_every_series_is_there_before_the_first_call(scraped: Scraped) -> None:
    assert scraped.value("nv_inference_pending_request_count") == 0
    assert scraped.value("nv_inference_request_success") == 0
    assert scraped.value("nv_model_load_duration_secs") == 0, "the clock stood still"
    assert scraped.value("nv_inference_first_response_histogram_ms_bucket", le="+Inf") == 0


def test_tags_of_the_configuration_are_labels_as_far_as_they_can_be(scraped: Scraped) -> None:
    tags = {"team": 'a "b"', "not a label": "x", "__own": "x", "model": "stolen"}
    scraped.version.contract = Contract(config=ModelConfig(metric_tags=tags))
    assert scraped.value("nv_inference_count", team='a "b"') == 0


def test_processor_is_busy_since_the_last_look(scraped: Scraped) -> None:
    scraped.value("nv_cpu_memory_total_bytes")
    (scraped.folder / "stat").write_text(STAT.replace("cpu  10 0 20 60 10", "cpu  15 0 20 70 15"))
    # Of 20 ticks that have passed, 15 were idle or waiting.
    assert scraped.value("nv_cpu_utilization") == 0.25
    assert scraped.value("nv_cpu_utilization") == 0, "no tick has passed"


def test_memory_is_what_the_kernel_says(scraped: Scraped) -> None:
    assert scraped.value("nv_cpu_memory_total_bytes") == 1000 * 1024
    assert scraped.value("nv_cpu_memory_used_bytes") == 750 * 1024


def test_elsewhere_than_on_linux_the_machine_has_no_figures(tmp_path: Path) -> None:
    assert not list(Processor(tmp_path / "nonesuch").metrics())


def test_openmetrics_can_be_read(scraped: Scraped) -> None:
    text = generate_openmetrics(scraped.registry).decode()  # type: ignore[no-untyped-call]
    names = {family.name for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    assert {"nv_inference_request_success", "nv_inference_first_response_histogram_ms"} <= names


def test_documentation_lists_exactly_what_there_is(scraped: Scraped) -> None:
    documented = set(re.findall(r"^\| `(nv_\w+)`", DOCS.read_text("utf-8"), re.MULTILINE))
    assert documented == {family.name for family in parse(generate_latest(scraped.registry).decode())}
