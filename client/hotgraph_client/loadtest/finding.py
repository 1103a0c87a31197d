"""The search of slo.py with real runs: each trial is put on, judged, and kept as a step."""

from __future__ import annotations

from .document import Slo, Step, Tried
from .plan import Open, Sweep
from .runner import Runner
from .slo import Condition, Found, Search, Verdict, broken, search
from .steps import figures_of, step_of

CONFIRMING = 2.0
"""How many times as long as the others the runs are that confirm what a search has found."""

PROBE_S = 3.0
PROBE_CALLERS = 8


def find(
    runner: Runner,
    promise: tuple[Condition, ...],
    text: str,
    start: float,
    *,
    within: Sweep | None = None,
    need: float | None = None,
) -> tuple[list[Step], Slo]:
    """The highest rate that keeps the promise, and the steps that showed it.

    Args:
        text: the promise as the user wrote it.
        start: calls a second of the first trial.
        within: bounds of all trials.
        need: for the document.
    """
    low, high = (None, None) if within is None else (within.low, within.high)
    steps: list[Step] = []
    tried: list[Tried] = []
    found = _search(runner, promise, search(start, least=low, most=high), steps, tried)
    return steps, {
        "text": text,
        "rate_per_s": found.rate,
        "confirmed": found.confirmed,
        "why": found.why,
        "need_per_s": need,
        "tried": tried,
    }


def _search(
    runner: Runner, promise: tuple[Condition, ...], searching: Search, steps: list[Step], tried: list[Tried]
) -> Found:
    trial = next(searching)
    while True:
        run = runner.once(Open(trial.rate), factor=CONFIRMING if trial.confirming else 1.0)
        # of a run that was cut short nothing can be said
        if runner.stopped:
            held = [one["rate_per_s"] for one in tried if one["held"]]
            return Found(max(held, default=0.0), False, "it was stopped before its end")
        step = step_of(run.load, [run])
        verdict = _verdict(step, promise, could_send=not run.ended.fault)
        steps.append(step)
        tried.append({"rate_per_s": trial.rate, "held": bool(verdict.held), "why": verdict.why})
        try:
            trial = searching.send(verdict)
        except StopIteration as ended:
            found: Found = ended.value
            return found


def _verdict(step: Step, promise: tuple[Condition, ...], *, could_send: bool) -> Verdict:
    """A sender that was late has made latencies longer and not shorter, for they count from when calls were
    due: what is kept in spite of that is kept."""
    why = broken(promise, figures_of(step))
    if step["void"] and (why or not could_send):
        return Verdict(None, step["void_why"])
    if not step["calls"]:
        return Verdict(None, "no call was due: give a longer --duration")
    return Verdict(not why, why)
