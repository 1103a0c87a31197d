"""How a plan is found: by trying, before the version is live. Pure but for `run` and the clock.

What it promises:

* A plan proves itself first. Its answers on generated input and on odd rows equal those of the graph as
  saved in the caller's thread (1e-4 for floats, exactly for the rest; what rounding does to odd ones is
  excused, comparing.py), and what that refuses it refuses, or it is not used, however fast. An output that
  is always empty shows nothing, nor do outputs that are all the same whatever goes in: then the graph runs
  as saved.
* It is faster by a margin, or the graph runs as saved. What is compared are pairs of runs that follow
  each other, so that a slow moment of the machine hits both, and of all pairs the median.
* The time is limited. Nothing is begun for which, by what the graph as saved needs for a run, there is no
  time left; so the search ends in time unless a form is slower than that, or TensorFlow takes long to
  prepare it (it cannot be interrupted). What was not tried for want of time is said.

XLA compiles once for each number of rows, so it is tried for given numbers of rows only, the smallest
first: with that it is seen how long a larger one may take. TensorFlow compiles at the second run of a
shape, so each is run often enough here that nothing is left to be compiled in service.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, product
from statistics import median

from hotgraph_server.batching.comparing import alike, excused
from hotgraph_server.errors import RunFailed, first_line
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.climbing import says_nothing
from hotgraph_server.warmup.plan import AS_SAVED, Form, Plan, Threads

Run = Callable[[Plan, Sequence[Array]], Sequence[Array]]
"""Runs a plan on inputs; raises RunFailed."""

Clock = Callable[[], float]

Outcome = tuple[Sequence[Array], Sequence[Array] | RunFailed]
"""Inputs, and what the graph as saved makes of them."""

# Less than this is noise on a shared machine, and not worth another form.
MARGIN = 0.95
# The pool lets go of one thread's cache and takes others from neighbours: it must earn that.
_POOL_MARGIN = 0.85

# Of a graph that is quick many runs are compared, of a slow one a few, and without time fewer.
_MIN_ROUNDS = 3
_ROUNDS = 7
_MAX_ROUNDS = 201
_ENOUGH_S = 0.3

# The first run of a shape is interpreted, the second compiles; the third shows what it is worth.
_RUNS_TO_COMPILE = 3
# Some ops take XLA's code for a CPU a hundred times as long, and more rows only make that worse.
HOPELESS = 3.0

# Of the time, for running the graph as saved on inputs to compare with, and every other plan.
_SHARE_OF_COMPARING = 1 / 4
_WAYS = len(Form) * len(Threads)

_VARIES = "its answers to the same input differ from run to run"
_NO_EVIDENCE = (
    "its answers are empty, or the same for all inputs that were tried, so nothing shows that another form"
    " gives them too"
)


def choose_plan(
    inputs: Sequence[Array],
    run: Run,
    *,
    others: Sequence[Sequence[Array]] = (),
    can_freeze: bool,
    rows: int = 1,
    xla_inputs: Mapping[int, Sequence[Array]] | None = None,
    repeat: Callable[[Sequence[Array], int], Sequence[Array]] | None = None,
    budget_s: float = 1.0,
    clock: Clock = time.perf_counter,
) -> Plan:
    """The fastest plan whose answers are those of the graph as saved.

    Args:
        inputs: what the graph is known to take.
        run: runs a plan.
        others: further inputs to compare plans on, as many as there is time for; the graph may refuse them.
        can_freeze: whether there is a frozen form.
        rows: of `inputs`.
        xla_inputs: by their number of rows, inputs to try XLA with.
        repeat: makes so many rows of one of `others`, to compare XLA on; None: there is nothing to repeat.
        budget_s: seconds that the search may take; see above.
        clock: seconds.

    Raises:
        RunFailed: the graph as saved does not take `inputs`.
    """
    until = clock() + budget_s
    expected = run(AS_SAVED, inputs)
    # The second run tells how long one takes: the first may have been prepared in it.
    started = clock()
    if not _same(run(AS_SAVED, inputs), expected):
        # Random numbers, say: then nothing can be shown to be the same.
        return replace(AS_SAVED, reason=_VARIES)
    run_s = clock() - started
    affordable = int(budget_s * _SHARE_OF_COMPARING / (_WAYS * max(run_s, 1e-9)))
    outcomes: list[Outcome] = [(inputs, expected)]
    if clock() + (2 + 2 * _MIN_ROUNDS) * run_s <= until:
        outcomes += [(other, _outcome(other, run)) for other in others[: max(affordable, 1)]]
        if not _shows(outcomes):
            return replace(AS_SAVED, reason=_NO_EVIDENCE)
    candidates: list[Plan] = []
    notes = []
    prepared_s = run_s
    for plan in _candidates(can_freeze):
        # Its first run, and after it enough of each to compare.
        began = clock()
        compared_s = len(outcomes) * run_s
        if began + prepared_s + compared_s + _MIN_ROUNDS * (len(candidates) + 2) * run_s > until:
            notes.append(f"no time to try {plan.way}")
            continue
        refusal = _refusal(plan, outcomes, run)
        if refusal == _VARIES:
            return replace(AS_SAVED, reason=_VARIES)
        if refusal:
            notes.append(f"{plan.form.value} {refusal}")
        else:
            candidates.append(plan)
        # The next is likely to take as long.
        prepared_s = max(prepared_s, clock() - began)
    times_s = _times_in_turn([AS_SAVED, *candidates], inputs, run, until, clock)
    best = _fastest(candidates, times_s)
    chosen = replace(
        best,
        rows=rows,
        run_s=median(times_s[best]),
        as_saved_s=median(times_s[AS_SAVED]),
        gain=_gain(times_s[AS_SAVED], times_s[best]),
    )
    compared = [one for one, _ in outcomes[1:]] if repeat is not None else []

    def others_of(count: int) -> Iterator[Outcome]:
        for one in compared:
            assert repeat is not None
            wide = repeat(one, count)
            yield wide, _outcome(wide, run)

    chosen, more = _with_xla(chosen, xla_inputs or {}, others_of, run, until, clock)
    return replace(chosen, reason="; ".join([_told(chosen), *dict.fromkeys((*notes, *more))]))


def _candidates(can_freeze: bool) -> list[Plan]:
    """What is tried besides the graph as saved in the caller's thread; what gains most often comes first."""
    forms = [Form.FROZEN, Form.AS_SAVED] if can_freeze else [Form.AS_SAVED]
    plans = [Plan(form, threads) for threads, form in product(Threads, forms)]
    return [plan for plan in plans if plan != AS_SAVED]


def _refusal(plan: Plan, outcomes: Iterable[Outcome], run: Run) -> str:
    """Why `plan` must not be used; empty: what comes of it is as expected. The first inputs are ordinary."""
    for index, (inputs, expected) in enumerate(outcomes):
        try:
            answers = run(plan, inputs)
        except RunFailed as error:
            if isinstance(expected, RunFailed) or (index and says_nothing(error)):
                continue
            return f"fails: {first_line(error)}"
        if isinstance(expected, RunFailed):
            return "answers what the graph as saved refuses"
        if not _same(answers, expected) and not _excused(inputs, answers, expected, run, odd=index > 0):
            # Random numbers that a few inputs meet: no form is to blame for them.
            again = _outcome(inputs, run)
            if not isinstance(again, RunFailed) and not _same(again, expected):
                return _VARIES
            return "gives other answers"
    return ""


def _outcome(inputs: Sequence[Array], run: Run) -> Sequence[Array] | RunFailed:
    try:
        return run(AS_SAVED, inputs)
    except RunFailed as error:
        return error


def _shows(outcomes: Sequence[Outcome]) -> bool:
    """Would it be seen if another form gave other answers? Nothing is, of an output that is always empty."""
    answers = [answer for _, answer in outcomes if not isinstance(answer, RunFailed)]
    if any(all(one.size == 0 for one in ofs) for ofs in zip(*answers, strict=True)):
        return False
    return any(not _same(answer, answers[0]) for answer in answers[1:])


def _excused(
    inputs: Sequence[Array], answers: Sequence[Array], expected: Sequence[Array], run: Run, *, odd: bool
) -> bool:
    if any(
        (one.shape, one.dtype) != (other.shape, other.dtype)
        for one, other in zip(answers, expected, strict=True)
    ):
        return False
    return excused(expected, answers, inputs, lambda near: run(AS_SAVED, near), odd=odd)


def _same(answers: Sequence[Array], expected: Sequence[Array]) -> bool:
    return all(alike(one, other) for one, other in zip(answers, expected, strict=True))


def _times_in_turn(
    plans: Sequence[Plan], inputs: Sequence[Array], run: Run, until: float, clock: Clock
) -> dict[Plan, list[float]]:
    """What runs of each plan took, seconds: as many of each, taken in turn; at least _MIN_ROUNDS."""
    times_s: dict[Plan, list[float]] = {plan: [] for plan in plans}
    started = clock()
    for rounds in range(1, _MAX_ROUNDS + 1):
        began = clock()
        for plan in plans:
            before = clock()
            run(plan, inputs)
            times_s[plan].append(clock() - before)
        now = clock()
        late = rounds >= _MIN_ROUNDS and now + (now - began) > until
        if late or (rounds >= _ROUNDS and now - started >= _ENOUGH_S):
            break
    return times_s


def _fastest(candidates: Sequence[Plan], times_s: Mapping[Plan, Sequence[float]]) -> Plan:
    best, best_gain = AS_SAVED, 1.0
    for plan in candidates:
        gain = _gain(times_s[AS_SAVED], times_s[plan])
        margin = _POOL_MARGIN if plan.threads is Threads.POOL else MARGIN
        if best_gain < margin * gain:
            best, best_gain = plan, gain
    return best


def _gain(slow_s: Sequence[float], fast_s: Sequence[float]) -> float:
    """How many times faster, the median over pairs."""
    # A clock that is coarse may see no time pass at all.
    return median(slow / max(fast, 1e-9) for slow, fast in zip(slow_s, fast_s, strict=True))


def _with_xla(
    plan: Plan,
    inputs_by_rows: Mapping[int, Sequence[Array]],
    others_of: Callable[[int], Iterable[Outcome]],
    run: Run,
    until: float,
    clock: Clock,
) -> tuple[Plan, list[str]]:
    """`plan` with XLA at those numbers of rows at which it pays, and what is to be said of the others."""
    gains: dict[int, float] = {}
    notes: list[str] = []
    compile_s = run_s_per_row = 0.0
    for rows, inputs in sorted(inputs_by_rows.items()):
        began = clock()
        if began + compile_s + _RUNS_TO_COMPILE * run_s_per_row * rows >= until:
            notes.append(f"no time to try XLA at {_and_more(rows, inputs_by_rows)} rows")
            break
        compiled = replace(plan, xla_rows=(rows,))
        refusal, run_s = _compile(compiled, inputs, run, clock)
        compile_s = max(compile_s, clock() - began - run_s)
        run_s_per_row = max(run_s_per_row, run_s / rows)
        if refusal:
            notes.append(f"XLA {refusal}")
            continue
        if run_s > HOPELESS * _once(plan, inputs, run, clock):
            notes.append(f"XLA is far slower at {rows} rows, so with more it is not tried")
            break
        refusal = _refusal(compiled, chain([(inputs, _outcome(inputs, run))], others_of(rows)), run)
        if refusal:
            notes.append(f"XLA {refusal}")
            continue
        times_s = _times_in_turn([plan, compiled], inputs, run, until, clock)
        gain = _gain(times_s[plan], times_s[compiled])
        if MARGIN * gain > 1.0:
            gains[rows] = gain
        else:
            notes.append(f"XLA gains nothing at {rows} rows")
    rows_with_gain = tuple(sorted(gains))
    return replace(
        plan, xla_rows=rows_with_gain, xla_gains=tuple(gains[rows] for rows in rows_with_gain)
    ), notes


def _compile(compiled: Plan, inputs: Sequence[Array], run: Run, clock: Clock) -> tuple[str, float]:
    """Let TensorFlow compile, and compare. Returns why it must not be used, and seconds of the last run."""
    outcomes: list[Outcome] = [(inputs, run(AS_SAVED, inputs))]
    refusal, run_s = "", 0.0
    for _ in range(_RUNS_TO_COMPILE):
        began = clock()
        refusal = _refusal(compiled, outcomes, run)
        run_s = clock() - began
        if refusal:
            break
    return refusal, run_s


def _once(plan: Plan, inputs: Sequence[Array], run: Run, clock: Clock) -> float:
    began = clock()
    run(plan, inputs)
    return clock() - began


def _and_more(rows: int, inputs_by_rows: Mapping[int, object]) -> str:
    return ", ".join(str(count) for count in sorted(inputs_by_rows) if count >= rows)


def _told(plan: Plan) -> str:
    rows = f" at {plan.rows} rows" if plan.rows > 1 else ""
    told = f"{plan.run_s * 1e3:.3g} ms a run{rows}"
    if (plan.form, plan.threads) != (AS_SAVED.form, AS_SAVED.threads):
        told += f", {plan.as_saved_s * 1e3:.3g} ms {AS_SAVED.form.value} {AS_SAVED.threads.value}"
        told += f", gain {plan.gain:.2f}"
    for rows_, gain in zip(plan.xla_rows, plan.xla_gains, strict=True):
        told += f"; XLA gains {gain:.2f} at {rows_} rows"
    return told
