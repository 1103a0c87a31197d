"""The figures as JSON, for the live page.

Its figures count up from the start of the server; the page takes the difference of two answers. Not an
interface that promises to stay: that is /metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hotgraph_server.last_errors import LastError, latest_of
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.observability.admin.status_sums import MAX_ERRORS
from hotgraph_server.observability.process_figures import process_figures
from hotgraph_server.signatures import TensorSpec
from hotgraph_server.statistics import DURATION_BOUNDS_S, ROWS_BOUNDS, Figures
from hotgraph_server.tensors import tensorflow_name


def status(
    models: Registry,
    names: Sequence[str],
    state: State,
    packages: Mapping[str, str],
    *,
    now: float,
    wall_s: float,
    uptime_s: float,
) -> dict[str, Any]:
    """All that the page shows, as values that JSON has.

    Args:
        models: which versions there are.
        names: the models that shall be served; one that is not among `models` has no versions yet.
        state: of the server.
        packages: version numbers, by name.
        now: monotonic seconds, for the differences.
        wall_s: seconds since the epoch, for the times of errors.
        uptime_s: since the server was started, seconds.
    """
    table = models.table
    return {
        "now_s": now,
        "wall_s": wall_s,
        "uptime_s": uptime_s,
        "state": state.value,
        "packages": dict(packages),
        "processes": 1,
        "process": process_figures(),
        "bounds": {"duration_s": DURATION_BOUNDS_S, "rows": ROWS_BOUNDS},
        "models": [
            {
                "name": name,
                "default": _default(models, name),
                "versions": [_version(one) for one in table.get(name, {}).values()],
            }
            for name in sorted({*table, *names})
        ],
        "errors": told_errors(
            latest_of(
                [
                    models.last_errors.latest(),
                    *(one.statistics.last_errors.latest(one.name, one.number) for one in models.versions()),
                ],
                MAX_ERRORS,
            )
        ),
    }


def _default(models: Registry, name: str) -> int | None:
    """The number of the version that callers get who name none; None: there is none."""
    version = models.find(name)
    return version.number if version is not None and version.state is State.LIVE else None


def told_errors(errors: Iterable[LastError]) -> list[dict[str, Any]]:
    """As values that JSON has."""
    return [error._asdict() for error in errors]


def _version(version: Version) -> dict[str, Any]:
    figures = version.statistics.by_signature()
    return {
        "number": version.number,
        "state": version.state.value,
        "waiting": version.waiting,
        "busy_s": sum(one.ran_s for one in figures.values()),
        "signatures": [
            _signature(version, name, figures.get(name) or Figures()) for name in version.signatures
        ],
        "unusable": dict(version.unusable),
        "state_bytes": None if version.sequences is None else version.sequences.figures().state_nbytes,
        "memory_bytes": version.memory.total_bytes,
        "load_s": version.load_s,
        "shadow": _shadow(version),
    }


def _shadow(version: Version) -> dict[str, Any] | None:
    """What comes of it in the shadow of another version; None: it is in none."""
    figures = version.shadowing
    return None if figures is None else {"of": figures.of, **figures.told()._asdict()}


def _signature(version: Version, name: str, figures: Figures) -> dict[str, Any]:
    signature = version.signatures[name]
    plan = version.plans.get(name)
    return {
        "name": name,
        "default": signature is version.default_signature,
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
        "plan": None if plan is None else str(plan),
        "alone": version.unbatched_reasons.get(name),
        "joined_because": version.joined_because(name),
        "runs": figures.runs,
        "failed_runs": figures.failed_runs,
        "rows": figures.rows_run,
        "answered": figures.answered,
        "failed": figures.failed,
        "cache_hits": figures.cache_hits,
        "ran_s": figures.ran_s,
        "waited_s": figures.waited_s,
        "rows_per_run": figures.rows_per_run,
        "run_durations": figures.run_durations,
        "wait_durations": figures.wait_durations,
        "call_durations": figures.call_durations,
        "events": {event.name.lower(): count for event, count in figures.events.items()},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    shape = None if spec.shape is None else list(spec.shape)
    return {"alias": spec.alias, "dtype": tensorflow_name(spec.dtype), "shape": shape}
