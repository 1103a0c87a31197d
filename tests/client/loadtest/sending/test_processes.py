"""loadtest/sending/{processes,worker}.py: real processes, whose calls are counted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from hotgraph_client.loadtest.histograms import Histogram
from hotgraph_client.loadtest.load import Arrivals, Assignment, Destination, Ended, Interval, Payload
from hotgraph_client.loadtest.sending.merging import assignments_for, sum_of
from hotgraph_client.loadtest.sending.processes import Senders

from .servers import Server, Serving, grpc_talk, serving


class Counting:
    """A server that counts what it answers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls = 0
        self.serving: Serving

    def answer(self, server: Server, stream: int) -> None:
        with self.lock:
            self.calls += 1
        server.answer(stream, server.bodies[stream])


@pytest.fixture
def counting() -> Iterator[Counting]:
    counting = Counting()
    with serving(grpc_talk(counting.answer)) as counting.serving:
        yield counting


@pytest.fixture(scope="module")
def two() -> Iterator[Senders]:
    with Senders(2) as senders:
        yield senders


def assigned(port: int, arrivals: Arrivals, seconds: float = 0.3, host: str = "127.0.0.1") -> Assignment:
    payloads = (Payload("/t.T/A", (), b"first"), Payload("/t.T/A", (), b"second"))
    to = Destination(host, port, f"{host}:{port}")
    return Assignment(to, payloads, arrivals, begin_s=0.0, seconds=seconds, connections=2)


def totals(intervals: Sequence[Interval]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for one in intervals:
        counts.update({"due": one.due, "answered": one.answered, **one.errors})
    return dict(+counts)


def at_once(count: int) -> Arrivals:
    return Arrivals("trace", moments=np.zeros(count))


def gone(pid: int) -> bool:
    """Whether a process is no more, or is but to be buried; waited for."""
    for _ in range(600):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_several_processes_do_what_one_does(counting: Counting, two: Senders) -> None:
    assignment = assigned(counting.serving.port, at_once(200))
    heard: list[Interval] = []
    one = two.run([assignment])
    assert counting.calls == 200
    both = two.run(assignments_for(2, assignment), heard.append)
    assert counting.calls == 400
    for ended in (one, both):
        assert totals(ended.intervals) == {"due": 200, "answered": 200}
        assert [(answer.payload, answer.body, answer.count) for answer in ended.answers] == [
            (0, b"first", 100),
            (1, b"second", 100),
        ]
        assert Histogram.merged(interval.latency for interval in ended.intervals).count == 200
        assert Histogram.merged(interval.lag for interval in ended.intervals).count == 200
        assert (ended.fault, ended.unchecked) == ("", 0)
        assert ended.seconds == pytest.approx(0.3, abs=0.05)
        assert ended.cpu_s > 0
    summed: dict[int, Interval] = {}
    for interval in heard:
        before = summed.get(interval.second)
        summed[interval.second] = interval if before is None else sum_of(before, interval)
    assert [summed[second] for second in sorted(summed)] == both.intervals


def test_processes_begin_together_and_not_before_they_are_told(counting: Counting, two: Senders) -> None:
    begin_s = time.monotonic() + 1.0
    assignment = assigned(counting.serving.port, at_once(10))
    ended = two.run([Assignment(**{**vars(assignment), "begin_s": begin_s})])
    assert ended.began_s == begin_s
    assert two.run([assignment]).began_s > begin_s


def test_rate_may_be_changed_and_a_step_stopped_early(counting: Counting, two: Senders) -> None:
    assignment = assigned(counting.serving.port, Arrivals("uniform", rate=20.0), seconds=600.0)
    due = [0]

    def hear(interval: Interval) -> None:
        before, due[0] = due[0], due[0] + interval.due
        if before == 0:
            two.change(2000.0)
            two.change(weights=(0.0, 1.0))
        # Which took a minute at 20 a second.
        if due[0] > 1200:
            two.stop_early()
            with pytest.raises(ValueError, match="1 weights for 2 payloads"):
                two.change(weights=(1.0,))

    ended = two.run(assignments_for(2, assignment), hear)
    assert ended.fault == ""
    # In turn there were as many of the first.
    first, second = (answer.count for answer in ended.answers)
    assert first < second / 10
    assert 1200 < totals(ended.intervals)["answered"] == totals(ended.intervals)["due"]
    assert ended.seconds < 60.0


def test_killed_process_is_said_and_replaced(counting: Counting) -> None:
    assignment = assigned(counting.serving.port, Arrivals("closed", callers=4), seconds=600.0)
    with Senders(2) as senders:
        first, second = senders.pids

        def hear(_: Interval) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(second, signal.SIGKILL)

        ended = senders.run(assignments_for(2, assignment), hear)
        assert ended.fault == "a sending process has ended: signal 9"
        # The other was stopped, and what it knew is there.
        assert totals(ended.intervals)["answered"] > 0
        ended = senders.run(assignments_for(2, assigned(counting.serving.port, at_once(10))))
        assert (ended.fault, totals(ended.intervals)) == ("", {"due": 10, "answered": 10})
        assert first in senders.pids
        assert second not in senders.pids
        pids = senders.pids
    assert senders.pids == []
    assert all(gone(pid) for pid in [*pids, second])


def test_assignment_that_cannot_be_carried_out_is_said(two: Senders) -> None:
    nowhere = assigned(80, at_once(1), host="no.such.host.invalid")
    ended = two.run([nowhere, nowhere])
    assert "host 'no.such.host.invalid'" in ended.fault
    assert ended.intervals == []


def test_what_goes_wrong_in_the_listener_is_heard_and_the_next_step_is_whole(
    counting: Counting, two: Senders
) -> None:
    def hear(_: Interval) -> None:
        raise ZeroDivisionError

    endless = assigned(counting.serving.port, Arrivals("closed", callers=2), seconds=600.0)
    with pytest.raises(ZeroDivisionError):
        two.run(assignments_for(2, endless), hear)
    ended = two.run(assignments_for(2, assigned(counting.serving.port, at_once(10))))
    assert (ended.fault, totals(ended.intervals)) == ("", {"due": 10, "answered": 10})


def test_more_assignments_than_processes_are_refused(two: Senders) -> None:
    with pytest.raises(ValueError, match="3 assignments for 2 processes"):
        two.run([assigned(1, at_once(1))] * 3)
    with pytest.raises(ValueError, match="0 assignments"):
        two.run([])
    with pytest.raises(ValueError, match="rate"):
        two.change(-1.0)
    with pytest.raises(ValueError, match="0 processes"):
        Senders(0)


def test_calls_that_reach_nobody_are_no_fault(two: Senders) -> None:
    with serving(lambda sock: None) as server:
        port = server.port
    ended: Ended = two.run([assigned(port, at_once(3))])
    assert totals(ended.intervals) == {"due": 3, "UNREACHABLE": 3}
    assert ended.fault == ""


PROGRAM = """
import os, signal, sys
from hotgraph_client.loadtest.load import Arrivals, Assignment, Destination, Payload
from hotgraph_client.loadtest.sending.merging import assignments_for
from hotgraph_client.loadtest.sending.processes import Senders

to = Destination("127.0.0.1", int(sys.argv[1]), "x")
closed = Arrivals("closed", callers=2)
assignment = Assignment(to, (Payload("/t.T/A", (), b""),), closed, begin_s=0.0, seconds=600.0)
with Senders(2) as senders:
    said = []
    def hear(interval):
        if not said:
            said.append(print(*senders.pids, flush=True))
    senders.run(assignments_for(2, assignment), hear)
"""
"""Without a guard around anything."""


@contextlib.contextmanager
def running(port: int) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A program in the middle of a step, and the processes that it has."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            assert program.stdout is not None
            yield program, [int(pid) for pid in program.stdout.readline().split()]
        finally:
            program.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nobody_is_left_when_the_program_ends(counting: Counting, how: signal.Signals) -> None:
    with running(counting.serving.port) as (program, pids):
        assert len(pids) == 2
        # As a terminal's Ctrl-C does, to all of its group.
        os.killpg(program.pid, how)
        _, errors = program.communicate(timeout=60)
        assert program.returncode == -how
        assert errors.count("Traceback") == (how is signal.SIGINT)
        assert all(gone(pid) for pid in pids)


def test_what_sends_loads_neither_grpc_nor_histograms() -> None:
    program = """
import sys
import hotgraph_client.loadtest.sending.worker
tops = {name.partition(".")[0] for name in sys.modules}
assert not tops & {"grpc", "google", "hdrh", "rich", "tensorflow", "hotgraph_server"}, tops
"""
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        timeout=100,
    )
