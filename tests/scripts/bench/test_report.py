"""The report: tables that hold the figures, marks that are judged, reasons that are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.figures import TAIL_CALLS, Run, Tail
from bench.measuring import Statistics, duty, rows_per_run, tails_of
from bench.report import beside_itself, judged, markdown, number, perf_analyzer_ratios, table
from bench.results import Results, read
from bench.rivals import NOT_TO_BE_HAD
from bench.variants import BEFORE
from bench.workload import Cell

TINY = Cell("softmax", 1, 128)


@pytest.fixture
def results() -> Results:
    runs = [
        Run("hotgraph", TINY, 0, calls_per_s=9000, p50_ms=10, duty=0.5, rows_per_run=30),
        Run("triton", TINY, 0, calls_per_s=4500, p50_ms=25, failed_calls=3),
        Run("bare", TINY, 0, calls_per_s=200_000),
        Run("mosec", TINY, 0, failure="it broke"),
    ]
    return Results(
        started="2030-01-01 00:00",
        machine={"cores": "2"},
        versions={"grpcio": "1.2"},
        revision="abc+",
        load="how",
        rounds=1,
        settings={"hotgraph": "defaults", "triton": "as told"},
        left_out={"litserve": "no network"},
        notes=["a note"],
        runs=runs,
        tails=[Tail("hotgraph", TINY, TAIL_CALLS, 80.0), Tail("triton", TINY, TAIL_CALLS - 1, 99.0)],
        perf_analyzer=[
            {"rival": "hotgraph", "kind": "triton", "in_flight": 1, "failure": "no ModelConfig"},
        ],
    )


def test_table_aligns_figures_to_the_right() -> None:
    assert table(["", "n"], [["a", "1"]]) == "|  | n |\n| --- | --: |\n| a | 1 |"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (float("nan"), "-"), (0.01234, "0.0123"), (12.34, "12.3"), (12345.6, "12 346"), (0.0, "0")],
)
def test_numbers_have_three_digits_that_matter(value: float | None, text: str) -> None:
    assert number(value) == text


def test_cell_lists_rivals_with_the_ratio_to_hotgraph(results: Results) -> None:
    text = markdown(results)
    assert "### 1 row a call, 128 in flight" in text
    assert "| hotgraph | 9 000 |  | 10 |" in text
    assert "| Triton 2.51, Python backend | 4 500 | 2 | 25 |" in text


def test_bare_loop_has_no_latency(results: Results) -> None:
    nothing = " - |" * 8
    assert f"| limit: bare loop, as saved | 200 000 | 0.045 |{nothing}" in markdown(results)


def test_slowest_calls_are_told_where_there_were_enough_and_where_not_it_is_said(results: Results) -> None:
    text = markdown(results)
    assert "| hotgraph | 9 000 |  | 10 | - | - | 80 |" in text
    assert "| Triton 2.51, Python backend | 4 500 | 2 | 25 | - | - | - |" in text
    assert (
        "needs 10 000 of them; the other figures are medians over rounds, the greatest latency too. Too few "
        "were Triton 2.51, Python backend, softmax, 1 row a call, 128 in flight: 9 999." in text
    )


def test_slowest_calls_are_those_of_all_rounds_together() -> None:
    fast, slow = np.full(1_000, 0.001), np.full(3, 0.5)
    rounds = [fast, fast, fast, fast, np.concatenate([fast, slow])]
    # Three of some 1,000 are more than one of 1,000; of some 5,000 they are fewer.
    (found,) = tails_of({("hotgraph", TINY): rounds, ("bare", TINY): [np.empty(0)]})
    assert (found.rival, found.calls) == ("hotgraph", 5_003)
    assert found.p999_ms == pytest.approx(1.0)
    (found,) = tails_of({("hotgraph", TINY): rounds[-1:]})
    assert found.p999_ms == pytest.approx(500.0)


def test_variant_of_hotgraph_is_called_by_its_name_and_listed_after_it(results: Results) -> None:
    results.runs.insert(0, Run("hotgraph@abc1234", TINY, 0, calls_per_s=6000, p50_ms=20))
    results.left_out["hotgraph --lead never"] = "this server has no --lead"
    text = markdown(results)
    assert text.index("| hotgraph | 9 000 |") < text.index("| hotgraph@abc1234 | 6 000 | 1.5 |")
    assert text.index("| hotgraph@abc1234 |") < text.index("| Triton 2.51, Python backend | 4 500")
    assert "- left out: hotgraph --lead never: this server has no --lead" in text


def test_hotgraph_is_told_in_units_of_each_variant_round_by_round() -> None:
    runs = [
        Run("hotgraph", TINY, 0, calls_per_s=1200, p50_ms=2, cpu_us=30),
        Run("hotgraph --lead never", TINY, 0, calls_per_s=1000, p50_ms=1, cpu_us=60),
        Run("hotgraph", TINY, 1, calls_per_s=100, p50_ms=20, cpu_us=300),
        Run("hotgraph --lead never", TINY, 1, calls_per_s=100, p50_ms=10, cpu_us=600),
    ]
    found = beside_itself(Results("", {}, {}, "", "", 2, runs=runs)).splitlines()[-1]
    assert found == (
        "| hotgraph --lead never | softmax, 1 row a call, 128 in flight | 1.1 (1 - 1.2) | 2 (2 - 2) "
        "| 0.5 (0.5 - 0.5) |"
    )
    assert beside_itself(Results("", {}, {}, "", "", 1, runs=runs[:1])) == ""


def test_commit_before_is_judged_by_the_ratio_within_a_round() -> None:
    few = Cell("softmax", 1, 8)
    runs = [Run("hotgraph", few, 0, calls_per_s=1200), Run(f"hotgraph@{BEFORE}", few, 0, calls_per_s=1000)]
    (mark,) = judged(Results("", {}, {}, "", "", 1, runs=runs))
    assert (mark.mark, mark.measured, mark.met) == ("at least 1.3", "1.2", False)


def test_marks_are_judged_where_they_were_measured(results: Results) -> None:
    text = markdown(results)
    assert "| softmax, 128 in flight: hotgraph / Triton, calls/s | at least 1.5 | 2 | yes |  |" in text
    assert "C++ echo" not in text.partition("## softmax")[0]


def test_everything_that_went_wrong_is_told(results: Results) -> None:
    remarks = markdown(results).partition("## Remarks")[2]
    for told in (
        "left out: LitServe: no network",
        "mosec: softmax, 1 row a call, 128 in flight: it broke",
        "Triton 2.51, Python backend: 3 calls got an error",
        "a note",
        NOT_TO_BE_HAD,
    ):
        assert told in remarks
    assert "| hotgraph | triton | 1 | - | - | - | no ModelConfig |" in markdown(results)


def test_results_survive_their_file(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path / "results.json")
    assert read(tmp_path / "results.json") == results


def test_duty_is_run_time_over_the_time_between_the_ends_of_runs() -> None:
    first, last = Statistics(10, 1, 5_000_000, 1_000), Statistics(40, 4, 95_000_000, 1_100)
    assert duty(first, last) == pytest.approx(0.9)
    assert rows_per_run(first, last) == 10


def test_no_duty_without_a_run_in_between() -> None:
    same = Statistics(10, 1, 5_000_000, 1_000)
    assert duty(same, same) is None
    assert rows_per_run(same, same) is None
    assert duty(None, same) is None


def test_perf_analyzers_ratios_are_taken_within_a_round() -> None:
    def seen(rival: str, kind: str, round_number: int, rate: float, failure: str = "") -> dict[str, Any]:
        row = {"rival": rival, "kind": kind, "in_flight": 1, "round": round_number, "failure": failure}
        return row if failure else row | {"calls_per_s": rate}

    found = [
        seen("hotgraph", "triton", 0, 100),
        seen("triton", "triton", 0, 50),
        seen("hotgraph", "triton", 1, 10),
        seen("triton", "triton", 1, 10),
        seen("hotgraph", "triton", 2, 10),
        seen("triton", "triton", 2, 0, "it broke"),
        seen("hotgraph", "triton, streaming", 0, 90),
        seen("triton", "triton, streaming", 0, 30),
        seen("hotgraph", "tfserving", 0, 7),
    ]
    title = "Triton 2.51, Python backend"
    assert perf_analyzer_ratios(found) == [
        [title, "triton", "1", "1.5 (1 - 2)"],
        [title, "triton, streaming", "1", "3"],
    ]
