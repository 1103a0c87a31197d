"""The pages of several processes' figures as one: each series with a label `process`, or added up. Pure.

prometheus_client reads the pages and writes the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

LABEL = "process"

_Combine = Callable[[list[float]], float]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


_OTHERWISE: dict[str, _Combine] = {
    "hotgraph_ready": min,
    "hotgraph_executor_duty_ratio": _mean,
    "hotgraph_plan_gain_ratio": min,
    "hotgraph_plan_xla_gain_ratio": min,
    "hotgraph_signature_batches": min,
    "hotgraph_tls_certificate_expires_seconds": min,
    "hotgraph_processors": max,
    "hotgraph_forwarding_peers": max,
    "hotgraph_memory_limit_bytes": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
}
"""Figures that are not added up, and what becomes of them. What only says that something is so (`_info`, and
states) is 1 where it is so in one of them."""

_IS_SO = ("_info", "_state")


def by_process(pages: Mapping[int, bytes]) -> list[Metric]:
    """All series of all pages, each with the label `process`.

    Args:
        pages: by process, in Prometheus' text format.
    """
    merged: dict[str, Metric] = {}
    for process, page in sorted(pages.items()):
        for family in _families(page):
            metric = merged.setdefault(family.name, _like(family))
            metric.samples += [
                one._replace(labels={LABEL: str(process), **one.labels}) for one in family.samples
            ]
    return list(merged.values())


def summed(pages: Mapping[int, bytes]) -> list[Metric]:
    """The same series as one process has, added up over all pages; see `_OTHERWISE`."""
    merged: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], list[Sample]]] = {}
    for _, page in sorted(pages.items()):
        for family in _families(page):
            merged.setdefault(family.name, _like(family))
            series = values.setdefault(family.name, {})
            for one in family.samples:
                series.setdefault((one.name, frozenset(one.labels.items())), []).append(one)
    for name, metric in merged.items():
        combine = max if name.endswith(_IS_SO) or metric.type == "info" else _OTHERWISE.get(name, sum)
        metric.samples = [
            found[0]._replace(value=combine([one.value for one in found])) for found in values[name].values()
        ]
    return list(merged.values())


def written(metrics: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """Metrics as a page, and its media type, for who takes what `accept` says."""
    encode, kind = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(metrics))
    return encode(registry), kind


class _Given(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _families(page: bytes) -> Iterator[Metric]:
    yield from text_string_to_metric_families(page.decode())


def _like(family: Metric) -> Metric:
    return Metric(family.name, family.documentation, family.type)
