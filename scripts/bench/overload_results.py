"""Everything that the overload bench found out, and its form as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from bench.outcomes import Closed, Idle, Level


@dataclass
class Overload:
    """Grows as the bench goes on.

    Attributes:
        started: date and time, UTC.
        machine, versions, revision: as in `results.Results`.
        run_ms: of a run of a full batch, by a bare loop; several in each round.
        settings: of each server that took part, by name; `left_out`: why others did not.
    """

    started: str
    machine: dict[str, str]
    versions: dict[str, str]
    revision: str
    rounds: int
    deadline_ms: float
    run_ms: list[float] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """As JSON; the file is there whole or as it was."""
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        draft.replace(path)


def read(path: Path) -> Overload:
    """What `Overload.write` wrote."""
    values = json.loads(path.read_text())
    values["levels"] = [Level(**level) for level in values["levels"]]
    values["idle"] = [Idle(**idle) for idle in values["idle"]]
    values["closed"] = [Closed(**closed) for closed in values["closed"]]
    return Overload(**values)
