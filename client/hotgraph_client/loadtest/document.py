"""What a load test found, as JSON has it: what --json writes, --baseline reads and the report is drawn from.

Times are milliseconds unless a name says otherwise; latencies count from the moment at which a call was due,
and leave errors out. The fixed part (`target` to `slo`) may gain fields, and never loses any.
"""

from __future__ import annotations

from typing import Any, TypedDict

VERSION = 1

Distribution = list[tuple[float, float]]
"""Pairs of share of calls (0 to 0.99999) and the latency that so many had at most, ms."""


class Latency(TypedDict):
    """Milliseconds; keys as they are written: mean, p50, p90, p99, p99.9, max."""


class Moment(TypedDict):
    """One second of a step; the server's part has what it told in that second."""

    at_s: int
    due: int
    answered: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    lag_p99_ms: float | None
    errors: dict[str, int]


class _Grown(TypedDict):
    at_s: float
    calls_per_s: float | None
    rows_per_run: float | None
    queue_wait_ms: float | None
    run_ms: float | None


class ServerMoment(_Grown, total=False):
    """What the server's own counters grew by in the second from `at_s` of a step; None: nothing ran. And its
    memory then."""

    resident_mib: float | None


class Resident(TypedDict):
    """Memory of the server's processes at the beginning of a step, at most, and at its end."""

    before: float
    most: float
    after: float


class ServerFigures(TypedDict, total=False):
    """What the server says of the step: means over it, and second by second. Without any: it tells nothing.

    `source` is `statistics` (the v2 call) or the URL of Prometheus' text, of which alone `resident_mib` is.
    """

    source: str
    rows_per_run: float | None
    queue_wait_ms: float | None
    run_ms: float | None
    runs_per_s: float | None
    duty: float | None
    resident_mib: Resident
    over_time: list[ServerMoment]


class Spread(TypedDict):
    """Over the repeats of a step."""

    median: float
    least: float
    greatest: float


class Step(TypedDict, total=False):
    """One load, once or in `repeats`; of repeats the figures are of all calls together.

    `offered_per_s` is what was due; of a closed loop what was sent. `void` steps say nothing, `void_why` is
    why. `spread` has p50_ms, p99_ms and achieved_per_s over the repeats. `generator_cores` is what sending
    took.
    """

    label: str
    kind: str  # "open" or "closed"
    concurrency: int | None
    repeats: int
    seconds: float
    offered_per_s: float
    achieved_per_s: float
    rows_per_s: float
    calls: int
    latency_ms: dict[str, float]
    distribution: Distribution
    histogram: str
    errors: dict[str, int]
    error_texts: dict[str, str]
    wrong: int
    wrong_why: str
    unchecked: int
    lag_ms: dict[str, float]
    void: bool
    void_why: str
    generator_cores: float
    over_time: list[Moment]
    server: ServerFigures
    spread: dict[str, Spread]


class Tried(TypedDict):
    """One rate of a search."""

    rate_per_s: float
    held: bool
    why: str


class Slo(TypedDict, total=False):
    """What was to be kept, and the highest rate at which it was; 0: at none that was tried.

    `why` says what kept the search from a better answer, such as a generator that was the limit; empty:
    nothing.
    """

    text: str
    rate_per_s: float
    confirmed: bool
    why: str
    need_per_s: float | None
    tried: list[Tried]


class Document(TypedDict, total=False):
    """All of it. `tune` is there in what `hotgraph tune` writes: see server/hotgraph_server/tuning."""

    hotgraph_loadtest: int
    started: str  # ISO 8601, UTC
    command: str
    target: str
    protocol: str  # "v2 over gRPC", "TensorFlow Serving over HTTP", ...
    model: str
    version: str
    signature: str
    machine: dict[str, Any]  # cpu, cores, memory_gib, system, python, hotgraph; server: {name, version}
    input: dict[str, Any]  # source, items, rows {"1": 0.5, "4": 0.5}, bytes (mean of a request)
    load: dict[
        str, Any
    ]  # kind, arrivals, seconds, warm_up_s, repeats, processes, connections, deadline_ms, check
    steps: list[Step]
    slo: Slo
    tune: dict[str, Any]
