"""What a plan says."""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.warmup.plan import AS_SAVED, Form, Plan, Threads


def test_plan_tells_form_threads_and_why() -> None:
    assert str(replace(AS_SAVED, reason="by setting")) == "as saved, in the caller's thread: by setting"
    plan = Plan(Form.FROZEN, Threads.POOL, xla_rows=(8, 64), reason="2 ms a run")
    assert str(plan) == "frozen, on the pool, by XLA at 8, 64 rows: 2 ms a run"


def test_plans_are_equal_if_they_run_alike_whatever_was_measured() -> None:
    plan = Plan(Form.FROZEN, Threads.POOL)
    measured = replace(plan, reason="quick", rows=1, run_s=0.1, as_saved_s=0.2, gain=2.0)
    assert measured == plan
    assert hash(measured) == hash(plan)
    assert replace(plan, xla_rows=(8,)) != plan


def test_plan_uses_xla_where_any_number_of_rows_does() -> None:
    assert not AS_SAVED.xla
    assert replace(AS_SAVED, xla_rows=(1,)).xla


def test_plan_that_was_not_measured_has_no_times_and_gains_nothing() -> None:
    assert (AS_SAVED.rows, AS_SAVED.run_s, AS_SAVED.as_saved_s, AS_SAVED.gain) == (0, 0.0, 0.0, 1.0)
