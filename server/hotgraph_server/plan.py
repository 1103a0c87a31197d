"""The plan: in which form a signature is run, and on which threads. Decided by measuring, before the
version is live.

Two forms of a graph: as saved, or frozen, its variables made constants, which lets TensorFlow fold and
fuse what it could not before. Two ways to run it: in the caller's thread, which spares small graphs the
hand-over, or on TensorFlow's pool, which lets wide graphs run their branches side by side.

A plan must prove itself: its answers on generated input equal those of the graph as saved in the
caller's thread (1e-4 for floats, exactly for the rest), and it is faster by a margin. Where nothing can
be generated that the graph takes, it runs as saved. Pure but for `run` and the clock.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hotgraph_server.batching.trial import alike
from hotgraph_server.errors import RunFailed
from hotgraph_server.tensors import Array


class Form(enum.Enum):
    """Which graph is run."""

    AS_SAVED = "as saved"
    FROZEN = "frozen"


class Threads(enum.Enum):
    """Where a run executes its ops."""

    CALLER = "in the caller's thread"
    POOL = "on the pool"


@dataclass(frozen=True)
class Plan:
    """How a signature is run.

    Attributes:
        reason: why so, for the log and for people.
    """

    form: Form
    threads: Threads
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.form.value}, {self.threads.value}: {self.reason}"


AS_SAVED = Plan(Form.AS_SAVED, Threads.CALLER)

Run = Callable[[Plan, Sequence[Array]], Sequence[Array]]

# Less than this is noise on a shared machine, and not worth another form.
_MARGIN = 0.95
# The pool lets go of one thread's cache and takes others from neighbours: it must earn that.
_POOL_MARGIN = 0.85
_ROUNDS = 15


def choose_plan(
    inputs: Sequence[Array],
    run: Run,
    *,
    can_freeze: bool,
    budget_s: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Plan:
    """The fastest plan whose answers are those of the graph as saved.

    Args:
        inputs: what the graph is known to take.
        run: runs a plan.
        can_freeze: whether there is a frozen form.
        budget_s: seconds that the measuring may take, roughly: a run is not interrupted.
        clock: seconds.

    Raises:
        RunFailed: the graph as saved does not take `inputs`.
    """
    forms = [Form.AS_SAVED, Form.FROZEN] if can_freeze else [Form.AS_SAVED]
    expected = run(AS_SAVED, inputs)
    candidates = []
    refused = ""
    for plan in (Plan(form, threads) for form in forms for threads in Threads):
        try:
            answers = run(plan, inputs)
        except RunFailed as error:
            refused = f"; {plan.form.value} fails: {str(error).partition(chr(10))[0]}"
            continue
        if all(alike(one, other) for one, other in zip(answers, expected, strict=True)):
            candidates.append(plan)
        else:
            refused = f"; {plan.form.value} gives other answers"
    if AS_SAVED not in candidates:
        # Random numbers, say: then nothing can be shown to be the same.
        return Plan(AS_SAVED.form, AS_SAVED.threads, "its answers to the same input differ from run to run")
    times_s = _best_times(candidates, inputs, run, budget_s, clock)
    best = AS_SAVED
    for plan in candidates:
        margin = _POOL_MARGIN if plan.threads is Threads.POOL else _MARGIN
        if times_s[plan] < margin * times_s[best]:
            best = plan
    gain = f"{times_s[best] * 1e3:.3g} ms a run"
    if best != AS_SAVED:
        gain += f", {times_s[AS_SAVED] * 1e3:.3g} ms {AS_SAVED.form.value} {AS_SAVED.threads.value}"
    return Plan(best.form, best.threads, gain + refused)


def _best_times(
    plans: Sequence[Plan],
    inputs: Sequence[Array],
    run: Run,
    budget_s: float,
    clock: Callable[[], float],
) -> dict[Plan, float]:
    """The shortest time of each plan, taken in turn so that a slow moment of the machine hits all.

    The shortest, because whatever else goes on can only lengthen a run.
    """
    best = dict.fromkeys(plans, float("inf"))
    until = clock() + budget_s
    for _ in range(_ROUNDS):
        for plan in plans:
            started = clock()
            run(plan, inputs)
            best[plan] = min(best[plan], clock() - started)
        if clock() >= until:
            break
    return best
