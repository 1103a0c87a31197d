"""What limits the throughput, from figures that a test chooses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hotgraph_server.observability.admin.limits import Counts, Finding, Key, Sample, limits

M: Key = ("m", 1)
OTHER: Key = ("other", 2)
SECONDS = 5.0


def of(versions: dict[Key, Counts], before: Sample | None = None, **more: Any) -> Any:
    """The findings of a server that has done that in five seconds."""
    before = before or Sample(100.0, processors=4, python_cpu_s=0.0)
    now = dataclasses.replace(
        before, now_s=before.now_s + SECONDS, versions=versions, **{"python_cpu_s": 0.5, **more}
    )
    return limits(before, now)


def of_one(counts: Counts, **more: Any) -> list[Finding]:
    _, versions = of({M: counts}, **more)
    found: list[Finding] = versions[M]
    return found


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def test_version_without_calls_is_idle() -> None:
    assert of_one(Counts()) == [Finding("idle", "idle: no calls")]
    assert of_one(Counts(10, 10, 10, 0.15)) == [Finding("idle", "idle: 3 % of the time in runs")]


def test_version_that_answers_what_comes_is_limited_by_nothing() -> None:
    (finding,) = of_one(Counts(calls=1000, runs=100, rows=1000, ran_s=2.0, waited_s=2.0))
    assert finding == Finding(
        "none", "nothing: 40 % of the time in runs, 10 rows a run; calls wait 2 ms each"
    )


def test_busy_executor_is_the_graphs_limit() -> None:
    graph, *others = of_one(Counts(calls=1550, runs=50, rows=1550, ran_s=4.85))
    assert graph.text == "the graph is the limit: 97 % of the time in runs, 31 rows a run"
    assert "intra-op-threads" in graph.advice
    assert not others


def test_busy_executor_without_company_is_told_that_calls_come_one_by_one() -> None:
    (graph,) = of_one(Counts(calls=50, runs=50, rows=50, ran_s=4.85))
    assert "one after the other" in graph.advice


def test_busy_executor_whose_calls_run_alone_is_told_why() -> None:
    graph, alone = of_one(Counts(calls=50, runs=50, rows=50, ran_s=4.85), alone={M: "the settings say so"})
    assert (graph.kind, alone.text) == ("graph", "each call runs alone: the settings say so")
    assert "one after the other" not in graph.advice
    assert "batching" in alone.advice


def test_share_is_of_all_processes() -> None:
    assert kinds(of_one(Counts(100, 100, 100, 4.9), processes=1)) == ["graph"]
    assert kinds(of_one(Counts(100, 100, 100, 4.9), processes=2)) == ["none"]


def test_busy_python_is_the_fronts_limit() -> None:
    counts = Counts(calls=20_000, runs=2000, rows=20_000, ran_s=1.5)
    # The executor's thread has itself done what its runs took.
    busy: dict[str, Any] = {"cpu_s": 6.0, "python_cpu_s": 6.0, "executors_cpu_s": 1.6}
    server, versions = of({M: counts, OTHER: Counts()}, **busy)
    assert "takes 90 % of a processor, and the interpreter" in server[0].text
    assert "processes" in server[0].advice
    # It limits those who are called, and no others.
    assert kinds(versions[M]) == ["front"]
    assert kinds(versions[OTHER]) == ["idle"]


def test_time_in_runs_is_not_the_fronts() -> None:
    counts = Counts(calls=100, runs=100, rows=100, ran_s=4.0)
    assert kinds(of_one(counts, python_cpu_s=4.6, executors_cpu_s=4.1, cpu_s=9.0)) == ["none"]


def test_what_the_system_does_not_tell_limits_nothing() -> None:
    counts = Counts(calls=20_000, runs=2000, rows=20_000, ran_s=1.5)
    assert kinds(of_one(counts, python_cpu_s=None)) == ["none"]


def test_busy_machine_comes_before_the_front() -> None:
    counts = Counts(calls=100, runs=100, rows=100, ran_s=2.0)
    server, versions = of({M: counts}, cpu_s=19.5, python_cpu_s=5.0)
    assert kinds(server) == kinds(versions[M]) == ["processors"]
    assert server[0].text == "the processors are the limit: 3.9 of 4 are busy"


def test_one_busy_processor_is_told_of_by_graph_and_front() -> None:
    before = Sample(100.0, processors=1, python_cpu_s=0.0)
    counts = Counts(calls=100, runs=100, rows=100, ran_s=2.0)
    assert kinds(of({M: counts}, before, cpu_s=5.0, python_cpu_s=1.0)[1][M]) == ["none"]


def test_full_queue_is_told_with_what_fills_it() -> None:
    graph, queue = of_one(Counts(1000, 100, 1000, ran_s=4.8, full=600))
    assert (graph.kind, queue.text) == ("graph", "120 calls/s refused: the queue is full")
    assert "max-queued-calls" in queue.advice
    (burst,) = of_one(Counts(1000, 100, 1000, ran_s=1.0, full=600))
    assert burst.text == "120 calls/s refused: the queue is full, with 20 % of the time in runs"
    assert "bursts" in burst.advice


def test_deadlines_are_told_apart() -> None:
    (deadline,) = of_one(Counts(1000, 100, 1000, ran_s=1.0, late=10, expired=3))
    assert deadline.text == (
        "2 calls/s refused: the answer would come past the deadline;"
        " 0.6 calls/s given up: the deadline passed while they waited"
    )
    assert "default-timeout-ms" in deadline.advice


def test_calls_that_are_held_by_one_run_are_refused_though_nothing_has_run() -> None:
    (queue,) = of_one(Counts(full=5))
    assert queue.text == "1 calls/s refused: the queue is full, with 0 % of the time in runs"


def test_only_what_has_grown_counts() -> None:
    before = Sample(100.0, processors=4, python_cpu_s=0.0, versions={M: Counts(9, 9, 9, 90.0, full=7)})
    _, versions = of({M: Counts(9, 9, 9, 90.0, full=7)}, before)
    assert kinds(versions[M]) == ["idle"]
    # One that was loaded anew has begun at 0.
    _, versions = of({M: Counts(5, 5, 5, 4.9)}, before)
    assert kinds(versions[M]) == ["graph"]


def test_server_names_the_busiest() -> None:
    busy, busier = Counts(50, 50, 100, 4.4), Counts(50, 50, 100, 4.9)
    ((graph), *others) = of({M: busy, OTHER: busier})[0]
    assert graph.text.startswith("other, and 1 more: the graph is the limit: 98 %")
    assert not others


@pytest.mark.parametrize(
    ("ran_s", "text"),
    [
        (0.1, "idle: the busiest model is 2.0 % of the time in runs"),
        (2.5, "nothing: what comes is answered; the busiest model, m, is 50 % of the time in runs"),
    ],
)
def test_server_with_time_left_says_how_much(ran_s: float, text: str) -> None:
    assert [one.text for one in of({M: Counts(9, 9, 9, ran_s), OTHER: Counts()})[0]] == [text]


def test_server_without_models_says_so() -> None:
    assert [one.text for one in of({})[0]] == ["no model is there yet"]
