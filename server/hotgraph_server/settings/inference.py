"""How the service of the Open Inference Protocol presents itself, and which of its calls are traced."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting

TRACE_LEVELS = ("OFF", "TIMESTAMPS", "TENSORS", "TIMESTAMPS,TENSORS")


@dataclass(frozen=True)
class InferenceSettings:
    """How the service presents itself; owned by protocols/v2."""

    server_name: str = setting(
        "hotgraph", 'what the server calls itself in ServerMetadata; some clients want "triton"'
    )

    def __post_init__(self) -> None:
        check(bool(self.server_name), "server-name must not be empty")


@dataclass(frozen=True)
class TraceSettings:
    """Which calls are traced at the start, and where traces go; owned by tracing/.

    Clients may change all of it but the file, while the server runs.
    """

    trace_file: str = setting(
        "", "write traces of calls to this file, as JSON of Triton's form; none: no call is traced"
    )
    trace_level: str = setting("OFF", "what a trace holds", choices=TRACE_LEVELS, flag=False)
    trace_rate: int = setting(1000, "one call in so many is traced", flag=False)
    trace_count: int = setting(-1, "how many calls are traced in all; -1: no limit; 0: none", flag=False)
    trace_log_frequency: int = setting(
        0, "how many traces a file has, each with a number behind its name; 0: one file for all", flag=False
    )

    def __post_init__(self) -> None:
        for flag, value, least in (
            ("trace-rate", self.trace_rate, 1),
            ("trace-count", self.trace_count, -1),
            ("trace-log-frequency", self.trace_log_frequency, 0),
        ):
            check(least <= value < 2**31, f"{flag} must be {least} to {2**31 - 1}, got {value}")
        check(
            self.trace_level in TRACE_LEVELS,
            f"trace-level must be one of {', '.join(TRACE_LEVELS)}, got {self.trace_level!r}",
        )
