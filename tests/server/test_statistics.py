from __future__ import annotations

import threading

from hotgraph_server.statistics import Statistics

from .fakes import HANG_S, switching_often

NS = 1_000_000_000


def test_each_member_of_a_batch_adds_its_own_wait_and_the_whole_run() -> None:
    statistics = Statistics()
    statistics.add_run([1.0, 2.0], rows=5, started=3.0, ended=3.5)
    figures = statistics.snapshot()
    assert (figures.rows, figures.runs) == (5, 1)
    assert (figures.queue.count, figures.queue.ns) == (2, 3 * NS)
    assert (figures.run.count, figures.run.ns) == (2, NS)
    assert (figures.success.count, figures.success.ns) == (2, 4 * NS)
    assert figures.fail.count == 0
    assert {rows: (total.count, total.ns) for rows, total in figures.by_rows.items()} == {5: (1, NS // 2)}
    assert figures.last_run_ms > 0


def test_run_that_failed_counts_as_a_run_and_answers_no_rows() -> None:
    statistics = Statistics()
    statistics.add_run([1.0], rows=5, started=2.0, ended=2.5, failed=True)
    figures = statistics.snapshot()
    assert (figures.rows, figures.runs) == (0, 1)
    assert (figures.success.count, figures.fail.count, figures.fail.ns) == (0, 1, 3 * NS // 2)


def test_snapshot_is_of_one_moment() -> None:
    statistics = Statistics()
    statistics.add_run([0.0], rows=1, started=0.0, ended=1.0)
    before = statistics.snapshot()
    statistics.add_run([0.0], rows=1, started=0.0, ended=1.0)
    assert (before.runs, before.success.count, before.run.count, before.by_rows[1].count) == (1, 1, 1, 1)


def test_callers_cannot_grow_the_sizes_without_end() -> None:
    statistics = Statistics()
    for rows in range(1, 3001):
        statistics.add_run([0.0], rows=rows, started=0.0, ended=1.0)
    statistics.add_run([0.0], rows=1, started=0.0, ended=1.0)
    figures = statistics.snapshot()
    assert len(figures.by_rows) == 1024
    assert figures.by_rows[1].count == 2
    assert figures.runs == 3001


def test_readers_see_whole_runs_only() -> None:
    statistics = Statistics()
    done = threading.Event()

    def write() -> None:
        for _ in range(2000):
            statistics.add_run([0.0] * 3, rows=3, started=0.0, ended=1.0)
        done.set()

    writer = threading.Thread(target=write)
    with switching_often():
        writer.start()
        while not done.is_set():
            figures = statistics.snapshot()
            assert figures.rows == figures.success.count == figures.queue.count == 3 * figures.runs
        writer.join(HANG_S)
    assert statistics.snapshot().runs == 2000
