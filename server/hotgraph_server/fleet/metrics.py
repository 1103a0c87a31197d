"""A fleet in Prometheus' form, from its status document (status.py). Pure but for the package's registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hotgraph_server.fleet.observed import ReplicaState
from hotgraph_server.fleet.rollout import Step

_OF_MODEL = ("model",)


class FleetCollector(Collector):
    """Reads the document at each scrape.

    Args:
        document: the latest; None: there is none yet.
        wall_clock: seconds since the epoch.
    """

    def __init__(
        self, document: Callable[[], Mapping[str, Any] | None], wall_clock: Callable[[], float]
    ) -> None:
        self._document = document
        self._wall_clock = wall_clock

    def collect(self) -> Iterator[Metric]:
        """Everything, metric by metric; nothing before the driver has looked."""
        document = self._document()
        if document is not None:
            yield from fleet_metrics(document, self._wall_clock())


def fleet_registry(
    document: Callable[[], Mapping[str, Any] | None], wall_clock: Callable[[], float]
) -> CollectorRegistry:
    """All that the driver's /metrics shows."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FleetCollector(document, wall_clock))
    return registry


def fleet_metrics(document: Mapping[str, Any], wall_s: float) -> Iterator[Metric]:
    """Every family, also where there is nothing in it."""
    replicas = GaugeMetricFamily("hotgraph_fleet_replicas", "Replicas by state.", labels=("state",))
    states = Counter(replica["state"] for replica in document["replicas"])
    for state in ReplicaState:
        replicas.add_metric((state.value,), states[state.value])
    yield replicas
    yield _gauge(
        "hotgraph_fleet_replicas_wanted", "Replicas that there shall be.", document["replicas_wanted"]
    )
    yield _gauge(
        "hotgraph_fleet_nodes", "Machines that are there.", sum(node["alive"] for node in document["nodes"])
    )
    copies = GaugeMetricFamily(
        "hotgraph_fleet_model_copies", "Copies of a model that answer.", labels=_OF_MODEL
    )
    wanted = GaugeMetricFamily(
        "hotgraph_fleet_model_copies_wanted", "Copies of a model that there shall be.", labels=_OF_MODEL
    )
    refused = GaugeMetricFamily(
        "hotgraph_fleet_refused_versions", "Versions of a model that were refused.", labels=_OF_MODEL
    )
    steps = Counter({step.value: 0 for step in Step})
    for model in document["models"]:
        copies.add_metric((model["name"],), model["copies"])
        wanted.add_metric((model["name"],), model["copies_wanted"])
        if model["rollout"] is not None:
            refused.add_metric((model["name"],), len(model["rollout"]["refused"]))
            steps[model["rollout"]["step"]] += 1
    yield from (copies, wanted, refused)
    rollouts = GaugeMetricFamily(
        "hotgraph_fleet_rollouts", "Models by the step of their rollout.", labels=("step",)
    )
    for step, count in steps.items():
        rollouts.add_metric((step,), count)
    yield rollouts
    actions = CounterMetricFamily(
        "hotgraph_fleet_actions",
        "What the driver has had done, by what came of it.",
        labels=("kind", "outcome"),
    )
    for outcome, key in (("done", "actions"), ("failed", "failed_actions")):
        for kind, count in sorted(document["driver"][key].items()):
            actions.add_metric((kind, outcome), count)
    yield actions
    yield _gauge(
        "hotgraph_fleet_last_look_seconds",
        "How long ago the driver has looked at the fleet; more than a few seconds: it hangs.",
        max(0.0, wall_s - document["at_s"]),
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))
