"""Everything that a run of the benchmark found out, and its form as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import Run, Tail
from bench.workload import Cell


@dataclass(frozen=True)
class Memory:
    """A server's resident memory as calls went by.

    Attributes:
        calls: answered by each moment, ascending.
        resident: bytes then.
    """

    rival: str
    model: str
    calls: tuple[int, ...]
    resident: tuple[int, ...]

    @property
    def ratio(self) -> float:
        """After the last calls, in units of that after the first."""
        return self.resident[-1] / self.resident[0]


@dataclass
class Results:
    """Grows as the benchmark goes on.

    Attributes:
        started: date and time, UTC.
        seconds: that it took.
        machine, versions: facts, without names or paths.
        revision: of the checkout.
        settings: of each rival that took part, by name.
        left_out: why others did not, by name.
        notes: what the reader must know besides: unchecked answers, servers that were frozen.
        idle_cores: what each server used while nobody called; by model, by rival.
        load: how the calls were made, in words.
        perf_analyzer: its rows, as it gave them, and why others are missing.
        memory: see `Memory`.
        tails: see `Tail`.
        quick: `--quick` was asked for, and not all marks.
        startup: what startup.py found (``serve_s`` and ``bare_s``, one for each round, and more); empty
            where it was not asked.
    """

    started: str
    machine: dict[str, str]
    versions: dict[str, str]
    revision: str
    load: str
    rounds: int
    quick: bool = False
    seconds: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    idle_cores: dict[str, dict[str, float]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    perf_analyzer: list[dict[str, Any]] = field(default_factory=list)
    tails: list[Tail] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    startup: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """As JSON; the file is there whole or as it was."""
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        draft.replace(path)


def read(path: Path) -> Results:
    """What `Results.write` wrote."""
    values = json.loads(path.read_text())
    values["runs"] = [Run(**{**run, "cell": Cell(**run["cell"])}) for run in values["runs"]]
    values["tails"] = [Tail(**{**row, "cell": Cell(**row["cell"])}) for row in values.get("tails", [])]
    values["memory"] = [
        Memory(**{**row, "calls": tuple(row["calls"]), "resident": tuple(row["resident"])})
        for row in values.get("memory", [])
    ]
    return Results(**values)
