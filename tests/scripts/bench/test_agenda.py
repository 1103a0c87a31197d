"""Who is measured where, how long and how often."""

from __future__ import annotations

from collections.abc import Sequence

from bench import agenda
from bench.figures import Run
from bench.marks import MARKS
from bench.options import MODEL_NAMES, RIVAL_NAMES, parse
from bench.results import Results
from bench.variants import BEFORE
from bench.workload import MODELS, Cell

VARIANTS = ("hotgraph --lead never", "hotgraph --processes 2", f"hotgraph@{BEFORE}")


def test_everything_is_every_rival_at_every_size_that_fits() -> None:
    entries = agenda.everything(["mobilenet"], [1, 512], [1], ["hotgraph", "echo"], 3, None)
    assert [(entry.cell, entry.rivals, entry.rounds) for entry in entries] == [
        (Cell("mobilenet", 1, 1), ("hotgraph", "echo"), 3)
    ]
    assert entries[0].seconds == MODELS["mobilenet"].seconds


def test_no_rival_is_measured_twice_in_a_round() -> None:
    entries = agenda.marks(RIVAL_NAMES, MODEL_NAMES, 5, None)
    measured = [(entry.cell, rival) for entry in entries for rival in entry.rivals]
    assert len(measured) == len(set(measured))


def test_marks_have_all_the_rounds_and_the_picture_two() -> None:
    entries = agenda.marks(RIVAL_NAMES, MODEL_NAMES, 5, None)
    assert {entry.rounds for entry in entries} == {5, 2}
    rounds = {(entry.cell, rival): entry.rounds for entry in entries for rival in entry.rivals}
    assert rounds[Cell("softmax", 1, 128), "triton"] == 5
    assert rounds[Cell("softmax", 1, 512), "triton"] == 2


def test_rivals_and_models_that_were_not_asked_for_are_left_out() -> None:
    entries = agenda.marks(["hotgraph", "echo"], ["identity"], 1, 0.5)
    assert [(entry.cell, entry.rivals, entry.seconds) for entry in entries] == [
        (Cell("identity", 1, 8), ("hotgraph", "echo"), 0.5)
    ]


def silent(entries: Sequence[agenda.Entry]) -> list[str]:
    """The marks that say nothing after these have been measured."""
    runs = [
        Run(rival, entry.cell, 0, calls_per_s=1, p50_ms=1, duty=1, run_ms=1, rows_per_run=1)
        for entry in entries
        for rival in entry.rivals
    ]
    results = Results("", {}, {}, "", "", 1, runs=runs)
    return [mark.title for mark in MARKS if mark.value(results) is None]


def test_every_mark_that_comes_from_runs_is_on_the_agenda() -> None:
    entries = agenda.marks((*RIVAL_NAMES, *VARIANTS), MODEL_NAMES, 1, None)
    # These do not come from runs.
    assert all("memory" in mark or "Predict" in mark or "start-up" in mark for mark in silent(entries))


def test_quick_run_has_the_marks_that_a_change_of_the_server_moves() -> None:
    entries = agenda.quick((*parse(["--quick"]).rivals, *VARIANTS), MODEL_NAMES, 1, None)
    others = ("mosec", "public API", "MobileNetV2", "memory", "Predict", "start-up")
    assert all(any(other in mark for other in others) for mark in silent(entries))


def test_rivals_over_http_are_measured_beside_those_that_their_marks_name() -> None:
    for flag in ("--marks", "--quick"):
        entries = [entry for entry in parse([flag]).agenda if set(entry.rivals) & set(agenda.OVER_HTTP)]
        assert {entry.rivals for entry in entries} == {
            ("hotgraph-http", "triton-http"),
            ("hotgraph-json", "triton-json"),
        }


def test_variants_are_measured_where_they_can_differ() -> None:
    entries = agenda.marks(("hotgraph", *VARIANTS), MODEL_NAMES, 1, None)
    places = {name: {entry.cell for entry in entries if name in entry.rivals} for name in VARIANTS}
    lead, processes, commit = VARIANTS
    assert {cell.in_flight for cell in places[lead]} == {1, 8, 32, 128, 512}
    assert {cell.in_flight for cell in places[processes]} == {128, 512}
    assert {cell.model for cell in places[lead] | places[processes]} == {"softmax"}
    assert {cell.model for cell in places[commit]} == {"softmax", "mlp", "identity"}


def test_marks_fit_into_half_an_hour_and_the_quick_ones_into_twelve_minutes() -> None:
    assert agenda.expected_s(parse(["--marks"]).agenda) < 24 * 60
    # Servers have to start, and perf_analyzer and overload want their four minutes.
    assert agenda.expected_s(parse(["--quick"]).agenda) < 8 * 60
