"""The search for a plan: proven equal first, then measured, in the time there is, and changed only where it
pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import RunFailed
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.plan import AS_SAVED, Form, Plan, Threads
from hotgraph_server.warmup.plan_search import choose_plan

from ..fakes import FakeClock

INPUTS = [np.ones((1, 2), np.float32)]
OTHERS = [[np.full((1, 2), 3, np.float32)]]
FROZEN = Plan(Form.FROZEN, Threads.CALLER)
POOLED = Plan(Form.AS_SAVED, Threads.POOL)
FROZEN_POOLED = Plan(Form.FROZEN, Threads.POOL)
FAST = 0.1

Answer = Callable[[Plan, Sequence[Array]], list[Array]]


def same(_: Plan, inputs: Sequence[Array]) -> list[Array]:
    return [inputs[0] * 2]


class Search:
    """A search among plans that take what the test says.

    Attributes:
        runs: the plans that were run, in order, each with its rows.
        took_s: what the whole search took.
    """

    def __init__(self, times_ms: dict[Plan, float], answer: Answer = same, compile_ms: float = 0.0) -> None:
        self.runs: list[tuple[Plan, int]] = []
        self.took_s = 0.0
        self._times_ms = times_ms
        self._answer = answer
        self._compile_ms = compile_ms
        self._clock = FakeClock()

    def run(self, plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        before = self.runs.count((plan, len(inputs[0])))
        self.runs.append((plan, len(inputs[0])))
        # As TensorFlow does: a shape's first run is interpreted, its second compiles.
        compiles = plan.xla and before == 1
        ms = self._times_ms.get(plan, 10.0) + (self._compile_ms if compiles else 0.0)
        self._clock.now += ms / 1000
        return self._answer(plan, inputs)

    def plan(
        self,
        *,
        can_freeze: bool = True,
        budget_s: float = 60.0,
        xla_at: Sequence[int] = (),
        others: Sequence[Sequence[Array]] | None = None,
    ) -> Plan:
        began = self._clock()
        plan = choose_plan(
            INPUTS,
            self.run,
            others=OTHERS if others is None else others,
            repeat=lambda inputs, count: [np.repeat(array, count, axis=0) for array in inputs],
            can_freeze=can_freeze,
            xla_inputs={rows: [np.ones((rows, 2), np.float32)] for rows in xla_at},
            budget_s=budget_s,
            clock=self._clock,
        )
        self.took_s = self._clock() - began
        return plan


def test_faster_frozen_form_is_taken_and_the_gain_told() -> None:
    plan = Search({FROZEN: 6.0}).plan()
    assert plan == FROZEN
    assert plan.reason == "6 ms a run, 10 ms as saved in the caller's thread, gain 1.67"
    assert plan.rows == 1
    assert plan.gain == pytest.approx(10 / 6)
    assert (plan.run_s, plan.as_saved_s) == pytest.approx((0.006, 0.010))


def test_wide_graph_that_gains_on_the_pool_goes_there() -> None:
    assert Search({POOLED: 5.0}).plan(can_freeze=False) == POOLED


@pytest.mark.parametrize(("plan", "ms"), [(FROZEN, 9.6), (POOLED, 8.6)])
def test_gain_within_the_noise_changes_nothing(plan: Plan, ms: float) -> None:
    chosen = Search({plan: ms}).plan()
    assert chosen == AS_SAVED
    assert (chosen.gain, chosen.reason) == (1.0, "10 ms a run")
    assert chosen.run_s == chosen.as_saved_s == pytest.approx(0.010)


def test_pool_must_earn_more_than_another_form() -> None:
    assert Search({FROZEN: 6.0, FROZEN_POOLED: 5.2}).plan() == FROZEN
    assert Search({FROZEN: 6.0, FROZEN_POOLED: 5.0}).plan() == FROZEN_POOLED


def test_gain_is_that_of_neighbouring_runs_when_the_machine_slows_down() -> None:
    """Medians taken apart would compare one plan's slow moments with the other's quick ones."""
    search = Search({})
    slowness: Iterator[float] = cycle([1.0, 1.0, 9.0])
    clock = FakeClock()
    factor = 1.0

    def run(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        nonlocal factor
        if plan == AS_SAVED:
            factor = next(slowness)
        clock.now += factor * (0.5 if plan == FROZEN else 1.0) / 1000
        return search.run(plan, inputs)

    plan = choose_plan(INPUTS, run, others=OTHERS, can_freeze=True, budget_s=60.0, clock=clock)
    assert plan == FROZEN
    assert plan.gain == pytest.approx(2.0)


def test_form_that_gives_other_answers_is_refused_however_fast() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * (2.001 if plan.form is Form.FROZEN else 2)]

    plan = Search({FROZEN: FAST, FROZEN_POOLED: FAST}, answer).plan()
    assert plan == AS_SAVED
    assert "frozen gives other answers" in plan.reason


def test_last_digits_of_floats_do_not_refuse_a_form() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * (2.000001 if plan.form is Form.FROZEN else 2)]

    assert Search({FROZEN: 1.0}, answer).plan() == FROZEN


def test_form_that_fails_is_refused_with_the_reason() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        if plan.form is Form.FROZEN:
            raise RunFailed(5, "no such table\nand a trace")
        return [inputs[0]]

    plan = Search({FROZEN: 1.0}, answer).plan()
    assert plan == AS_SAVED
    assert plan.reason.endswith("frozen fails: no such table")


def test_graph_with_random_answers_runs_as_saved() -> None:
    random = np.random.default_rng(1)

    def answer(_: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * random.standard_normal()]

    plan = Search({FROZEN: 1.0}, answer).plan()
    assert plan == AS_SAVED
    assert "differ from run to run" in plan.reason


def test_graph_whose_answers_are_random_for_some_inputs_only_is_told_so_and_no_form_is_blamed() -> None:
    random = np.random.default_rng(1)

    def answer(_: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * (random.standard_normal() if inputs[0].max() > 2 else 2)]

    plan = Search({FROZEN: FAST}, answer).plan()
    assert plan == AS_SAVED
    assert plan.reason == "its answers to the same input differ from run to run"


def test_input_that_the_graph_refuses_is_the_callers_affair() -> None:
    def answer(_: Plan, inputs: Sequence[Array]) -> list[Array]:
        raise RunFailed(3, "no such id")

    with pytest.raises(RunFailed, match="no such id"):
        Search({}, answer).plan()


def test_form_that_differs_for_odd_inputs_only_is_refused() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * (3 if plan.form is Form.FROZEN and inputs[0].max() > 2 else 2)]

    plan = Search({FROZEN: FAST}, answer).plan()
    assert plan == AS_SAVED
    assert "frozen gives other answers" in plan.reason


def test_form_that_answers_what_the_graph_as_saved_refuses_is_refused() -> None:
    def strict(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        if inputs[0].max() > 5 and plan == AS_SAVED:
            raise RunFailed(3, "no such id")
        return [inputs[0]]

    others = [*OTHERS, [np.full((1, 2), 9, np.float32)]]
    plan = Search({FROZEN: FAST}, strict).plan(others=others)
    assert plan == AS_SAVED
    assert "frozen answers what the graph as saved refuses" in plan.reason


def test_what_every_form_refuses_is_no_reason_against_one() -> None:
    def strict(_: Plan, inputs: Sequence[Array]) -> list[Array]:
        if inputs[0].max() > 5:
            raise RunFailed(3, "no such id")
        return [inputs[0]]

    assert Search({FROZEN: FAST}, strict).plan(others=[*OTHERS, [np.full((1, 2), 9.0)]]) == FROZEN


@pytest.mark.parametrize(
    "answer",
    [lambda x: x[:, :0], lambda x: np.ones_like(x), lambda x: np.full_like(x, np.nan)],
    ids=["empty", "constant", "nan"],
)
def test_answers_that_are_empty_or_always_the_same_show_nothing(answer: Callable[[Array], Array]) -> None:
    plan = Search({FROZEN: FAST}, lambda _, inputs: [answer(inputs[0])]).plan()
    assert plan == AS_SAVED
    assert "nothing shows that another form gives them too" in plan.reason


def test_one_output_that_is_always_empty_is_enough_to_show_nothing() -> None:
    plan = Search({FROZEN: FAST}, lambda _, inputs: [inputs[0], inputs[0][:0]]).plan()
    assert "nothing shows" in plan.reason


def test_xla_is_compared_on_odd_rows_too() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * (3 if plan.xla and inputs[0].max() > 2 else 2)]

    plan = Search({compiled(8): FAST}, answer).plan(xla_at=(8,))
    assert not plan.xla
    assert "XLA gives other answers" in plan.reason


# The time.


def test_slow_graph_for_which_there_is_no_time_runs_as_saved_and_says_so() -> None:
    search = Search({plan: 900.0 for plan in (AS_SAVED, FROZEN, POOLED, FROZEN_POOLED)})
    plan = search.plan(budget_s=5.0)
    assert plan == AS_SAVED
    assert search.took_s < 5.0
    assert "no time to try frozen, in the caller's thread" in plan.reason
    assert {one for one, _ in search.runs} == {AS_SAVED}


def test_what_gains_most_often_is_tried_first() -> None:
    search = Search({plan: 100.0 for plan in (AS_SAVED, FROZEN, POOLED, FROZEN_POOLED)})
    search.plan(budget_s=1.4)
    assert {one for one, _ in search.runs} == {AS_SAVED, FROZEN}


@given(run_ms=st.floats(0.001, 1000), budget_s=st.floats(0.01, 10), can_freeze=st.booleans())
def test_time_is_kept(run_ms: float, budget_s: float, can_freeze: bool) -> None:
    """Whatever there is time for, apart from the runs as saved that tell how long a run takes."""
    search = Search({plan: run_ms for plan in (AS_SAVED, FROZEN, POOLED, FROZEN_POOLED)})
    search.plan(can_freeze=can_freeze, budget_s=budget_s)
    least_s = 5 * run_ms / 1000
    assert search.took_s <= max(budget_s, least_s) * (1 + 1e-6)


def test_form_that_took_long_to_prepare_leaves_no_time_for_its_like() -> None:
    """TensorFlow's preparation cannot be interrupted, but it need not be begun again."""
    clock = FakeClock()
    ran: list[Plan] = []

    def run(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        clock.now += 0.01 if plan in ran or plan == AS_SAVED else 3.0
        ran.append(plan)
        return [inputs[0]]

    plan = choose_plan(INPUTS, run, others=OTHERS, can_freeze=True, budget_s=5.0, clock=clock)
    assert set(ran) == {AS_SAVED, FROZEN}
    assert "no time to try frozen, on the pool" in plan.reason


# XLA.


def compiled(rows: int, plan: Plan = AS_SAVED) -> Plan:
    return Plan(plan.form, plan.threads, xla_rows=(rows,))


def test_xla_is_used_at_the_rows_where_it_pays() -> None:
    plan = Search({compiled(1): 9.9, compiled(8): 5.0, compiled(64): 2.0}).plan(xla_at=(1, 8, 64))
    assert plan.xla_rows == (8, 64)
    assert plan.xla_gains == pytest.approx((2.0, 5.0))
    assert "XLA gains 2.00 at 8 rows; XLA gains 5.00 at 64 rows" in plan.reason
    assert "XLA gains nothing at 1 rows" in plan.reason


def test_xla_competes_with_the_best_plan_without_it() -> None:
    times_ms = {FROZEN: 5.0, compiled(8, FROZEN): 4.9}
    assert Search(times_ms).plan(xla_at=(8,)) == FROZEN
    times_ms[compiled(8, FROZEN)] = 4.0
    assert Search(times_ms).plan(xla_at=(8,)) == compiled(8, FROZEN)


def test_everything_is_compiled_before_the_plan_is_there() -> None:
    search = Search({compiled(8): 1.0, compiled(64): 1.0}, compile_ms=500)
    plan = search.plan(xla_at=(8, 64))
    assert plan.xla_rows == (8, 64)
    assert all(search.runs.count((compiled(rows), rows)) >= 3 for rows in (8, 64))
    # The compilation is in no time that was compared.
    assert plan.xla_gains == pytest.approx((10.0, 10.0))


def test_xla_that_gives_other_answers_is_not_used_at_those_rows() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] * (3 if 8 in plan.xla_rows else 2)]

    plan = Search({compiled(8): FAST, compiled(64): FAST}, answer).plan(xla_at=(8, 64))
    assert plan.xla_rows == (64,)
    assert "XLA gives other answers" in plan.reason


def test_answers_are_compared_after_the_compilation_too() -> None:
    seen: list[Plan] = []

    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        seen.append(plan)
        return [inputs[0] * (3 if plan.xla and seen.count(plan) > 1 else 2)]

    assert not Search({compiled(8): FAST}, answer).plan(xla_at=(8,)).xla


def test_xla_that_fails_is_not_used() -> None:
    def answer(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
        if plan.xla:
            raise RunFailed(13, "no kernel")
        return [inputs[0]]

    plan = Search({compiled(8): FAST}, answer).plan(xla_at=(8,))
    assert not plan.xla
    assert "XLA fails: no kernel" in plan.reason


def test_compilation_stops_when_there_is_no_time_for_another() -> None:
    search = Search({compiled(rows): 1.0 for rows in (1, 8, 64)}, compile_ms=1000)
    plan = search.plan(budget_s=2.9, xla_at=(1, 8, 64))
    assert plan.xla_rows == (1, 8)
    assert "no time to try XLA at 64 rows" in plan.reason
    assert search.took_s < 2.9


def test_larger_runs_are_not_begun_that_would_take_too_long() -> None:
    search = Search({compiled(1): 200.0, **{plan: 300.0 for plan in (AS_SAVED, FROZEN, POOLED)}})
    plan = search.plan(can_freeze=False, budget_s=10, xla_at=(1, 64))
    assert plan.xla_rows == (1,)
    # If each row takes as long as one alone, three runs of 64 take 38 s.
    assert "no time to try XLA at 64 rows" in plan.reason


def test_xla_that_is_plainly_slower_is_not_tried_for_long() -> None:
    search = Search({compiled(8): 1000.0})
    plan = search.plan(xla_at=(8, 64))
    assert not plan.xla
    assert search.runs.count((compiled(8), 8)) == 3
    assert (compiled(64), 64) not in search.runs
    assert "XLA is far slower at 8 rows, so with more it is not tried" in plan.reason
