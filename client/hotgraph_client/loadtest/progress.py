"""What is seen while a load is on: a table in a terminal that is drawn anew, or a line each second without
one.

Everything goes to stderr. Who reads it may leave: a pipe that breaks ends the telling and not the load.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from . import table
from .document import ServerFigures, Step
from .load import Interval
from .plan import Load
from .steps import moment_of

_SPARK_SECONDS = 40
_SHOWN_STEPS = 12


def progress_on(stream: TextIO) -> Plain | Drawn:
    """The one that fits where it is shown."""
    if stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        return Drawn(stream)
    return Plain(stream)


class Plain:
    """A line for each second, in the order in which they pass. A context manager, as `Drawn` is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._pending: Interval | None = None

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self._pending = None

    def note(self, text: str) -> None:
        """A line of its own."""
        if self._stream is None:
            return
        try:
            print(text, file=self._stream, flush=True)
        except (OSError, ValueError):
            self._stream = None

    def began(self, load: Load, place: int, of: int | None, seconds: float) -> None:
        """See runner.Watcher; so for the others."""
        self._pending = None
        self.note(f"{_place(place, of)} {load.label}, {seconds:.0f} s")

    def second(self, interval: Interval, server: ServerFigures) -> None:
        """A second is told when the next one is there: then most of its answers are."""
        if self._pending is not None and interval.second > self._pending.second:
            self._tell(self._pending)
        if self._pending is None or interval.second >= self._pending.second:
            self._pending = interval

    def ended(self, step: Step) -> None:
        """The last second, and the whole."""
        if self._pending is not None:
            self._tell(self._pending)
        self._pending = None
        for line in table.table([step]):
            self.note(f"  {line}")

    def _tell(self, interval: Interval) -> None:
        moment = moment_of(interval)
        told = table.second_line(
            *(interval.second, interval.due, interval.answered),
            *(moment["p50_ms"], moment["p99_ms"], moment["lag_p99_ms"]),
        )
        errors = "".join(f"  {count} x {status}" for status, count in interval.errors.items())
        self.note(told + errors)


class Drawn:
    """A table of the steps, the one that is on with its last second, and how long it still takes."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic, **console: Any) -> None:
        from rich.live import Live

        self._clock = clock
        self._steps: list[Step] = []
        self._label, self._place = "", ""
        self._begun_s = self._whole_s = 0.0
        self._seconds: dict[int, Interval] = {}
        self._p99: dict[int, float | None] = {}
        self._server: ServerFigures = {}
        self._console = _console(stream, **console)
        self._live = Live(
            console=self._console, refresh_per_second=4, get_renderable=self._draw, transient=True
        )

    def __enter__(self) -> Drawn:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._live.stop()

    def note(self, text: str) -> None:
        """A line of its own."""
        with suppress(OSError):
            self._console.print(text, markup=False, highlight=False)

    def began(self, load: Load, place: int, of: int | None, seconds: float) -> None:
        """See runner.Watcher; so for the others."""
        self._label, self._place = load.label, _place(place, of)
        self._begun_s, self._whole_s = self._clock(), seconds
        self._seconds, self._p99, self._server = {}, {}, {}

    def second(self, interval: Interval, server: ServerFigures) -> None:
        """It is drawn with the next picture."""
        self._seconds = {**self._seconds, interval.second: interval}
        self._p99 = {**self._p99, interval.second: moment_of(interval)["p99_ms"]}
        self._server = server

    def ended(self, step: Step) -> None:
        """It becomes a row."""
        self._steps = [*self._steps, step]
        self._label = ""

    def _draw(self) -> Any:
        from rich.console import Group

        return Group(self._table(), *([self._bar(), self._spark()] if self._label else []))

    def _table(self) -> Any:
        from rich.table import Table

        rows: list[tuple[list[str], str | None]] = []
        for step in self._steps[-_SHOWN_STEPS:]:
            bad = step["void"] or step["wrong"] or step["errors"]
            rows.append((table.cells(step), "yellow" if bad else None))
        if self._label:
            rows.append((self._current(), "cyan"))
        columns = table.columns_within(self._console.width, [cells for cells, _ in rows])
        drawn = Table(box=None, header_style="bold", padding=(0, 1))
        for column in columns:
            drawn.add_column(table.HEADINGS[column], justify="left" if column == 0 else "right", no_wrap=True)
        for cells, style in rows:
            drawn.add_row(*(cells[column] for column in columns), style=style)
        return drawn

    def _current(self) -> list[str]:
        # the one before the last: of that the answers are there
        seconds = sorted(self._seconds)[-2:]
        if not seconds:
            return [self._label, *[""] * (len(table.HEADINGS) - 1)]
        interval = self._seconds[seconds[0]]
        moment = moment_of(interval)
        return [
            self._label if interval.second >= 0 else f"{self._label} warm-up",
            *(str(interval.due), str(interval.answered)),
            *(table.number(moment["p50_ms"]), "", table.number(moment["p99_ms"]), ""),
            table.number(moment["max_ms"]),
            *(str(sum(interval.errors.values())), "", table.number(moment["lag_p99_ms"])),
            table.number(self._server.get("rows_per_run")),
            table.number(self._server.get("queue_wait_ms")),
        ]

    def _bar(self) -> Any:
        from rich.columns import Columns
        from rich.progress_bar import ProgressBar

        passed = min(self._clock() - self._begun_s, self._whole_s)
        if not math.isfinite(self._whole_s) or self._whole_s > 1e6:
            return f"{self._place}, until it is stopped"
        bar = ProgressBar(total=self._whole_s, completed=passed, width=40)
        return Columns([self._place, bar, f"{max(self._whole_s - passed, 0):.0f} s left"])

    def _spark(self) -> str:
        last = sorted(self._p99)[-_SPARK_SECONDS:]
        return f"p99 {table.sparkline(self._p99[second] for second in last)}"


def _console(stream: TextIO, **settings: Any) -> Any:
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            """Rich's own would end the process."""
            self.quiet = True

    return Patient(file=stream, **settings)


def _place(place: int, of: int | None) -> str:
    return f"run {place}" if of is None else f"run {place} of {of}"
