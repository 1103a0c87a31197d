"""Two documents side by side: which steps belong together, and what makes their ratios doubtful. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..document import Document, Step
from .judging import is_closed, percentile, sound, steps_of

SAME_RATE = 0.05
"""Rates that differ by no more are compared."""

_MACHINE = ("cpu", "cores", "memory_gib", "system", "python")
_INPUT = ("source", "items", "rows", "bytes")
_LOAD = ("kind", "arrivals", "deadline_ms")
_CALLED = ("model", "signature", "protocol")


@dataclass(frozen=True)
class Pair:
    """A step now and its like in the baseline."""

    now: Step
    before: Step


def pairs(document: Document, baseline: Document) -> list[Pair]:
    """Steps of the same load, void ones left out; of several alike the last."""
    before = sound(steps_of(baseline))
    found = ((step, _like(step, before)) for step in sound(steps_of(document)))
    return [Pair(step, like) for step, like in found if like is not None]


def _like(step: Step, others: list[Step]) -> Step | None:
    if is_closed(step):
        same = [
            other
            for other in others
            if is_closed(other) and other.get("concurrency") == step.get("concurrency")
        ]
        return same[-1] if same else None
    rate = step.get("offered_per_s", 0.0)
    near = [
        other
        for other in reversed(others)
        if not is_closed(other) and abs(other.get("offered_per_s", 0.0) - rate) <= SAME_RATE * rate
    ]
    return min(near, key=lambda other: abs(other.get("offered_per_s", 0.0) - rate), default=None)


def ratio(now: float | None, before: float | None) -> float | None:
    """Now by then; None: one of them is missing, or then was 0."""
    return now / before if now is not None and before else None


def p99_ratios(found: list[Pair]) -> list[float]:
    """Of the pairs that have both."""
    ratios = (ratio(percentile(pair.now, "p99"), percentile(pair.before, "p99")) for pair in found)
    return [one for one in ratios if one is not None]


def within_spread(pair: Pair, name: str) -> bool | None:
    """The repeats of both overlap, so that a difference may be chance; None: there were none."""
    now = (pair.now.get("spread") or {}).get(name)
    before = (pair.before.get("spread") or {}).get(name)
    if not now or not before:
        return None
    return now["least"] <= before["greatest"] and before["least"] <= now["greatest"]


def cautions(document: Document, baseline: Document) -> list[str]:
    """What differs beside what was to be compared."""
    return [*_differing(document, baseline), *_few(document, baseline)]


def _differing(document: Document, baseline: Document) -> Iterator[str]:
    parts = (
        ("", _CALLED, document, baseline),
        ("machine: ", _MACHINE, document.get("machine"), baseline.get("machine")),
        ("input: ", _INPUT, document.get("input"), baseline.get("input")),
        ("load: ", _LOAD, document.get("load"), baseline.get("load")),
    )
    for part, names, now, before in parts:
        for name in names:
            mine, theirs = _value(now, name), _value(before, name)
            if mine != theirs:
                yield f"{part}{name} is {mine}, and was {theirs}"


def _few(document: Document, baseline: Document) -> Iterator[str]:
    found = pairs(document, baseline)
    missing = len(sound(steps_of(document))) - len(found)
    if missing and found:
        yield f"{missing} of the steps {'has' if missing == 1 else 'have'} no like in the baseline"
    if found and all(within_spread(pair, "p99_ms") is None for pair in found):
        yield "without repeats on both sides, differences of some percent may be chance"


def _value(values: Any, name: str) -> str:
    value = (values or {}).get(name)
    return "not told" if value is None else str(value)
