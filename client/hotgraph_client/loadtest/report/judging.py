"""What a load test comes to, in a sentence. Pure.

A step has held if it is not void, no answer was wrong, fewer than 1 % of its calls ended in an error, and, in
an open loop, at least 97 % of what was due was answered. The test's own objective, where it has one, decides
in place of that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..document import Document, Slo, Step
from ..plan import Open
from .figures import by_count, calls_per_s, ms, per_s, percent, plural

TOLERATED_ERRORS = 0.01
KEEPS_UP = 0.97

_SAME_RATE = 0.005

CLOSED = (
    "A closed loop sends when it has been answered: its latencies leave out what callers with a rate of "
    "their own would have waited (coordinated omission)."
)

Tone = Literal["good", "mixed", "bad"]


@dataclass(frozen=True)
class Judgement:
    """What is said at the top.

    Attributes:
        sentence: the whole of it.
        tone: how it is coloured.
        step: whose latencies stand beside it; None: no step says anything.
        rate_per_s: the highest that held; None: none did.
    """

    sentence: str
    tone: Tone
    step: Step | None = None
    rate_per_s: float | None = None


def steps_of(document: Document) -> list[Step]:
    """All steps."""
    return document.get("steps") or []


def sound(steps: Iterable[Step]) -> list[Step]:
    """Those that are not void."""
    return [step for step in steps if not step.get("void")]


def percentile(step: Step, name: str) -> float | None:
    """A latency, ms; None: no call was answered."""
    return (step.get("latency_ms") or {}).get(name)


def errors_of(steps: Iterable[Step]) -> Counter[str]:
    """By status, of all of these steps together."""
    found: Counter[str] = Counter()
    for step in steps:
        found.update(step.get("errors") or {})
    return found


def errors_share(step: Step) -> float:
    """Of its calls."""
    calls = step.get("calls", 0)
    return sum((step.get("errors") or {}).values()) / calls if calls else 0.0


def held(step: Step) -> bool:
    """See above."""
    if step.get("void") or step.get("wrong") or not step.get("achieved_per_s"):
        return False
    if errors_share(step) >= TOLERATED_ERRORS:
        return False
    return is_closed(step) or step["achieved_per_s"] >= KEEPS_UP * step.get("offered_per_s", 0.0)


def is_closed(step: Step) -> bool:
    """It sends when it has been answered."""
    return step.get("kind") == "closed"


def void_sentence(steps: list[Step]) -> str:
    """How many steps say nothing; empty: all say something."""
    void = len(steps) - len(sound(steps))
    if not void:
        return ""
    if void == len(steps):
        return "No step says anything: all of them are void."
    of_all = f"{void} of {plural(len(steps), 'step')} {'is' if void == 1 else 'are'}"
    return f"{of_all} void, and left out of the charts' lines."


def judge(document: Document) -> Judgement:
    """What is said at the top."""
    steps = steps_of(document)
    usable = sound(steps)
    if slo := document.get("slo"):
        return _of_slo(slo, steps)
    if tune := document.get("tune"):
        return _of_tuning(tune)
    if not usable:
        return Judgement(void_sentence(steps) or "Nothing was sent.", "bad")
    if not any(step.get("achieved_per_s") or step.get("latency_ms") for step in usable):
        return _of_nothing(usable)
    if wrong := sum(step.get("wrong", 0) for step in usable):
        best = _best(usable)
        return Judgement(
            f"{plural(wrong, 'answer')} {'was' if wrong == 1 else 'were'} wrong.", "bad", best or usable[0]
        )
    return _of_closed(usable) if all(map(is_closed, usable)) else _of_rates(usable)


def _of_tuning(tune: Mapping[str, Any]) -> Judgement:
    sentence = str(tune.get("verdict", ""))
    sentence = f"{sentence[:1].upper()}{sentence[1:]}"
    candidates: Sequence[Mapping[str, Any]] = tune.get("candidates") or []
    best = next((one for one in candidates if one.get("label") == tune.get("best")), {})
    # What a real load shows counts; what was only predicted, where there was none.
    if {**(best.get("predicted") or {}), **(best.get("measured") or {})}.get("holds") is False:
        return Judgement(sentence, "bad")
    return Judgement(sentence, "good" if best.get("measured") and not best.get("default") else "mixed")


def _of_slo(slo: Slo, steps: list[Step]) -> Judgement:
    text, rate, need = slo.get("text", ""), slo.get("rate_per_s", 0.0), slo.get("need_per_s")
    if not rate:
        tried = [one["rate_per_s"] for one in slo.get("tried") or []]
        least = f", the least {per_s(min(tried))}" if tried else ""
        return Judgement(f"{text} held at no rate that was tried{least}.", "bad", _best(sound(steps)))
    # Void ones too: a promise that was kept in spite of a late sender was kept.
    at = [step for step in steps if _is_of_rate(step, rate)]
    step = at[-1] if at else None
    doubt = "" if slo.get("confirmed") else ", which a run of its own did not confirm"
    sentence = f"{text} held up to {calls_per_s(rate)}{doubt}"
    if need is None:
        return Judgement(f"{sentence}.", "good" if slo.get("confirmed") else "mixed", step, rate)
    reached = bool(slo.get("confirmed")) and rate >= need
    sentence += (
        f"; {per_s(need)} {'were' if reached else 'are'} needed{'' if reached else ', and not reached'}."
    )
    return Judgement(sentence, "good" if reached else "bad", step, rate)


def _is_of_rate(step: Step, rate: float) -> bool:
    """Put on for that rate: what was offered then is it by chance only, and more or less."""
    offered = step.get("offered_per_s", 0.0)
    return step.get("label") == Open(rate).label or abs(offered - rate) <= _SAME_RATE * rate


def _of_nothing(usable: list[Step]) -> Judgement:
    errors = errors_of(usable)
    calls = sum(step.get("calls", 0) for step in usable)
    most = f" Most ended with {by_count(errors)[0]}." if errors else ""
    return Judgement(f"None of {plural(calls, 'call')} was answered.{most}", "bad", usable[0])


def _of_closed(usable: list[Step]) -> Judgement:
    best = max((step for step in usable if held(step)), key=lambda step: step["achieved_per_s"], default=None)
    if best is None:
        return Judgement(
            f"Errors at every step: {percent(errors_share(usable[0]))} at the first.", "bad", usable[0]
        )
    callers = plural(best.get("concurrency") or 0, "caller")
    rate = best["achieved_per_s"]
    said = f"At most {calls_per_s(rate)} were answered, with {callers}; {_latencies(best)}."
    return Judgement(said, "good", best, rate)


def _of_rates(usable: list[Step]) -> Judgement:
    best, fell = _best(usable), [step for step in usable if not held(step) and not is_closed(step)]
    if best is None:
        first = min(fell, key=lambda step: step["offered_per_s"])
        return Judgement(f"Not one rate held: {_what_went_wrong(first)}.", "bad", first)
    rate = best["offered_per_s"]
    beyond = [step for step in fell if step["offered_per_s"] > rate]
    if beyond:
        first = min(beyond, key=lambda step: step["offered_per_s"])
        return Judgement(f"Kept up to {calls_per_s(rate)}; {_what_went_wrong(first)}.", "mixed", best, rate)
    every = "" if len(usable) == 1 else "every rate, the highest of them "
    return Judgement(f"Kept up with {every}{calls_per_s(rate)}; {_latencies(best)}.", "good", best, rate)


def _best(usable: list[Step]) -> Step | None:
    """The last of the highest rate that held."""
    found = [step for step in usable if held(step)]
    return max(reversed(found), key=lambda step: step.get("offered_per_s", 0.0), default=None)


def _latencies(step: Step) -> str:
    return f"p50 {ms(percentile(step, 'p50'))}, p99 {ms(percentile(step, 'p99'))}"


def _what_went_wrong(step: Step) -> str:
    rate = per_s(step.get("offered_per_s"))
    if errors_share(step) >= TOLERATED_ERRORS:
        status = by_count(step["errors"])[0]
        return f"at {rate} {percent(errors_share(step))} of the calls ended in errors, most with {status}"
    if wrong := step.get("wrong"):
        return f"at {rate} {plural(wrong, 'answer')} {'was' if wrong == 1 else 'were'} wrong"
    return f"at {rate} only {per_s(step.get('achieved_per_s'))} were answered"
