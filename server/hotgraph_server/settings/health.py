"""Where health is told apart from calls, and what is taken for a thread that hangs."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting


@dataclass(frozen=True)
class HealthSettings:
    """The health port, on the same address as calls, and liveness; owned by observability/vitals.py."""

    health_port: int = setting(
        0,
        "port for grpc.health.v1 alone, in the clear and without keys, whatever calls need; 0: none",
    )
    liveness_s: float = setting(
        30.0,
        "liveness ends when a thread that calls wait for has done nothing for so long, seconds, though there"
        " is something to do; a run of a graph may take longer",
        flag=False,
    )
    liveness_run_s: float = setting(
        0.0, "liveness ends when one run of a graph takes longer than this, seconds; 0: it may", flag=False
    )

    def __post_init__(self) -> None:
        check(0 <= self.health_port <= 65535, f"health-port must be 0 to 65535, got {self.health_port}")
        check(
            1 <= self.liveness_s <= 86_400,
            f"liveness-s must be 1 to 86400 (a day), got {self.liveness_s}",
        )
        check(
            0 <= self.liveness_run_s <= 86_400,
            f"liveness-run-s must be 0 to 86400 (a day), got {self.liveness_run_s}",
        )
