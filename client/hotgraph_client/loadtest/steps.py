"""From what senders tell to a step of the document, and whether it says anything. Pure.

Latencies are those of calls due after the warm-up, all processes and all repeats in one histogram. Calls a
second are counted over the measured part: offered what was due in it, achieved what was answered in it, calls
of the warm-up among them and late answers not, so that a queue that grows is seen as that.

A run is void where the sender could have changed a figure: it was late (lag p99 above 1 ms and above a tenth
of the latency's p99), or it had no room to be in time (above 90 % of the cores that its processes can use).
Void repeats are left out of a step; a step of void runs alone is void.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from . import counters
from .document import Moment, ServerFigures, Spread, Step
from .histograms import Histogram
from .load import Ended, Interval
from .plan import Closed, Load
from .slo import Figures

MAX_LAG_SHARE = 0.1
MAX_LAG_MS = 1.0
MAX_BUSY_SHARE = 0.9

_POINTS = 8
"""In which the calls of a second are taken to have been due, where it matters when in it they were."""


@dataclass(frozen=True)
class Checked:
    """What became of the answers of a run: calls whose answer was wrong, and what was wrong with the
    first."""

    wrong: int = 0
    why: str = ""
    unchecked: int = 0


@dataclass(frozen=True)
class Run:
    """One load, put on once.

    Attributes:
        warm_up_s: that came before what `ended` says of seconds from 0 on.
        usable_cores: that the processes that sent could keep busy: one each, and no more than there are.
    """

    load: Load
    ended: Ended
    warm_up_s: float
    usable_cores: int
    checked: Checked = field(default_factory=Checked)
    server: ServerFigures = field(default_factory=lambda: ServerFigures())

    @property
    def measured(self) -> list[Interval]:
        """Seconds after the warm-up."""
        return [one for one in self.ended.intervals if one.second >= 0]

    @property
    def busy_cores(self) -> float:
        """That the sending kept busy."""
        elapsed = self.warm_up_s + self.ended.seconds
        return self.ended.cpu_s / elapsed if elapsed > 0 else 0.0


def step_of(load: Load, runs: Sequence[Run]) -> Step:
    """The runs of one load as a step; at least one."""
    reasons = [void_why(run) for run in runs]
    sound = [run for run, why in zip(runs, reasons, strict=True) if not why]
    counted = sound or list(runs)
    measured = [one for run in counted for one in run.measured]
    seconds = sum(run.ended.seconds for run in counted)
    latency = Histogram.merged(one.latency for one in measured)
    step: Step = {
        "label": load.label,
        "kind": "closed" if isinstance(load, Closed) else "open",
        "concurrency": load.callers if isinstance(load, Closed) else None,
        "repeats": len(counted),
        "seconds": seconds,
        "offered_per_s": _per_s(sum(one.due for one in measured), seconds),
        "achieved_per_s": _per_s(sum(answered_within(run) for run in counted), seconds),
        "rows_per_s": _per_s(sum(one.rows for one in measured), seconds),
        "calls": sum(one.due for one in measured),
        "latency_ms": latency.summary_ms(),
        "distribution": latency.distribution(),
        "histogram": latency.encode().decode(),
        "errors": _errors(measured),
        "error_texts": {
            status: text for run in reversed(counted) for status, text in run.ended.error_texts.items()
        },
        "wrong": sum(run.checked.wrong for run in counted),
        "wrong_why": next((run.checked.why for run in counted if run.checked.why), ""),
        "unchecked": sum(run.checked.unchecked + run.ended.unchecked for run in counted),
        "lag_ms": _lag(measured),
        "void": not sound,
        "void_why": _why(reasons),
        "generator_cores": statistics.fmean(run.busy_cores for run in counted),
        "over_time": _over_time(counted),
        "server": counters.joined([(run.ended.seconds, run.server) for run in counted]),
    }
    if len(counted) > 1:
        step["spread"] = _spread(counted)
    return step


def figures_of(step: Step) -> Figures:
    """What a promise is asked of."""
    latency = Histogram.decode(step["histogram"].encode())
    calls = max(step["calls"], 1)
    errors = sum(step["errors"].values())
    some = latency.count > 0
    return Figures(
        percentile=lambda percent: latency.percentile_ms(percent / 100) if some else None,
        mean=step["latency_ms"].get("mean"),
        max=step["latency_ms"].get("max"),
        errors=errors / calls,
        wrong=min(step["wrong"] / calls, 1.0),
        achieved=step["achieved_per_s"] / max(step["offered_per_s"], 1e-9),
        goodput=max(step["calls"] - errors - step["wrong"], 0) / calls,
    )


def void_why(run: Run) -> str:
    """Why the run says nothing, and what to do; empty: it does."""
    if run.ended.fault:
        return f"a process that sends ended: {run.ended.fault}"
    latency = Histogram.merged(one.latency for one in run.measured).summary_ms().get("p99")
    lag = _lag(run.measured).get("p99", 0.0)
    if latency is not None and lag > max(MAX_LAG_MS, MAX_LAG_SHARE * latency):
        return (
            f"the sender was late itself: lag p99 {lag:.3g} ms where the latency's is {latency:.3g} ms; "
            "give it more --processes, or another machine than the server's"
        )
    if run.busy_cores > MAX_BUSY_SHARE * run.usable_cores:
        return (
            f"sending kept {run.busy_cores:.2f} of {run.usable_cores} usable cores busy; "
            "give it more --processes, or a machine with more cores"
        )
    return ""


def answered_within(run: Run) -> float:
    """Calls whose answers came in the measured part, as far as seconds and histograms tell."""
    return sum(_answered_within(one, run.ended.seconds) for one in run.ended.intervals if one.latency)


def moment_of(interval: Interval, second: int | None = None) -> Moment:
    """A second of a step as the document has it."""
    latency, lag = Histogram.decode(interval.latency), Histogram.decode(interval.lag)
    summary = latency.summary_ms()
    return {
        "at_s": interval.second if second is None else second,
        "due": interval.due,
        "answered": interval.answered,
        "p50_ms": summary.get("p50"),
        "p99_ms": summary.get("p99"),
        "max_ms": summary.get("max"),
        "lag_p99_ms": lag.percentile_ms(0.99) if lag.count else None,
        "errors": dict(interval.errors),
    }


def _answered_within(interval: Interval, seconds: float) -> float:
    latency = Histogram.decode(interval.latency)
    begin = float(interval.second)
    end = min(begin + 1, seconds) if begin >= 0 else begin + 1
    if begin >= 0 and end + latency.max_ms / 1e3 <= seconds:
        return interval.answered
    found = 0
    for place in range(_POINTS):
        due_s = begin + (end - begin) * (place + 0.5) / _POINTS
        found += latency.count_upto_ms(1e3 * (seconds - due_s)) - latency.count_upto_ms(-1e3 * due_s)
    return found / _POINTS


def _errors(intervals: Iterable[Interval]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for one in intervals:
        found.update(one.errors)
    return dict(found.most_common())


def _lag(intervals: Iterable[Interval]) -> dict[str, float]:
    lag = Histogram.merged(one.lag for one in intervals)
    if not lag.count:
        return {}
    p50, p99, most = lag.percentiles_ms([0.5, 0.99, 1.0])
    return {"p50": p50, "p99": p99, "max": most}


def _over_time(runs: Sequence[Run]) -> list[Moment]:
    found: list[Moment] = []
    for run in runs:
        begin = found[-1]["at_s"] + 1 if found else 0
        found += [moment_of(one, begin + one.second) for one in run.measured]
    return found


def _spread(runs: Sequence[Run]) -> dict[str, Spread]:
    histograms = [Histogram.merged(one.latency for one in run.measured) for run in runs]
    found = {
        "p50_ms": [one.percentile_ms(0.5) for one in histograms if one.count],
        "p99_ms": [one.percentile_ms(0.99) for one in histograms if one.count],
        "achieved_per_s": [_per_s(answered_within(run), run.ended.seconds) for run in runs],
    }
    return {
        name: {"median": statistics.median(values), "least": min(values), "greatest": max(values)}
        for name, values in found.items()
        if values
    }


def _why(reasons: Sequence[str]) -> str:
    void = [why for why in reasons if why]
    if not void or len(void) == len(reasons):
        return void[0] if void else ""
    return f"{len(void)} of {len(reasons)} repeats were void and are left out: {void[0]}"


def _per_s(number: float, seconds: float) -> float:
    return number / seconds if seconds > 0 else 0.0
