"""The figures in Prometheus' form, made when a scrape asks for them.

Nothing here is on the path of a call: the figures lie in statistics.py and are read, named and labelled at
the scrape. Names and labels are what dashboards and alerts hold on to; docs/metrics.md lists them, and a
test compares the two. What there is of each signature: signatures.py.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hotgraph_protos.version import __version__
from hotgraph_server.forwarding.figures import ForwardingFigures
from hotgraph_server.models.demand_figures import DemandFigures
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import ModelFigures
from hotgraph_server.models.version import Version
from hotgraph_server.observability.metrics.demand import demand_metrics
from hotgraph_server.observability.metrics.doors import NO_DOORS, door_metrics
from hotgraph_server.observability.metrics.forwarding import forwarding_metrics
from hotgraph_server.observability.metrics.models import model_metrics
from hotgraph_server.observability.metrics.processor import processor_metrics
from hotgraph_server.observability.metrics.sequences import sequence_metrics
from hotgraph_server.observability.metrics.shadows import shadow_metrics
from hotgraph_server.observability.metrics.signatures import signature_metrics
from hotgraph_server.observability.process_figures import process_figures
from hotgraph_server.statistics import Figures
from hotgraph_server.threads.leadership import Turns
from hotgraph_server.transport.figures import DoorFigures

# Rendering is pure Python and could keep the interpreter's lock for milliseconds at a stretch. After each
# family the thread really sleeps, seconds: with 0 it would take the lock back before the one that waits
# for it has woken.
_GIVE_WAY_S = 1e-4

_OF_VERSION = ("model", "version")


def versions_of_packages() -> dict[str, str]:
    """Which versions of what matters are installed: by ``version`` (ours), ``python`` and package names."""
    found = {"version": __version__, "python": platform.python_version()}
    for name in ("tensorflow", "grpcio"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            # TensorFlow comes under other names as well (tensorflow-cpu).
            found[name] = "unknown"
    return found


class OwnFigures(NamedTuple):
    """Of the server itself.

    Attributes:
        lost: how much of what is written to files was lost so far, by what it is.
        turns: who took turns at the sockets so far.
        doors: of the ports for calls; None: there are none yet, or none any more.
        models: what the repository knows of each model.
        demand: of models that are loaded when they are called; None: none are.
        forwarding: of calls that are sent on to other servers; None: none are.
    """

    lost: Mapping[str, int]
    turns: Turns
    doors: DoorFigures | None = None
    models: Sequence[ModelFigures] = ()
    demand: DemandFigures | None = None
    forwarding: ForwardingFigures | None = None


def of_no_server() -> OwnFigures:
    """Where nothing is written to files, and no turns are taken."""
    return OwnFigures({"request_log": 0, "trace": 0, "span": 0, "call_line": 0}, Turns(0, 0, 0.0))


def prometheus_registry(
    models: Registry, ready: Callable[[], bool], own: Callable[[], OwnFigures] = of_no_server
) -> CollectorRegistry:
    """All that /metrics shows: the models, the server, this process. Not the package's global registry,
    so that two servers in one process do not meet."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(models, ready, own=own))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class ServerCollector(Collector):
    """Reads models and their figures at each scrape.

    Args:
        models: which versions there are.
        ready: are calls answered?
        own: the server's figures.
        clock: monotonic seconds.
        give_way: called between metrics, with seconds to sleep.
    """

    def __init__(
        self,
        models: Registry,
        ready: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        give_way: Callable[[float], object] = time.sleep,
        own: Callable[[], OwnFigures] = of_no_server,
    ) -> None:
        self._models = models
        self._ready = ready
        self._own = own
        self._clock = clock
        self._give_way = give_way
        self._packages = versions_of_packages()
        # When the last scrape was, and how long each version had run by then; of the scraping thread.
        self._scraped = clock()
        self._busy_s: Mapping[Version, float] = {}

    def collect(self) -> Iterator[Metric]:
        """Everything, metric by metric; the figures of a version are all of one moment."""
        versions = self._models.versions()
        figures = {version: _figures(version) for version in versions}
        for metric in self._metrics(versions, figures):
            yield metric
            self._give_way(_GIVE_WAY_S)

    def _metrics(
        self, versions: Sequence[Version], figures: Mapping[Version, Mapping[str, Figures]]
    ) -> Iterator[Metric]:
        yield InfoMetricFamily("hotgraph_build", "What is installed.", value=self._packages)
        yield GaugeMetricFamily("hotgraph_ready", "1 while calls are answered.", value=float(self._ready()))
        own = self._own()
        lost = CounterMetricFamily(
            "hotgraph_lost_records",
            "What was to be written down or sent of calls, and was lost.",
            labels=["kind"],
        )
        for kind, count in own.lost.items():
            lost.add_metric((kind,), count)
        yield lost
        turns = CounterMetricFamily(
            "hotgraph_turns", "Turns taken at the sockets of gRPC, by the leader.", labels=["leader"]
        )
        turns.add_metric(("serving",), own.turns.by_serving)
        turns.add_metric(("executor",), own.turns.by_executors)
        yield turns
        yield GaugeMetricFamily(
            "hotgraph_hand_over_seconds",
            "What it costs to hand a call to another thread, as measured of late.",
            value=own.turns.hand_over_s,
        )
        yield from processor_metrics(process_figures())
        yield from door_metrics(own.doors or NO_DOORS)
        yield from forwarding_metrics(own.forwarding)
        yield from model_metrics(self._models, own.models)
        if own.demand is not None:
            yield from demand_metrics(own.demand)
        yield from self._executors(versions, figures)
        yield from signature_metrics(versions, figures)
        yield from sequence_metrics(versions)
        yield from shadow_metrics(versions)

    def _executors(
        self, versions: Sequence[Version], figures: Mapping[Version, Mapping[str, Figures]]
    ) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("hotgraph_queue_calls", "Calls that wait now.", labels=_OF_VERSION)
        room = GaugeMetricFamily(
            "hotgraph_queue_calls_limit", "Calls that may wait: further ones are refused.", labels=_OF_VERSION
        )
        busy = CounterMetricFamily(
            "hotgraph_executor_busy_seconds", "Time that the executor has spent in runs.", labels=_OF_VERSION
        )
        duty = GaugeMetricFamily(
            "hotgraph_executor_duty_ratio",
            "Share of the time since the last scrape, by anyone, that the executor has spent in runs.",
            labels=_OF_VERSION,
        )
        now = self._clock()
        passed_s, self._scraped = now - self._scraped, now
        busy_s = {version: sum(one.ran_s for one in figures[version].values()) for version in versions}
        for version in versions:
            labels = (version.name, str(version.number))
            waiting.add_metric(labels, version.waiting)
            room.add_metric(labels, version.max_waiting)
            busy.add_metric(labels, busy_s[version])
            ran_s = busy_s[version] - self._busy_s.get(version, 0.0)
            # A run counts when it ends, and may have begun before the last scrape.
            duty.add_metric(labels, min(ran_s / passed_s, 1.0) if passed_s > 0 else 0.0)
        self._busy_s = busy_s
        yield from (waiting, room, busy, duty)


def _figures(version: Version) -> dict[str, Figures]:
    """Of every signature that can be called, those without a call so far included."""
    found = version.statistics.by_signature()
    return {name: found.get(name) or Figures() for name in sorted({*version.signatures, *found})}
