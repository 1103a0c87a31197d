"""The plan: how a signature is run. What it says here, how it is found in plan_search.py.

Two forms of a graph: as saved, or frozen, its variables made constants, which lets TensorFlow fold and
fuse what it could not before. Two ways to run it: in the caller's thread, which spares small graphs the
hand-over, or on TensorFlow's pool, which lets wide graphs run their branches side by side. And for
chosen numbers of rows a third form, compiled by XLA.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Form(enum.Enum):
    """Which graph is run."""

    AS_SAVED = "as saved"
    FROZEN = "frozen"


class Threads(enum.Enum):
    """Where a run executes its ops."""

    CALLER = "in the caller's thread"
    POOL = "on the pool"


@dataclass(frozen=True)
class Plan:
    """How a signature is run. Two plans are equal if they run it alike, whatever was measured.

    Attributes:
        form: of the graph.
        threads: where its ops are executed.
        xla_rows: the numbers of rows at which runs go through what XLA has compiled for just these;
            with any other number they go the plain way, so that nothing is ever compiled in service.
        reason: why so, for the log and for people.
        rows: how many rows the runs had from which the times come; 0: nothing was measured.
        run_s: seconds that a run of this plan took, the median; 0.0: nothing was measured.
        as_saved_s: seconds that a run of the graph as saved in the caller's thread took, likewise.
        gain: as saved / this plan, the median over pairs of runs that followed each other: above 1 it is
            faster; 1.0 where the plan is as saved, or nothing was measured.
        xla_gains: for each of `xla_rows`: the same plan without XLA / with it, likewise.
    """

    form: Form
    threads: Threads
    xla_rows: tuple[int, ...] = ()
    reason: str = field(default="", compare=False)
    rows: int = field(default=0, compare=False)
    run_s: float = field(default=0.0, compare=False)
    as_saved_s: float = field(default=0.0, compare=False)
    gain: float = field(default=1.0, compare=False)
    xla_gains: tuple[float, ...] = field(default=(), compare=False)

    @property
    def xla(self) -> bool:
        """Does any run go through XLA?"""
        return bool(self.xla_rows)

    @property
    def way(self) -> str:
        """How it runs, in words."""
        rows = ", ".join(map(str, self.xla_rows))
        return f"{self.form.value}, {self.threads.value}" + (f", by XLA at {rows} rows" if rows else "")

    def __str__(self) -> str:
        return f"{self.way}: {self.reason}"


AS_SAVED = Plan(Form.AS_SAVED, Threads.CALLER)
