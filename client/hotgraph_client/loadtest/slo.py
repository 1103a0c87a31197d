"""What a service promises, as text, and the search for the highest rate at which it keeps it. Pure.

A promise is a list of conditions, `p99<20ms,errors<0.1%`; a load holds it if all of them are true of it. What
is asked beside them is that the load was carried: at least 97 % of the calls that were due had their answers
by the end, for a queue that grows all the time can keep a promise for as long as one looks.

The search goes: from a rate to start with, twice as much until one does not hold (or half until one does);
then the middle of what held and what did not, until they are 3 % apart. Short runs err, so longer ones have
the last word: at the highest rate that held, then a step of 3 % up for as long as that holds as well, or down
until one holds, three steps at most. Each rate is a run, of which there are `max_runs` at most. A run that is
void has no verdict (unless it kept the promise all the same: see finding.py): it is made once more, and if it
is void again the search ends, because the generator is the limit and not the server; what held until then is
confirmed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass

MIN_ACHIEVED = 0.97
"""The share of what was due that must have been answered by the end of a run that holds."""

WITHIN = 0.03
MAX_RUNS = 24
_MAX_STEPS = 3

_TIMES = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_SHARES = ("errors", "wrong", "achieved", "goodput")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")
_CONDITION = re.compile(
    r"(?P<figure>[a-z][a-z0-9.]*)\s*(?P<sign><=|>=|<|>)\s*(?P<limit>\d{1,12}(?:\.\d{0,9})?)\s*(?P<unit>us|ms|s|%)"
)
_EXAMPLE = "expected something like p99<20ms,errors<0.1%"


@dataclass(frozen=True)
class Figures:
    """What conditions are asked of: one load.

    Attributes:
        percentile: the latency, ms, that this many percent of the answered calls had at most; None: none was.
        mean: ms.
        max: ms.
        errors: share of the calls, 0 to 1; so is what follows.
        wrong: calls whose answer was not the one that it should have been.
        achieved: calls answered by the end of the load, of those due.
        goodput: calls answered, in time and right, of those due.
    """

    percentile: Callable[[float], float | None]
    mean: float | None
    max: float | None
    errors: float
    wrong: float
    achieved: float
    goodput: float


@dataclass(frozen=True)
class Condition:
    """One of a promise.

    Attributes:
        text: as the user wrote it.
        figure: `p99.9`, `mean`, `max`, or one of the shares.
        sign: `<`, `<=`, `>` or `>=`.
        limit: ms, or a share of 1.
    """

    text: str
    figure: str
    sign: str
    limit: float

    def broken_by(self, figures: Figures) -> str:
        """What the load had instead, in words; empty: the condition is true of it."""
        value = self._value(figures)
        if value is None:
            return f"no answers, of which {self.figure} would be"
        if {
            "<": value < self.limit,
            "<=": value <= self.limit,
            ">": value > self.limit,
            ">=": value >= self.limit,
        }[self.sign]:
            return ""
        shown = f"{100 * value:.3g} %" if self.figure in _SHARES else f"{value:.3g} ms"
        return f"{self.figure} is {shown}, not {self.text.removeprefix(self.figure).strip()}"

    def _value(self, figures: Figures) -> float | None:
        match = _PERCENTILE.fullmatch(self.figure)
        if match is not None:
            return figures.percentile(float(match[1]))
        value: float | None = getattr(figures, self.figure)
        return value


def conditions(text: str) -> tuple[Condition, ...]:
    """The conditions of a promise, as they are written.

    Raises:
        ValueError: a text that is none, in one line.
    """
    return tuple(_condition(one.strip()) for one in text.split(","))


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no condition: {_EXAMPLE}")
    figure, sign, unit, limit = match["figure"], match["sign"], match["unit"], float(match["limit"])
    if not limit:
        _refuse_nothing(text, sign)
    if figure in _SHARES:
        if unit != "%" or limit > 100:
            raise ValueError(f"'{text}': {figure} are a share of the calls, such as 0.1%")
        if (sign[0] == "<") != (figure in ("errors", "wrong")):
            raise ValueError(f"'{text}': a promise bounds {figure} from the other side")
        return Condition(text, figure, sign, limit / 100)
    percentile = _PERCENTILE.fullmatch(figure)
    if figure not in ("mean", "max") and (percentile is None or not 50 <= float(percentile[1]) <= 99.999):
        raise ValueError(
            f"'{text}': '{figure}' is not known; there are p50 to p99.999, mean, max, {', '.join(_SHARES)}"
        )
    if unit == "%" or sign[0] == ">":
        raise ValueError(f"'{text}': a latency is bounded from above by a time: {_EXAMPLE}")
    return Condition(text, figure, sign, limit * _TIMES[unit])


def _refuse_nothing(text: str, sign: str) -> None:
    """A limit of 0, below which nothing lies: `errors<=0%` can be kept, `errors<0%` and `p99<=0ms` cannot."""
    if sign == "<":
        raise ValueError(f"'{text}': nothing is below 0; for none at all say <=0%, as in errors<=0%")


def broken(promise: tuple[Condition, ...], figures: Figures) -> str:
    """Why a load does not hold, in words; empty: it holds."""
    found = [why for condition in promise if (why := condition.broken_by(figures))]
    if figures.achieved < MIN_ACHIEVED:
        found.append(f"only {100 * figures.achieved:.3g} % of what was due was answered by the end")
    return "; ".join(found)


@dataclass(frozen=True)
class Trial:
    """A run that the search asks for.

    Attributes:
        rate: calls a second.
        confirming: it is to be longer, for its verdict is the last word.
    """

    rate: float
    confirming: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the run said: whether it held, and why not; None: it was void, and `why` is the reason."""

    held: bool | None
    why: str = ""


@dataclass(frozen=True)
class Found:
    """How the search ended.

    Attributes:
        rate: the highest that held; 0: none that was tried.
        confirmed: a longer run at that rate held as well.
        why: what kept the search from a better answer; empty: nothing.
    """

    rate: float
    confirmed: bool
    why: str = ""


Search = Generator[Trial, Verdict, Found]


class _NoVerdict(Exception):
    """The search has no run left, or its runs are void; the text says which."""


class _Runs:
    def __init__(self, max_runs: int) -> None:
        self.left = max_runs

    def held(self, trial: Trial) -> Generator[Trial, Verdict, bool]:
        verdict = Verdict(None)
        for _ in range(2):
            if self.left == 0:
                raise _NoVerdict("no run was left to find out more")
            self.left -= 1
            verdict = yield trial
            if verdict.held is not None:
                return verdict.held
        raise _NoVerdict(f"the generator is the limit at {trial.rate:.5g}/s, not the server: {verdict.why}")


def search(
    start: float,
    *,
    least: float | None = None,
    most: float | None = None,
    within: float = WITHIN,
    max_runs: int = MAX_RUNS,
) -> Search:
    """Looks for the highest rate that holds: yields trials, is sent verdicts, returns what it found.

    Args:
        start: the rate of the first trial.
        least: a rate that no trial goes below; None: a thousandth of `start`.
        most: ... above; None: as far as runs last.
        within: how close together what holds and what does not shall come, as a share.

    Raises:
        ValueError: bounds that contradict each other.
    """
    floor = start / 1000 if least is None else least
    if not 0 < floor <= start or (most is not None and most < start):
        raise ValueError(f"a search from {start:g}/s, but between {floor:g} and {most or float('inf'):g}/s")
    return _search(_Bracket(start, floor, most), within, _Runs(max_runs))


@dataclass
class _Bracket:
    rate: float
    floor: float
    most: float | None
    low: float = 0.0
    high: float = float("inf")

    def is_open(self) -> bool:
        if self.low and self.high == float("inf"):
            return self.most is None or self.low < self.most
        return not self.low and self.high > self.floor

    def next(self) -> float:
        if self.low:
            return min(2 * self.low, self.most or float("inf"))
        return max(self.high / 2, self.floor) if self.high < float("inf") else self.rate

    def narrow(self, rate: float, held: bool) -> None:
        if held:
            self.low = rate
        else:
            self.high = rate


def _search(bracket: _Bracket, within: float, runs: _Runs) -> Search:
    try:
        while bracket.is_open():
            rate = bracket.next()
            bracket.narrow(rate, (yield from runs.held(Trial(rate))))
        if not bracket.low:
            return Found(0.0, False, f"it did not hold at {bracket.high:.5g}/s, the least that was tried")
        while bracket.high < float("inf") and bracket.high / bracket.low > 1 + within:
            rate = (bracket.low + bracket.high) / 2
            bracket.narrow(rate, (yield from runs.held(Trial(rate))))
        return (yield from _confirmed(bracket, 1 + within, runs))
    except _NoVerdict as error:
        return Found(bracket.low, (yield from _stands(bracket.low, runs)), str(error))


def _stands(rate: float, runs: _Runs) -> Generator[Trial, Verdict, bool]:
    """Whether the best so far holds in a longer run as well, where nothing better can be found out."""
    if not rate or not runs.left:
        return False
    runs.left -= 1
    verdict = yield Trial(rate, confirming=True)
    return bool(verdict.held)


def _confirmed(bracket: _Bracket, step: float, runs: _Runs) -> Search:
    rate = bracket.low
    if not (yield from runs.held(Trial(rate, confirming=True))):
        for _ in range(_MAX_STEPS):
            rate /= step
            if (yield from runs.held(Trial(rate, confirming=True))):
                return Found(rate, True)
        return Found(rate, False, "it held once, but not in the longer runs that should confirm it")
    try:
        for _ in range(_MAX_STEPS if bracket.high < float("inf") else 0):
            if not (yield from runs.held(Trial(rate * step, confirming=True))):
                break
            rate *= step
    except _NoVerdict as error:
        return Found(rate, True, str(error))
    return Found(rate, True)
