"""h2load: its command line, its report, and the log of every call that it keeps.

h2load is a C program, so the generator costs the shared cores little. It does not know gRPC: a call that
ends with an error is HTTP status 200 to it. But such an answer has no body, so the bytes that came back
tell (`Load.check_sizes`).

The report has only mean and extremes; percentiles come from the log.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.workload import connections

_REQUESTS = re.compile(
    r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, "
    r"(\d+) timeout"
)
_STATUS = re.compile(r"status codes: (\d+) 2xx")
_TRAFFIC = re.compile(r"traffic: .*, \S+ \((\d+)\) data")
_SPARE_S = 60.0
_MAX_FAILURES = 0.01
_LUMP_THAT_SHOWS = 0.01


class LoadFailed(Exception):
    """h2load gave no figures, or calls failed under it; the text says how."""


@dataclass(frozen=True)
class Report:
    """What h2load prints at its end, of the main duration; `data_bytes` are bodies, gRPC frames included."""

    done: int
    succeeded: int
    failed: int
    data_bytes: int


@dataclass(frozen=True)
class Load:
    """One run's outcome.

    Attributes:
        ended: when each call ended, seconds since the epoch; float64 [calls], ascending.
        latency_s: of each call; float64 [calls], in the same order.
        seconds: of the main duration.
        failures: calls that got an error or nothing; they are not in the arrays.
    """

    report: Report
    failures: int
    ended: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    seconds: float

    def calls_per_s(self, in_flight: int) -> float:
        """The rate at which calls ended.

        Calls of one batch end together, so counting those of a fixed time can be wrong by as many as are in
        flight. Where that could show, the rate is the slope of the line through the steps (least squares
        over the moments at which calls ended and how many had ended by then), which does not depend on
        where in a step the time began and ended.
        """
        count = len(self.ended)
        if in_flight <= _LUMP_THAT_SHOWS * count or count < 2:
            return count / self.seconds
        since = self.ended - self.ended[0]
        # A line needs more than a step or two.
        if since[-1] < self.seconds / 2:
            return count / self.seconds
        slope = np.polynomial.polynomial.polyfit(since, np.arange(count, dtype=np.float64), 1)[1]
        return float(slope)

    def latency_ms(self, percentile: float) -> float:
        """Milliseconds; not a number where no call ended."""
        return float(np.percentile(self.latency_s, percentile)) * 1e3 if len(self.latency_s) else float("nan")

    def calls_between(self, start: float, end: float) -> int:
        """How many calls ended between two moments, seconds since the epoch."""
        return int(np.searchsorted(self.ended, end) - np.searchsorted(self.ended, start))

    def check_sizes(self, answer_bytes: int, in_flight: int) -> None:
        """Were the answers as long as right ones are?

        Bytes of an answer that is under way when the duration begins or ends are counted on one side and
        the answer on the other, hence the allowance of what can be in flight.

        Raises:
            LoadFailed: bytes are missing; errors have no body.
        """
        expected = (self.report.done - in_flight) * answer_bytes
        if self.report.data_bytes < expected:
            raise LoadFailed(
                f"{self.report.data_bytes} bytes came back, right answers have {expected} or more"
            )


@dataclass(frozen=True)
class Target:
    """Whom to call with what. `http1`: over HTTP/1.1, with a connection for each call in flight."""

    url: str
    body: Path
    headers: Sequence[str]
    http1: bool


def command(target: Target, in_flight: int, seconds: float, warm_up_s: float, log: Path) -> list[str]:
    """The command line of a run of some seconds, which logs its calls."""
    # h2load takes whole numbers only.
    times = [f"--duration={round(seconds * 1000)}ms", f"--warm-up-time={round(warm_up_s * 1000)}ms"]
    return ["h2load", *times, f"--log-file={log}", *_call(target, in_flight)]


def counted_command(target: Target, in_flight: int, calls: int) -> list[str]:
    """The command line of a run of exactly `calls` calls, without a log."""
    return ["h2load", f"--requests={calls}", *_call(target, in_flight)]


def _call(target: Target, in_flight: int) -> list[str]:
    links, streams = (in_flight, 1) if target.http1 else connections(in_flight)
    words = [f"--clients={links}", f"--max-concurrent-streams={streams}", f"--data={target.body}"]
    words += ["--h1"] if target.http1 else []
    for header in target.headers:
        words += ["-H", header]
    return [*words, target.url]


def finish(process: subprocess.Popen[str], in_flight: int, seconds: float, log: Path) -> Load:
    """Wait for a run that was started with `command`, its stdout a pipe.

    Raises:
        LoadFailed: there are no figures, or more than one call in a hundred failed.
    """
    try:
        output, _ = process.communicate(timeout=seconds + _SPARE_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise LoadFailed(f"h2load did not end within {_SPARE_S:.0f} s of its time") from error
    report = parse_report(output)
    ended, latency_s, in_log = parse_log(log.read_text())
    failures = max(report.failed, in_log)
    if failures > _MAX_FAILURES * report.done:
        raise LoadFailed(f"{failures} of {report.done} calls failed with {in_flight} in flight")
    return Load(report, failures, ended, latency_s, seconds)


def parse_report(text: str) -> Report:
    """What h2load printed, as figures.

    Raises:
        LoadFailed: it is no report.
    """
    requests, status, traffic = (regex.search(text) for regex in (_REQUESTS, _STATUS, _TRAFFIC))
    if not (requests and status and traffic):
        last = (text.strip().splitlines() or ["nothing at all"])[-1]
        raise LoadFailed(f"h2load ended without a report; it said: {last}")
    _, _, done, succeeded, failed, _, _ = map(int, requests.groups())
    return Report(done, succeeded, failed, int(traffic[1]))


def parse_log(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """h2load's log as end times (seconds since the epoch, ascending), latencies (seconds), and failures.

    A line is start (microseconds since the epoch), HTTP status, duration (microseconds); failed calls are
    counted and left out.
    """
    rows = np.array([line.split("\t")[:3] for line in text.splitlines() if line], np.int64).reshape(-1, 3)
    good = rows[rows[:, 1] == 200]
    ended = good[:, 0] + good[:, 2]
    order = np.argsort(ended, kind="stable")
    return ended[order] / 1e6, good[order, 2] / 1e6, len(rows) - len(good)
