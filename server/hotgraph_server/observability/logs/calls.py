"""What the log says of calls: one that failed, and, for the access log, any. Pure.

What comes from callers (paths, names of models, ids, texts of errors that quote them) is cut here, and
escaped where the line is made (formats.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from hotgraph_server.observability.tracing.trace import Trace

MAX_TEXT = 300
"""Characters of an error's text."""

MAX_NAME = 100
MAX_PATH = 200
"""Characters of names, and of methods and paths."""


class FailedCall(NamedTuple):
    """A call that ended with an error.

    Attributes:
        method: ``/SERVICE/METHOD``; over HTTP ``VERB /PATH``.
        status: name of a gRPC status code.
        text: what its caller was told.
        trace_id: that its caller's header names, as hex; empty: it names none.
        model, version, signature: whose it is; empty and 0: it did not get as far.
        wait_s, run_s: in the queue and in its last run; negative: it was in none.
    """

    method: str
    peer: str
    status: str
    text: str
    trace_id: str
    model: str
    version: int
    signature: str
    wait_s: float
    run_s: float


def said_of_failed(call: FailedCall) -> Mapping[str, Any]:
    """The fields of its line."""
    return _without_nothing(
        status=call.status,
        method=_cut(call.method, MAX_PATH),
        model=_cut(call.model, MAX_NAME),
        version=call.version,
        signature=_cut(call.signature, MAX_NAME),
        peer=_cut(call.peer, MAX_NAME),
        wait_ms=_ms(call.wait_s),
        run_ms=_ms(call.run_s),
        trace_id=call.trace_id,
        error=_cut(call.text, MAX_TEXT),
    )


def said_of_any(trace: Trace) -> Mapping[str, Any]:
    """The fields of a call's line in the access log."""
    moments, origin = trace.moments, trace.origin
    run = trace.runs[-1] if trace.runs else None
    begun, ended = moments.get("COMPUTE_START"), moments.get("COMPUTE_END")
    queued = moments.get("QUEUE_START")
    return _without_nothing(
        status=trace.status[1],
        http_status=trace.http_status,
        method=_cut(f"{origin.method} {origin.path}" if origin.path else origin.method, MAX_PATH),
        model=_cut(trace.model, MAX_NAME),
        version=trace.version,
        signature=_cut(trace.signature, MAX_NAME),
        rows=trace.rows,
        peer=_cut(origin.peer, MAX_NAME),
        request_id=_cut(trace.request_id, MAX_NAME),
        total_ms=_ms_between(min(moments.values(), default=None), max(moments.values(), default=None)),
        wait_ms=_ms_between(queued, begun),
        run_ms=_ms_between(begun, ended),
        batch=run.number if run else 0,
        batch_rows=run.rows if run else 0,
        trace_id=trace.trace_id,
        error=_cut(trace.text, MAX_TEXT),
    )


def _without_nothing(**fields: Any) -> dict[str, Any]:
    # A time of 0 is one.
    return {name: value for name, value in fields.items() if value or isinstance(value, float)}


def _ms(seconds: float) -> float | None:
    return round(seconds * 1e3, 3) if seconds >= 0 and math.isfinite(seconds) else None


def _ms_between(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else round((end - start) / 1e6, 3)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
