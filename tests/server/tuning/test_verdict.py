from __future__ import annotations

import dataclasses
import json

import pytest

from hotgraph_server.tuning.confirmation import Measured, Turn
from hotgraph_server.tuning.document import lines, tune_of
from hotgraph_server.tuning.prediction import Candidate
from hotgraph_server.tuning.replicas import replicas
from hotgraph_server.tuning.search import Found, Problem, search
from hotgraph_server.tuning.verdict import Tuning, best_of, is_shown, to_confirm, trust_in, verdict_of, voided

from .curves import curve, problem


def affine(rows: int) -> float:
    return 0.004 + 0.0005 * rows


@pytest.fixture(scope="module")
def asked() -> Problem:
    """One thread is a little slower, and takes a quarter of the processors."""
    slower = curve(lambda rows: 1.4 * affine(rows), {"intra_op_threads": 1})
    return problem(curve(affine, cpu=3.6, threads=4), slower, rate=100.0)


@pytest.fixture(scope="module")
def found(asked: Problem) -> Found:
    return search(asked)


def turns(*p99_ms: float, cores: float, in_time: float = 0.0) -> Measured:
    """`in_time`: the share that was answered within 50 ms; 0: nobody tells."""
    shares = [(in_time, 0.05), (1.0, 1.0)] if in_time else []
    return Measured([Turn({"p50": ms / 2e3, "p99": ms / 1e3}, 100.0, 0.0, cores, shares) for ms in p99_ms])


def few_in_time() -> Measured:
    return turns(90, 91, 92, cores=1.0, in_time=0.1)


def tuning(asked: Problem, found: Found, measured: dict[Candidate, Measured]) -> Tuning:
    best = best_of(found, measured, asked.slo)
    verdict = verdict_of(found, measured, best, asked.slo)
    costs = list(asked.costs.values())
    return Tuning("m", 100.0, asked.slo, costs, found, measured, "", best, verdict)


def with_replicas(asked: Problem, whole: Tuning) -> Tuning:
    return dataclasses.replace(
        whole,
        replicas=tuple(replicas(asked.at(1), whole.found.tried[:1], whole.trust)),
        replicas_for=400.0,
    )


def test_the_defaults_and_the_best_are_confirmed(found: Found) -> None:
    chosen = to_confirm(found, 2)
    assert chosen[:2] == [found.default.candidate, found.best.candidate]
    assert len(set(chosen)) == 3
    assert to_confirm(found, 0) == [found.default.candidate]


def test_without_a_load_the_prediction_decides(asked: Problem, found: Found) -> None:
    whole = tuning(asked, found, {})
    assert whole.best is found.best
    assert whole.verdict.startswith(
        "better than the defaults: intra_op_threads=1. It takes fewer processors: p99"
    )
    assert "(predicted)" in whole.verdict
    assert not whole.trust.confirmed


def test_a_load_that_shows_it_is_told_of_with_its_figures(asked: Problem, found: Found) -> None:
    measured = {
        found.default.candidate: turns(11, 12, 11, cores=2.0),
        found.best.candidate: turns(14, 15, 14, cores=1.0),
    }
    whole = tuning(asked, found, measured)
    assert whole.best is found.best
    assert "It takes fewer processors: p99 11 -> 14 ms, 2.00 -> 1.00 processors busy (meas" in whole.verdict
    assert " rows a run. p99<50ms holds" in whole.verdict
    assert whole.verdict.endswith("p99<50ms holds")
    assert whole.trust.confirmed
    assert trust_in(found, measured).low < trust_in(found, measured).high


def test_a_load_that_does_not_show_it_leaves_the_defaults(asked: Problem, found: Found) -> None:
    measured = {
        found.default.candidate: turns(11, 12, 11, cores=1.0),
        found.best.candidate: turns(12, 11, 12, cores=1.0),
    }
    whole = tuning(asked, found, measured)
    assert whole.best is found.default
    assert whole.verdict.startswith("the defaults are as good")
    assert "a real load did not show it" in whole.verdict


@pytest.mark.parametrize(
    ("default", "other", "said"),
    [
        (turns(60, 61, 62, cores=1.0), turns(20, 21, 22, cores=1.5), "The objective is kept, which the def"),
        (turns(20, 21, 22, cores=1.0), turns(10, 11, 12, cores=0.95), "The tail is shorter"),
        (turns(90, 91, 92, cores=1.0), turns(60, 61, 62, cores=0.5), "The tail is shorter"),
        (
            few_in_time(),
            turns(190, 191, 192, cores=0.5, in_time=0.5),
            "More calls are answered in time: 10 -> 50",
        ),
    ],
    ids=["objective", "tail", "tail of what fails", "in time"],
)
def test_what_is_better_about_the_best_is_said(
    asked: Problem, found: Found, default: Measured, other: Measured, said: str
) -> None:
    measured = {found.default.candidate: default, found.best.candidate: other}
    whole = tuning(asked, found, measured)
    assert whole.best is found.best
    assert f"{found.best.candidate.label}. {said}" in whole.verdict
    kept = not other.broken(asked.slo)
    assert whole.verdict.endswith("p99<50ms holds") == kept


def test_where_no_load_of_the_defaults_counts_nothing_is_better(asked: Problem, found: Found) -> None:
    void = Measured([None, None], [], ["the sender was 9 ms late", "the sender was 7 ms late"])
    measured = {found.default.candidate: void, found.best.candidate: turns(1, 1, cores=0.1)}
    whole = tuning(asked, found, measured)
    assert whole.best is found.default
    assert whole.verdict.startswith("nothing is shown")
    assert "intra_op_threads=1 was predicted to be better" in whole.verdict
    assert not is_shown(found, measured)
    assert is_shown(found, {found.default.candidate: turns(1, cores=1.0)})
    assert voided(measured) == [
        "2 of 4 turns under a real load do not count; the last: the sender was 7 ms late"
    ]
    assert voided({found.best.candidate: turns(1, cores=0.1)}) == []


def test_an_objective_that_does_not_hold_is_said_with_the_reason(asked: Problem, found: Found) -> None:
    measured = {found.default.candidate: turns(60, 61, 60, cores=1.0)}
    assert "p99<50ms does not hold: p99 is 60 ms, not <50ms" in tuning(asked, found, measured).verdict


def test_the_document_is_json_and_names_the_best_the_default_and_the_front(
    asked: Problem, found: Found
) -> None:
    measured = {
        found.default.candidate: turns(11, 12, 11, cores=2.0),
        found.best.candidate: turns(14, 15, 14, cores=1.0),
    }
    whole = with_replicas(asked, tuning(asked, found, measured))
    tune = json.loads(json.dumps(tune_of(whole), allow_nan=False))
    assert tune["slo"] == "p99<50ms"
    assert tune["best"] == "intra_op_threads=1"
    by_label = {one["label"]: one for one in tune["candidates"]}
    assert [one for one in tune["candidates"] if one["default"]] == [by_label["defaults"]]
    assert by_label["intra_op_threads=1"]["settings"] == {"intra_op_threads": 1}
    assert by_label["intra_op_threads=1"]["pareto"]
    assert by_label["defaults"]["measured"]["turns"] == pytest.approx([11, 12, 11])
    assert set(by_label["defaults"]["predicted"]) >= {
        "p50_ms",
        "p99_ms",
        "goodput_per_s",
        "duty",
        "rows_per_run",
    }
    assert {(one["plan"], one["rows"]) for one in tune["costs"]} >= {("as today (as saved)", 1)}
    assert by_label["defaults"]["measured"]["holds"]
    assert tune["replicas_for"] == 400
    for one in tune["replicas"]:
        assert one["holds"] == (one["kept"] == "yes")
        assert one["low_ms"] <= one["predicted_p99_ms"] <= one["high_ms"]


def test_the_table_shows_the_same(asked: Problem, found: Found) -> None:
    whole = tuning(asked, found, {found.default.candidate: turns(11, cores=2.0)})
    text = "\n".join(lines(with_replicas(asked, whole)))
    assert "m at 100 calls/s, p99<50ms" in text
    assert "  as saved: as today, intra_op_threads=1" in text
    assert "* defaults" in text
    assert "verdict: " in text
    assert "replicas for 400 calls/s" in text
    assert "from, to: real loads had" in text
    without = "\n".join(lines(tuning(asked, found, {})))
    assert "measured" not in without
    assert "replicas" not in without
