"""What a version has done so far: counts and durations, for the statistics call."""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass, field

# Callers choose the sizes of large calls; past this many different ones no new size gets a row.
_MAX_SIZES = 1024


@dataclass
class Total:
    """How often something happened, and how long it took in all, nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, count: int = 1) -> None:
        """Count `count` happenings of `seconds` each."""
        self.count += count
        self.ns += int(seconds * 1e9) * count


@dataclass
class Snapshot:
    """The figures at one moment.

    Durations are summed per call, so each member of a batch adds the whole time of its run, as
    Triton's clients expect it. `by_rows` counts runs.
    """

    rows: int = 0
    runs: int = 0
    last_run_ms: int = 0  # wall clock, since the epoch
    success: Total = field(default_factory=Total)
    fail: Total = field(default_factory=Total)
    queue: Total = field(default_factory=Total)
    run: Total = field(default_factory=Total)
    by_rows: dict[int, Total] = field(default_factory=dict)


class Statistics:
    """The executor adds, anybody reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the figures: a reader must see whole runs
        self._figures = Snapshot()

    def add_run(
        self, arrivals: list[float], rows: int, started: float, ended: float, *, failed: bool = False
    ) -> None:
        """Count a run.

        Args:
            arrivals: when its calls came, monotonic seconds.
            rows: its rows.
            started, ended: monotonic seconds.
            failed: its calls got an error instead of answers.
        """
        with self._lock:
            figures = self._figures
            figures.runs += 1
            figures.last_run_ms = int(time.time() * 1000)
            if not failed:
                figures.rows += rows
            figures.run.add(ended - started, len(arrivals))
            if rows in figures.by_rows or len(figures.by_rows) < _MAX_SIZES:
                figures.by_rows.setdefault(rows, Total()).add(ended - started)
            outcome = figures.fail if failed else figures.success
            for arrived in arrivals:
                figures.queue.add(started - arrived)
                outcome.add(ended - arrived)

    def snapshot(self) -> Snapshot:
        """A copy of the figures."""
        with self._lock:
            figures = self._figures
            return dataclasses.replace(
                figures,
                success=dataclasses.replace(figures.success),
                fail=dataclasses.replace(figures.fail),
                queue=dataclasses.replace(figures.queue),
                run=dataclasses.replace(figures.run),
                by_rows={rows: dataclasses.replace(total) for rows, total in figures.by_rows.items()},
            )
