"""The plan: proven equal first, then measured, and changed only where it pays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hotgraph_server.errors import RunFailed
from hotgraph_server.plan import AS_SAVED, Form, Plan, Threads, choose_plan
from hotgraph_server.tensors import Array

from .fakes import FakeClock

INPUTS = [np.ones((1, 2), np.float32)]
FROZEN = Plan(Form.FROZEN, Threads.CALLER)
POOLED = Plan(Form.AS_SAVED, Threads.POOL)


def same(_: Plan, inputs: Sequence[Array]) -> list[Array]:
    return [inputs[0] * 2]


def choose(
    times_ms: dict[Plan, float],
    *,
    can_freeze: bool = True,
    answer: Callable[[Plan, Sequence[Array]], list[Array]] = same,
    budget_s: float = 60.0,
) -> tuple[Plan, int]:
    """The choice among plans that take `times_ms` (10 ms if nothing is said), and how many runs it took."""
    clock = FakeClock()
    runs = 0

    def run(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        nonlocal runs
        runs += 1
        clock.now += times_ms.get(plan, 10.0) / 1000
        return answer(plan, inputs)

    return choose_plan(INPUTS, run, can_freeze=can_freeze, budget_s=budget_s, clock=clock), runs


def form_and_threads(plan: Plan) -> tuple[Form, Threads]:
    return plan.form, plan.threads


def test_faster_frozen_form_is_taken_and_the_gain_told() -> None:
    plan, _ = choose({FROZEN: 6.0})
    assert form_and_threads(plan) == (Form.FROZEN, Threads.CALLER)
    assert "6 ms a run, 10 ms as saved" in plan.reason


def test_wide_graph_that_gains_on_the_pool_goes_there() -> None:
    plan, _ = choose({POOLED: 5.0}, can_freeze=False)
    assert form_and_threads(plan) == (Form.AS_SAVED, Threads.POOL)


@pytest.mark.parametrize(("plan", "ms"), [(FROZEN, 9.6), (POOLED, 8.6)])
def test_gain_within_the_noise_changes_nothing(plan: Plan, ms: float) -> None:
    chosen, _ = choose({plan: ms})
    assert form_and_threads(chosen) == form_and_threads(AS_SAVED)


def test_form_that_gives_other_answers_is_refused_however_fast() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * (2.001 if plan.form is Form.FROZEN else 2)]

    plan, _ = choose({FROZEN: 0.1, Plan(Form.FROZEN, Threads.POOL): 0.1}, answer=answer)
    assert form_and_threads(plan) == form_and_threads(AS_SAVED)
    assert "frozen gives other answers" in plan.reason


def test_last_digits_of_floats_do_not_refuse_a_form() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * (2.000001 if plan.form is Form.FROZEN else 2)]

    plan, _ = choose({FROZEN: 1.0}, answer=answer)
    assert plan.form is Form.FROZEN


def test_form_that_fails_is_refused_with_the_reason() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        if plan.form is Form.FROZEN:
            raise RunFailed(5, "no such table\nand a trace")
        return [inputs[0]]

    plan, _ = choose({FROZEN: 1.0}, answer=answer)
    assert form_and_threads(plan) == form_and_threads(AS_SAVED)
    assert plan.reason.endswith("frozen fails: no such table")


def test_graph_with_random_answers_runs_as_saved() -> None:
    random = np.random.default_rng(1)

    def answer(_: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * random.standard_normal()]

    plan, _ = choose({FROZEN: 1.0}, answer=answer)
    assert form_and_threads(plan) == form_and_threads(AS_SAVED)
    assert "differ from run to run" in plan.reason


def test_input_that_the_graph_refuses_is_the_callers_affair() -> None:
    def answer(_: Plan, inputs: Sequence[Array]) -> list[Array]:
        raise RunFailed(3, "no such id")

    with pytest.raises(RunFailed, match="no such id"):
        choose({}, answer=answer)


def test_slow_graph_is_measured_once_and_not_for_ever() -> None:
    _, runs = choose({plan: 900.0 for plan in (AS_SAVED, FROZEN, POOLED)}, budget_s=1.0)
    plans = len(Form) * len(Threads)
    assert runs == 1 + plans + plans, "a reference, a comparison of each, one round"
