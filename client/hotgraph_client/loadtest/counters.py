"""What a server counts of a model, from any of the texts in which servers tell it, and what grew in between.
Pure.

hotgraph and Triton answer the protocol's ModelStatistics; both show Prometheus' text, under names of their
own. Times of the statistics are summed over calls, so that each member of a batch adds its whole run; of the
runs themselves tell `batches` there, and hotgraph's metrics. Where only the former is known, a run's time is
the mean over calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from ..descriptions import ModelStatistics
from .document import Resident, ServerFigures, ServerMoment
from .prometheus_text import samples


@dataclass(frozen=True)
class Counters:
    """Since the server began; seconds.

    Attributes:
        calls: answered.
        rows: of them.
        runs: of the graph.
        queued: calls that had waited, and `queue_s` how long together.
        timed: runs (or calls) whose time is in `run_s`.
        busy_s: that an executor was in runs.
        resident_bytes: memory of the server's processes now, which is no count; None: it does not tell.
    """

    calls: float = 0.0
    rows: float = 0.0
    runs: float = 0.0
    queued: float = 0.0
    queue_s: float = 0.0
    timed: float = 0.0
    run_s: float = 0.0
    busy_s: float = 0.0
    resident_bytes: float | None = None

    def since(self, earlier: Counters) -> Counters:
        """What they grew by; of a server that was started again meanwhile, what it counts now."""
        grown = {name: getattr(self, name) - getattr(earlier, name) for name in _COUNTED}
        if any(value < 0 for value in grown.values()):
            return self
        return Counters(**grown, resident_bytes=self.resident_bytes)


_COUNTED = tuple(one.name for one in fields(Counters) if one.name != "resident_bytes")
_RESIDENT = "process_resident_memory_bytes"


def of_statistics(models: Iterable[ModelStatistics]) -> Counters | None:
    """Of all versions together; None: there are none."""
    found = list(models)
    if not found:
        return None
    runs = [batch.run for model in found for batch in model.batches] or [model.run for model in found]
    run_s = sum(one.total_s for one in runs)
    return Counters(
        calls=sum(model.success.count for model in found),
        rows=sum(model.rows for model in found),
        runs=sum(model.runs for model in found),
        queued=sum(model.queue.count for model in found),
        queue_s=sum(model.queue.total_s for model in found),
        timed=sum(one.count for one in runs),
        run_s=run_s,
        busy_s=run_s if any(model.batches for model in found) else 0.0,
    )


# Name in the text, labels that it must have, the field of Counters, and the factor.
_Names = tuple[tuple[str, tuple[tuple[str, str], ...], str, float], ...]
_HOTGRAPH: _Names = (
    ("hotgraph_calls_total", (("outcome", "answered"),), "calls", 1.0),
    ("hotgraph_batch_rows_sum", (), "rows", 1.0),
    ("hotgraph_batch_rows_count", (), "runs", 1.0),
    ("hotgraph_queue_wait_seconds_count", (), "queued", 1.0),
    ("hotgraph_queue_wait_seconds_sum", (), "queue_s", 1.0),
    ("hotgraph_run_duration_seconds_count", (), "timed", 1.0),
    ("hotgraph_run_duration_seconds_sum", (), "run_s", 1.0),
    ("hotgraph_executor_busy_seconds_total", (), "busy_s", 1.0),
)
_TRITON: _Names = (
    ("nv_inference_request_success", (), "calls", 1.0),
    ("nv_inference_request_success", (), "queued", 1.0),
    ("nv_inference_request_success", (), "timed", 1.0),
    ("nv_inference_count", (), "rows", 1.0),
    ("nv_inference_exec_count", (), "runs", 1.0),
    ("nv_inference_queue_duration_us", (), "queue_s", 1e-6),
    ("nv_inference_compute_infer_duration_us", (), "run_s", 1e-6),
)


def of_prometheus(text: str, model: str, version: str = "", signature: str = "") -> Counters | None:
    """What the text says of the model, all processes of the server together; None: it says nothing of it.

    Args:
        version: "": all versions.
        signature: the same; what is not told by signatures is taken whole.
    """
    wanted = {"model": model, "version": version, "signature": signature}
    told = list(samples(text))
    of_model = [
        one
        for one in told
        if one.labels.get("model") == model
        and all(one.labels.get(name, value) == value for name, value in wanted.items() if value)
    ]
    for names in (_HOTGRAPH, _TRITON):
        if any(one.name == names[0][0] for one in of_model):
            sums = dict.fromkeys(_COUNTED, 0.0)
            for one in of_model:
                for name, labels, field, factor in names:
                    if one.name == name and all(one.labels.get(key) == value for key, value in labels):
                        sums[field] += one.value * factor
            resident = [one.value for one in told if one.name == _RESIDENT]
            return Counters(**sums, resident_bytes=sum(resident) if resident else None)
    return None


def figures(source: str, taken: Sequence[tuple[float, Counters]]) -> ServerFigures:
    """What a step's samples say, as the document has it; without two of them: nothing.

    Args:
        taken: seconds since the step's warm-up ended, and what was counted then; ascending.
    """
    if len(taken) < 2 or taken[-1][0] <= taken[0][0]:
        return {}
    (begin, first), (end, last) = taken[0], taken[-1]
    whole, seconds = last.since(first), end - begin
    found: ServerFigures = {
        "source": source,
        "rows_per_run": _ratio(whole.rows, whole.runs),
        "queue_wait_ms": _ratio(1e3 * whole.queue_s, whole.queued),
        "run_ms": _ratio(1e3 * whole.run_s, whole.timed),
        "runs_per_s": whole.runs / seconds,
        # who does not tell of it has counted nothing, whoever has run something has
        "duty": whole.busy_s / seconds if whole.busy_s or not whole.runs else None,
        "over_time": [
            _moment(before_s, now.since(before), at_s - before_s)
            for (before_s, before), (at_s, now) in pairwise(taken)
            if at_s > before_s
        ],
    }
    memory = [now.resident_bytes for _, now in taken if now.resident_bytes is not None]
    if memory:
        found["resident_mib"] = _resident(memory[0] / 2**20, max(memory) / 2**20, memory[-1] / 2**20)
    return found


def _resident(before: float, most: float, after: float) -> Resident:
    return {"before": before, "most": most, "after": after}


def _moment(at_s: float, grown: Counters, seconds: float) -> ServerMoment:
    return {
        "at_s": at_s,
        "calls_per_s": grown.calls / seconds,
        "rows_per_run": _ratio(grown.rows, grown.runs),
        "queue_wait_ms": _ratio(1e3 * grown.queue_s, grown.queued),
        "run_ms": _ratio(1e3 * grown.run_s, grown.timed),
        "resident_mib": None if grown.resident_bytes is None else grown.resident_bytes / 2**20,
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def joined(parts: Sequence[tuple[float, ServerFigures]]) -> ServerFigures:
    """Of a step's repeats, with the seconds of each: means of their means, and their seconds one after
    another; repeats are of one length and one load, which makes such means right to within the load's own
    spread."""
    told = [part for _, part in parts if part]
    if len(parts) < 2 or not told:
        return told[0] if told else {}
    of_all: ServerFigures = {"source": told[0]["source"], "over_time": []}
    for name in ("rows_per_run", "queue_wait_ms", "run_ms", "runs_per_s", "duty"):
        values = [value for part in told if isinstance(value := part.get(name), float)]
        of_all[name] = sum(values) / len(values) if values else None
    memory = [part["resident_mib"] for part in told if "resident_mib" in part]
    if memory:
        most = max(one["most"] for one in memory)
        of_all["resident_mib"] = _resident(memory[0]["before"], most, memory[-1]["after"])
    begin = 0.0
    for seconds, part in parts:
        for moment in part.get("over_time", ()):
            later = moment.copy()
            later["at_s"] += begin
            of_all["over_time"].append(later)
        begin += seconds
    return of_all
