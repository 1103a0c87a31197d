"""Traces as calls leave them, with moments that the test sets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from hotgraph_server.call_observer import Moments, Queued
from hotgraph_server.observability.tracing.trace import Origin, Trace
from hotgraph_server.observability.tracing.traceparent import SpanIdentity

GRPC = Origin("/inference.GRPCInferenceService/ModelInfer", peer="10.0.0.1:4711")
HTTP = Origin("POST", "/v1/models/{model}:predict", "/v1/models/m:predict", "10.0.0.1:4711")
IDENTITY = SpanIdentity(0xAB, 0xCD, 0xEF, "a=1")
RUN = Moments(4.0, 5.0, 6.0, 7.0, number=3, calls=2, rows=5)


@contextmanager
def at(seconds: float) -> Iterator[None]:
    with mock.patch.object(time, "monotonic_ns", return_value=round(seconds * 1e9)):
        yield


def trace_of(
    origin: Origin = GRPC, identity: SpanIdentity | None = IDENTITY, *runs: Moments, queued: bool = True
) -> Trace:
    """A call that came at 1 s, was queued at 2 s, and was answered between 8 s and 9 s."""
    trace = Trace(None, 1, "m", "seven", origin, identity)
    with at(1.0):
        trace.now("REQUEST_START")
    if queued:
        trace.queued(Queued(12, 2.0, "f", 2, [], []))
    for run in runs:
        trace.ran(run)
    kind = "HTTP" if origin.route else "GRPC"
    with at(8.0):
        trace.now(f"{kind}_SEND_START")
    with at(9.0):
        trace.now(f"{kind}_SEND_END")
    return trace
