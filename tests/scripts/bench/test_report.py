"""The report: tables that hold the figures, marks that are judged, reasons that are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.figures import Run
from bench.measuring import Statistics, duty, rows_per_run
from bench.report import markdown, number, perf_analyzer_ratios, table
from bench.results import Results, read
from bench.rivals import NOT_TO_BE_HAD
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
    assert "| limit: bare loop, as saved | 200 000 | 0.045 | - | - | - | - | - | - | - |" in markdown(results)


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
