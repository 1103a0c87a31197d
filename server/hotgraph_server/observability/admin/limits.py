"""What limits the throughput now, in words: from what a server's figures have grown by in some seconds. Pure.

Five places can be the limit of a version, and each shows elsewhere:

* the **graph**: its executor has one thread, and spends nearly all of the time in runs;
* the **front**, which reads calls and writes answers in Python: its threads take nearly one processor, since
  one thread at a time has the interpreter, while executors have time left;
* the **processors**: the process takes all that it may use, whoever it is in it that wants more;
* the **edge of the queue**: calls are refused because too many wait. That bounds what has another limit;
* **deadlines**: calls are refused or given up because their answers would come too late. So does that.

Or there is none, and what comes is what is answered. Thresholds are near 1 and not 1: a run counts when it
ends, and the kernel counts processor time in ticks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FULL = 0.85
"""From this share of its time on something is busy."""

IDLE = 0.05
"""Below this it is idle."""

_FEW_ROWS = 1.5

Key = tuple[str, int]
"""A model's name and a version's number."""


class Finding(NamedTuple):
    """
    Attributes:
        kind: graph, front, processors, queue, deadline, alone, idle or none.
        text: what is so, with its figures.
        advice: what to do next, with the names of settings; empty: nothing.
    """

    kind: str
    text: str
    advice: str = ""


@dataclass
class Counts:
    """What has happened to the calls of a version so far."""

    calls: float = 0
    runs: float = 0
    rows: float = 0
    ran_s: float = 0.0
    waited_s: float = 0.0
    full: float = 0
    late: float = 0
    expired: float = 0

    def less(self, before: Counts) -> Counts:
        """What it has grown by; all of it, where it has begun anew."""
        if before.runs > self.runs or before.calls > self.calls:
            return self
        return Counts(**{name: value - getattr(before, name) for name, value in vars(self).items()})

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass
class Sample:
    """What of a status (status.py) says where the limit is.

    Attributes:
        now_s: monotonic seconds.
        processes: that the figures are of.
        processors: that they may use.
        cpu_s: that they have taken, seconds.
        python_cpu_s: what of that was their Python threads'; executors_cpu_s: of these the executors', runs
            included. None: the system does not tell.
        versions: by model and number.
        alone: why calls of a version run alone, where those of its busiest signature do.
    """

    now_s: float
    processes: int = 1
    processors: int = 1
    cpu_s: float = 0.0
    python_cpu_s: float | None = None
    executors_cpu_s: float = 0.0
    versions: dict[Key, Counts] = field(default_factory=dict)
    alone: dict[Key, str] = field(default_factory=dict)


def sample_of(status: Mapping[str, Any]) -> Sample:
    """What of a status the findings need, which is little of it."""
    process = status["process"]
    front = (process["serving_cpu_s"], process["others_cpu_s"], process["executors_cpu_s"])
    sample = Sample(
        status["now_s"],
        status["processes"],
        process["processors"],
        process["cpu_s"],
        None if None in front else sum(front),
        process["executors_cpu_s"] or 0.0,
    )
    for model in status["models"]:
        for version in model["versions"]:
            key = (model["name"], version["number"])
            sample.versions[key] = _counts(version["signatures"])
            busiest = max(version["signatures"], key=lambda one: one["runs"], default=None)
            if busiest is not None and busiest["alone"] is not None:
                sample.alone[key] = busiest["alone"]
    return sample


def _counts(signatures: Sequence[Mapping[str, Any]]) -> Counts:
    total = Counts()
    for one in signatures:
        events = one["events"]
        total = total.plus(
            Counts(
                one["answered"] + one["failed"],
                one["runs"],
                one["rows"],
                one["ran_s"],
                one["waited_s"],
                events["refused_full"] + events["refused_by_size"],
                events["refused_late"],
                events["expired"] + events["timed_out"],
            )
        )
    return total


@dataclass(frozen=True)
class _Grown:
    """What a server has done between two samples.

    Attributes:
        passed_s: between them.
        front: processors that its Python threads have kept busy outside of runs, for each process; None: not
            known.
        cores: that all its threads have.
    """

    passed_s: float
    processes: int
    processors: int
    front: float | None
    cores: float
    versions: Mapping[Key, Counts]
    alone: Mapping[Key, str]

    @property
    def is_front_full(self) -> bool:
        return self.front is not None and self.front >= FULL

    @property
    def is_machine_full(self) -> bool:
        # One processor says nothing that graph and front do not say.
        return self.processors > 1 and self.cores >= 0.9 * self.processors

    def duty(self, counts: Counts) -> float:
        """The share of the time that executors of a version were in runs."""
        return min(counts.ran_s / (self.passed_s * self.processes), 1.0)


def _grown(before: Sample, now: Sample) -> _Grown:
    passed_s = max(now.now_s - before.now_s, 1e-3)
    versions = {key: counts.less(before.versions.get(key, Counts())) for key, counts in now.versions.items()}
    front = None
    if now.python_cpu_s is not None and before.python_cpu_s is not None:
        ran_s = sum(counts.ran_s for counts in versions.values())
        executors_s = now.executors_cpu_s - before.executors_cpu_s
        # What an executor's thread has done in runs is the graph's, as far as it was that thread that did it.
        front_s = now.python_cpu_s - before.python_cpu_s - min(ran_s, max(executors_s, 0.0))
        front = max(front_s, 0.0) / passed_s / now.processes
    cores = max(now.cpu_s - before.cpu_s, 0.0) / passed_s
    return _Grown(passed_s, now.processes, now.processors, front, cores, versions, now.alone)


def limits(before: Sample, now: Sample) -> tuple[list[Finding], dict[Key, list[Finding]]]:
    """What limits the server, and each of its versions; of each the most important thing first.

    Args:
        before: some seconds older than `now`.
    """
    grown = _grown(before, now)
    versions = {key: _of_version(key, grown) for key in grown.versions}
    return _of_server(grown, versions), versions


def _of_version(key: Key, grown: _Grown) -> list[Finding]:
    counts = grown.versions[key]
    duty = grown.duty(counts)
    found: list[Finding] = []
    if duty >= FULL:
        found.append(_graph(counts, duty, grown, key in grown.alone))
    elif counts.runs and grown.is_machine_full:
        found.append(_machine(grown))
    elif counts.runs and grown.is_front_full:
        found.append(_front(grown))
    found += _edges(counts, duty, grown.passed_s)
    if not found and duty < IDLE:
        said = f"{_share(duty)} of the time in runs" if counts.runs or counts.calls else "no calls"
        found.append(Finding("idle", f"idle: {said}"))
    elif not found:
        waited = f"; calls wait {_duration(counts.waited_s / counts.calls)} each" if counts.calls else ""
        found.append(Finding("none", f"nothing: {_share(duty)} of the time in runs, {_rows(counts)}{waited}"))
    if key in grown.alone and duty >= 0.5:
        found.append(
            Finding(
                "alone",
                f"each call runs alone: {grown.alone[key]}",
                "hotgraph inspect --explain says what would have to change; batching is the setting",
            )
        )
    return found


def _graph(counts: Counts, duty: float, grown: _Grown, alone: bool) -> Finding:
    text = f"the graph is the limit: {_share(duty)} of the time in runs, {_rows(counts)}"
    if grown.is_machine_full:
        advice = "a faster machine or further servers; the processors are all busy"
    elif not alone and counts.runs and counts.rows / counts.runs < _FEW_ROWS:
        advice = "calls come one after the other: more of them at a time share runs; else plan, xla"
    else:
        advice = "a faster run (plan, xla, intra-op-threads), processes, or further servers"
    return Finding("graph", text, advice)


def _machine(grown: _Grown) -> Finding:
    text = f"the processors are the limit: {grown.cores:.1f} of {grown.processors} are busy"
    return Finding("processors", text, "more of them, or further servers")


def _front(grown: _Grown) -> Finding:
    assert grown.front is not None
    each = " in each process" if grown.processes > 1 else ""
    return Finding(
        "front",
        f"the front is the limit: reading calls and writing answers takes {_share(grown.front)} of a"
        f" processor{each}, and the interpreter runs one thread at a time",
        "processes; more rows in a call; gRPC or binary tensors in place of JSON",
    )


def _edges(counts: Counts, duty: float, passed_s: float) -> list[Finding]:
    """What bounds a version that has more to do than it can."""
    found = []
    if counts.full > 0:
        text = f"{_rate(counts.full, passed_s)} refused: the queue is full"
        if duty >= FULL:
            advice = "more capacity; more room (max-queued-calls) only lets calls wait longer"
        else:
            text += f", with {_share(duty)} of the time in runs"
            advice = "calls come in bursts that are larger than the queue: more room (max-queued-calls)"
        found.append(Finding("queue", text, advice))
    if counts.late > 0 or counts.expired > 0:
        parts = [
            f"{_rate(count, passed_s)} {what}"
            for count, what in (
                (counts.late, "refused: the answer would come past the deadline"),
                (counts.expired, "given up: the deadline passed while they waited"),
            )
            if count > 0
        ]
        advice = "more capacity, or callers that give more time (default-timeout-ms for those that give none)"
        found.append(Finding("deadline", "; ".join(parts), advice))
    return found


def _of_server(grown: _Grown, versions: Mapping[Key, Sequence[Finding]]) -> list[Finding]:
    if not versions:
        return [Finding("idle", "no model is there yet")]
    found: list[Finding] = []
    if grown.is_machine_full:
        found.append(_machine(grown))
    elif grown.is_front_full and any(counts.runs for counts in grown.versions.values()):
        found.append(_front(grown))
    for kind in ("graph", "queue", "deadline"):
        of_kind = {key: one for key, all_ in versions.items() for one in all_ if one.kind == kind}
        if of_kind:
            found.append(_named(of_kind, grown))
    if found:
        return found
    duties = {key: grown.duty(counts) for key, counts in grown.versions.items()}
    busiest = max(duties, key=lambda key: duties[key])
    if duties[busiest] < IDLE:
        return [Finding("idle", f"idle: the busiest model is {_share(duties[busiest])} of the time in runs")]
    said = f"the busiest model, {busiest[0]}, is {_share(duties[busiest])} of the time in runs"
    return [Finding("none", f"nothing: what comes is answered; {said}")]


def _named(of_kind: Mapping[Key, Finding], grown: _Grown) -> Finding:
    """One finding for those of several versions: the busiest one's, with its name."""
    key = max(of_kind, key=lambda one: grown.versions[one].ran_s)
    first = of_kind[key]
    others = f", and {len(of_kind) - 1} more" if len(of_kind) > 1 else ""
    return Finding(first.kind, f"{key[0]}{others}: {first.text}", first.advice)


def _share(part: float) -> str:
    percent = 100 * part
    return "0 %" if percent < 0.05 else f"{percent:.1f} %" if percent < 3 else f"{percent:.0f} %"


def _rows(counts: Counts) -> str:
    return f"{counts.rows / counts.runs:.3g} rows a run" if counts.runs else "no run has ended"


def _rate(count: float, passed_s: float) -> str:
    per_s = count / passed_s
    return f"{per_s:,.0f} calls/s" if per_s >= 10 else f"{per_s:.2g} calls/s"


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} us" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"
