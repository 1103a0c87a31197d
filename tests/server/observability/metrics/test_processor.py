"""Processor time as a scrape shows it."""

from __future__ import annotations

from typing import Any

from hotgraph_server.observability.metrics.processor import processor_metrics
from hotgraph_server.observability.process_figures import process_figures


def samples(figures: dict[str, Any]) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in processor_metrics(figures)
        for sample in metric.samples
    }


def test_threads_are_told_apart() -> None:
    times = {"serving_cpu_s": 1.5, "executors_cpu_s": 2.5, "others_cpu_s": 0.0}
    assert samples({"processors": 2, "memory_limit_bytes": 1 << 30, **times}) == {
        ("hotgraph_processors",): 2,
        ("hotgraph_memory_limit_bytes",): 1 << 30,
        ("hotgraph_thread_cpu_seconds_total", "serving"): 1.5,
        ("hotgraph_thread_cpu_seconds_total", "executors"): 2.5,
        ("hotgraph_thread_cpu_seconds_total", "others"): 0.0,
    }


def test_what_the_system_does_not_tell_is_not_there() -> None:
    unknown = dict.fromkeys(("memory_limit_bytes", "serving_cpu_s", "executors_cpu_s", "others_cpu_s"))
    assert samples({"processors": 2, **unknown}) == {("hotgraph_processors",): 2}


def test_this_process_has_processors_and_spends_time() -> None:
    assert samples(process_figures())["hotgraph_processors",] >= 1
