"""What a scrape shows, read by a parser that is not ours, of a version whose runs the test makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.observability.metrics.prometheus import (
    ServerCollector,
)
from hotgraph_server.settings import ModelSettings

from ...fakes import FakeClock, FakeGraph, signature

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


class Scraped:
    """One live version `m` 3 and what a scrape of it shows."""

    def __init__(self, *names: str) -> None:
        graph = FakeGraph(*(signature(name) for name in names))
        self.clock = FakeClock()
        self.version = open_version(ModelSettings("m", Path("unused")), 3, graph.open, self.clock)
        self.models = Registry()
        self.models.publish([self.version])
        self.ready = True
        self.slept: list[float] = []
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(
            ServerCollector(self.models, lambda: self.ready, self.clock, self.slept.append)
        )

    def scrape(self) -> Samples:
        text = generate_latest(self.registry).decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in parse(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Of a series of the version's signature "s", or of the version for what has no signature."""
        samples = self.scrape()
        of_version = {"model": "m", "version": "3"}
        for known in ({**of_version, "signature": "s"}, of_version, {}):
            found = samples.get((name, frozenset({**known, **labels}.items())))
            if found is not None:
                return found
        raise AssertionError(f"no series {name} {labels}")
