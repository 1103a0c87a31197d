"""What became of models and their versions, and what their callers were told, in Prometheus' form; see
prometheus.py.

States are the repository's, which knows of versions too that wait or could not be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import ModelFigures, State

_OF_VERSION = ("model", "version")

# There from the start; see doors.py.
_OF_CALLS = ("DEADLINE_EXCEEDED", "INTERNAL", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNAVAILABLE")


def model_metrics(models: Registry, known: Sequence[ModelFigures]) -> Iterator[Metric]:
    """Everything, metric by metric.

    Args:
        known: what the repository knows of each model.
    """
    yield _states(models, known)
    yield _memory(models)
    loads = CounterMetricFamily(
        "hotgraph_loads", "Loads of versions by how they ended.", labels=("model", "outcome")
    )
    for one in known:
        loads.add_metric((one.name, "live"), one.loads)
        loads.add_metric((one.name, "failed"), one.failed_loads)
    yield loads
    errors = CounterMetricFamily(
        "hotgraph_call_errors", "Calls that ended with an error.", labels=(*_OF_VERSION, "status")
    )
    for labels, count in _errors(models).items():
        errors.add_metric(labels, count)
    yield errors


def _states(models: Registry, known: Sequence[ModelFigures]) -> Metric:
    states = GaugeMetricFamily(
        "hotgraph_version_state", "1 for the state that the version is in.", labels=(*_OF_VERSION, "state")
    )
    found = {(one.name, one.number): one.state for one in models.versions()}
    for model in known:
        found |= {(model.name, one.number): one.state for one in model.versions}
    for (name, number), now in sorted(found.items()):
        for state in State:
            states.add_metric((name, str(number), state.value), float(now is state))
    return states


def _memory(models: Registry) -> Metric:
    held = GaugeMetricFamily(
        "hotgraph_version_memory_bytes",
        "Memory that the version takes between runs.",
        labels=(*_OF_VERSION, "device"),
    )
    for version in models.versions():
        for device, nbytes in version.memory.by_device().items():
            held.add_metric((version.name, str(version.number), device), nbytes)
    return held


def _errors(models: Registry) -> Mapping[tuple[str, str, str], int]:
    """By model, version and status. What has come to no version is its model's alone, and without a version;
    what was for no model that there is is without both."""
    counts = {("", "", "NOT_FOUND"): 0}
    counts |= {(name, "", "INVALID_ARGUMENT"): 0 for name in models.table}
    counts |= {(name, "", status): n for (name, status), n in models.last_errors.counts.items()}
    for version in models.versions():
        of_version = (version.name, str(version.number))
        counts |= {(*of_version, status): 0 for status in _OF_CALLS}
        told = version.statistics.last_errors.counts
        counts |= {(*of_version, status): n for (_, status), n in told.items()}
    return counts
