"""In how many processes a server answers."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import Count, check, setting

MOST = 512
_ONE = Count(1)


@dataclass(frozen=True)
class ProcessSettings:
    """How many processes there are behind the ports; owned by processes/."""

    processes: int = setting(
        _ONE,
        "servers behind the same ports, each a process on processors of its own; auto: one for every two"
        " processors. More than one serve no models that change state, no sequences and no shared memory"
        " (docs/processes.md)",
        metavar="N|auto",
    )

    def __post_init__(self) -> None:
        check(0 <= self.processes <= MOST, f"processes must be auto or 1 to {MOST}, got {self.processes}")
