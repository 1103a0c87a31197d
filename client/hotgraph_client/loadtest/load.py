"""What a sending process is told, and what it tells: plain values, which go from process to process. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..tls import Tls


@dataclass(frozen=True)
class Destination:
    """Where calls go.

    Attributes:
        host: to connect to, an IPv6 address without brackets; a path for a Unix socket, whose port is 0.
        authority: host and port as the user wrote them, for `:authority` and `host`.
        http: HTTP/1.1 in place of gRPC.
        tls: how to encrypt; None: not.
        headers: that go with each call, names in lower case; keys among them.
    """

    host: str
    port: int
    authority: str
    http: bool = False
    tls: Tls | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Payload:
    """A request as bytes.

    Attributes:
        path: gRPC's method or the URL's path.
        headers: of this request, beside the destination's; names in lower case.
        body: the message, without gRPC's prefix of five bytes.
        rows: along dimension 0.
    """

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    rows: int = 1


@dataclass(frozen=True)
class Arrivals:
    """When calls are due.

    Attributes:
        kind: `poisson` and `uniform` at `rate`; `trace` at `moments`; `closed`: as soon as one of `callers`
            has its answer.
        rate: calls a second, of this process.
        moments: seconds from the beginning of the measurement, ascending; those of a trace.
        callers: of a closed loop, in this process.
        phase: seconds by which the uniform schedule of this process is shifted against its neighbours'.
    """

    kind: Literal["poisson", "uniform", "trace", "closed"]
    rate: float = 0.0
    moments: NDArray[np.float64] | None = None
    callers: int = 0
    phase: float = 0.0


@dataclass(frozen=True)
class Assignment:
    """What one process does for one step.

    Attributes:
        payloads: sent in turn, or by `order`.
        order: places in `payloads` of the calls of a trace, one for each moment.
        weights: how often each payload is sent, relative to the others; drawn by `seed`. None: in turn.
        begin_s: on `time.monotonic`, when the warm-up begins; the same for all processes.
        warm_up_s: the load's own beginning, which is not counted: its calls belong to seconds below 0.
        seconds: that are measured.
        deadline_s: from the moment at which a call is due; sent as grpc-timeout. None: without.
        patience_s: how long past its deadline (or past its being due) a call is waited for.
        connections: of this process.
        keep_answers: how many distinct answers are kept for the checker; 0: none.
        keep_bytes: of all of them.
    """

    destination: Destination
    payloads: tuple[Payload, ...]
    arrivals: Arrivals
    begin_s: float
    seconds: float
    warm_up_s: float = 0.0
    order: NDArray[np.int64] | None = None
    weights: tuple[float, ...] | None = None
    deadline_s: float | None = None
    patience_s: float = 10.0
    connections: int = 4
    seed: int = 1
    keep_answers: int = 4096
    keep_bytes: int = 64 * 2**20


@dataclass
class Interval:
    """What became of the calls that were due in one second, as far as it is known; of one process or of all.

    Attributes:
        second: since the end of the warm-up; below 0 within it.
        due: calls that should have been sent.
        answered: with a good status, and in time.
        rows: of the answered ones.
        errors: the others, by status: gRPC's names (`UNAVAILABLE`), `HTTP 503`, and of our own `NO_ANSWER`
            (given up), `LATE` (answered past the deadline), `DISCONNECTED`, `UNREACHABLE`.
        latency: of the answered, from the moment at which they were due; HdrHistogram of microseconds,
            encoded (its V2 compressed form, base64); empty: none.
        lag: how much later than due the sender turned to calls, in the same form; of all that were due. What
            a call then waits for a connection or for the server to take its bytes is latency.
    """

    second: int
    due: int = 0
    answered: int = 0
    rows: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    latency: bytes = b""
    lag: bytes = b""


@dataclass(frozen=True)
class Answer:
    """One of the distinct answers to a payload.

    Attributes:
        payload: its place.
        body: as it came, without gRPC's prefix; headers beside it where the body is HTTP's.
        count: how many calls had this one.
    """

    payload: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    count: int


@dataclass
class Ended:
    """What one process (or, merged, all of them) has to say when a step is over.

    Attributes:
        intervals: every second, ascending.
        answers: distinct ones, up to what was to be kept.
        unchecked: answers that were not kept.
        cpu_s: that the sending took, seconds of processor time.
        seconds: that the measured part took, its last answers not included.
        error_texts: of the server or the system, the first one for each status; empty: nothing was said.
        fault: why a process could not go on; empty: it could.
        began_s: on `time.monotonic`, when the warm-up began: `begin_s`, or later where that was past.
    """

    intervals: list[Interval] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    unchecked: int = 0
    cpu_s: float = 0.0
    seconds: float = 0.0
    error_texts: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    began_s: float = 0.0
