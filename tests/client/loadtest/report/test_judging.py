from __future__ import annotations

from typing import Any

import pytest

from hotgraph_client.loadtest.document import Document, Step
from hotgraph_client.loadtest.report.judging import held, judge

from . import documents
from .conftest import Make


def test_a_ramp_is_told_by_where_it_held_and_what_went_wrong_beyond(made: Make) -> None:
    found = judge(made("ramp"))
    assert found.rate_per_s == 900
    assert found.tone == "mixed"
    assert found.sentence.startswith("Kept up to 900 calls/s; at 1,050/s ")
    assert "RESOURCE_EXHAUSTED" in found.sentence


def test_rates_that_all_held_are_told_by_the_highest(made: Make) -> None:
    found = judge(made("twelve_steps"))
    assert (found.rate_per_s, found.tone) == (600, "good")
    assert found.sentence.startswith("Kept up with every rate, the highest of them 600 calls/s; p50 ")


def test_of_one_step_nothing_is_said_of_others(made: Make) -> None:
    assert judge(made("one_step")).sentence.startswith("Kept up with 500 calls/s; p50 ")


def test_a_closed_loop_is_told_by_its_throughput(made: Make) -> None:
    found = judge(made("closed_loop"))
    assert found.step is not None
    assert found.step["concurrency"] == 64
    assert "with 64 callers" in found.sentence


def test_an_objective_decides_in_place_of_what_we_think(made: Make) -> None:
    document = made("search")
    found = judge(document)
    assert found.sentence == "p99<17ms,errors<0.1% held up to 875 calls/s."
    assert (found.rate_per_s, found.tone) == (875, "good")
    # That which confirmed it, and not the first one of the same rate.
    assert found.step is document["steps"][-1]


@pytest.mark.parametrize(
    ("need", "tone", "end"),
    [(875, "good", "; 875/s were needed."), (876, "bad", "; 876/s are needed, and not reached.")],
)
def test_what_was_needed_is_reached_or_not(made: Make, need: float, tone: str, end: str) -> None:
    document = made("search")
    document["slo"]["need_per_s"] = need
    found = judge(document)
    assert found.tone == tone
    assert found.sentence.endswith(end)


def test_an_objective_that_was_not_confirmed_is_in_doubt(made: Make) -> None:
    document = made("search")
    document["slo"]["confirmed"] = False
    assert judge(document).tone == "mixed"
    assert "did not confirm" in judge(document).sentence


def test_an_objective_that_never_held_is_bad() -> None:
    found = judge(documents.search(held=False))
    assert (found.rate_per_s, found.tone) == (None, "bad")
    assert found.sentence == "p99<17ms,errors<0.1% held at no rate that was tried, the least 200/s."


def test_nothing_but_errors_is_told_with_the_most_frequent(made: Make) -> None:
    found = judge(made("nothing_but_errors"))
    assert (found.rate_per_s, found.tone) == (None, "bad")
    assert found.sentence == "None of 3,000 calls was answered. Most ended with UNREACHABLE."


def test_wrong_answers_come_before_all_else(made: Make) -> None:
    found = judge(made("wrong_answers"))
    assert found.tone == "bad"
    assert found.sentence == "12 answers were wrong."


def test_void_steps_decide_nothing(made: Make) -> None:
    document = made("twelve_steps")
    for step in document["steps"][6:]:
        step["void"] = True
    assert judge(document).rate_per_s == 300
    for step in document["steps"]:
        step["void"] = True
    assert judge(document).sentence == "No step says anything: all of them are void."
    assert judge(document).step is None


def test_nothing_at_all_is_no_fault() -> None:
    empty: Document = {}
    assert judge(empty).sentence == "Nothing was sent."


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"void": True}, False),
        ({"wrong": 1}, False),
        ({"errors": {"LATE": 9}}, True),
        ({"errors": {"LATE": 10}}, False),
        ({"achieved_per_s": 97.0}, True),
        ({"achieved_per_s": 96.9}, False),
        ({"achieved_per_s": 0.0}, False),
        ({"achieved_per_s": 9.0, "kind": "closed"}, True),
    ],
)
def test_what_holds(change: Step, holds: bool) -> None:
    step: Step = {"kind": "open", "offered_per_s": 100.0, "achieved_per_s": 100.0, "calls": 1000}
    assert held({**step, **change}) is holds


def test_a_rate_that_fell_below_one_that_held_is_not_the_edge() -> None:
    document = documents.document(*(documents.open_step(rate, seconds=4) for rate in (100, 200, 300)))
    document["steps"][1]["achieved_per_s"] = 50.0
    assert judge(document).rate_per_s == 300


def test_what_only_lags_behind_is_told_in_figures() -> None:
    document = documents.document(*(documents.open_step(rate, seconds=4) for rate in (100, 200)))
    document["steps"][1]["achieved_per_s"] = 150.0
    assert judge(document).sentence == "Kept up to 100 calls/s; at 200/s only 150/s were answered."


def test_what_is_needed_must_be_confirmed_as_the_exit_status_asks(made: Make) -> None:
    document = made("search")
    document["slo"]["need_per_s"], document["slo"]["confirmed"] = 100, False
    assert judge(document).tone == "bad"


def test_the_step_of_an_objective_is_found_though_chance_offered_more(made: Make) -> None:
    document = made("search")
    last = document["steps"][-1]
    last["label"], last["offered_per_s"], last["void"] = "875/s", 875 * 1.02, True
    assert judge(document).step is last


def test_answers_that_came_too_late_for_the_run_are_answers(made: Make) -> None:
    document = made("nothing_but_errors")
    for step in document["steps"]:
        step["latency_ms"] = {"p50": 60_000.0, "p99": 60_000.0}
    assert not judge(document).sentence.startswith("None of")


@pytest.mark.parametrize(
    ("best", "tone"),
    [
        ({"measured": {"holds": True}, "predicted": {"holds": True}}, "good"),
        ({"measured": {"holds": True}, "predicted": {"holds": False}}, "good"),
        ({"measured": {"holds": False}, "predicted": {"holds": True}}, "bad"),
        ({"measured": None, "predicted": {"holds": False}}, "bad"),
        ({"measured": None, "predicted": {"holds": True}}, "mixed"),
        ({"measured": {"holds": True}, "predicted": {"holds": True}, "default": True}, "mixed"),
    ],
)
def test_a_tuning_is_as_good_as_a_real_load_shows(best: dict[str, Any], tone: str) -> None:
    tune = {"verdict": "the verdict", "best": "a", "candidates": [{"label": "a", **best}]}
    found = judge({"tune": tune})
    assert (found.sentence, found.tone) == ("The verdict", tone)
