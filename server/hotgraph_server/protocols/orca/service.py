"""xds.service.orca.v3.OpenRcaService: load reports beside the calls.

A caller gets one report at once and then one every `report_interval`, which is bounded: by a setting from
below, by MOST_S from above; who names none, or one that is none, gets one every DEFAULT_S, as gRPC's and
Envoy's balancers ask for. A report that the caller has not read yet is not followed by another: the next one
will be newer. So many streams are open at most, and one more is refused: each is an alarm and a message every
now and then. All of it happens in the thread that serves, which a report costs some 10 us and holds up no
longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from hotgraph_protos import orca as pb
from hotgraph_server.errors import QueueFull
from hotgraph_server.observability.load.report import LoadReport
from hotgraph_server.protocols.orca import messages
from hotgraph_server.transport.service import Receiver, Service, StreamingMethod, StreamOfCalls, parsed

SERVICE = "xds.service.orca.v3.OpenRcaService"
DEFAULT_S = 10.0
MOST_S = 3600.0
MAX_STREAMS = 1024


def interval_s(asked: Any, least_s: float) -> float:
    """The time between two reports, seconds, for a Duration that a caller asks for."""
    seconds = float(asked.seconds + asked.nanos / 1e9)
    return min(max(seconds, least_s), MOST_S) if seconds > 0 else max(DEFAULT_S, least_s)


def service(
    report: Callable[[], LoadReport], least_s: float, clock: Callable[[], float] = time.monotonic
) -> Service:
    """
    Args:
        report: the present one.
        least_s: the shortest time between two, seconds.
        clock: monotonic seconds, as the transport's.
    """
    streams = _Streams()

    def open_stream(stream: StreamOfCalls) -> Receiver:
        streams.enter()
        reports = _Reports(stream, report, clock)

        def gone() -> None:
            if reports.end():
                streams.leave()

        stream.when_gone(gone)

        def receive(message: Any) -> None:
            # None: it will ask for nothing else, and listens on.
            if message is not None:
                request = parsed(pb.OrcaLoadReportRequest, message)
                reports.begin(interval_s(request.report_interval, least_s))

        return receive

    method = StreamingMethod(open_stream, one_request=True)
    methods = {"StreamCoreMetrics": method}
    return Service(SERVICE, pb.DESCRIPTOR, streaming=methods, early=methods)


class _Streams:
    """How many there are; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # two come at a time
        self._count = 0

    def enter(self) -> None:
        """Raises QueueFull."""
        with self._lock:
            if self._count >= MAX_STREAMS:
                raise QueueFull("the list of load reports", self._count, MAX_STREAMS, "streams")
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1


class _Reports:
    """Those of one stream."""

    def __init__(
        self, stream: StreamOfCalls, report: Callable[[], LoadReport], clock: Callable[[], float]
    ) -> None:
        self._stream = stream
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()  # guards what follows: the caller may go while a report is sent
        self._ended = False
        self._interval_s = 0.0
        self._take_back: Callable[[], None] | None = None

    def begin(self, interval_s: float) -> None:
        if self._interval_s:
            return  # it asks a second time, which it may not
        self._interval_s = interval_s
        self._send()

    def end(self) -> bool:
        """Returns whether it had not ended before."""
        with self._lock:
            ended, self._ended = self._ended, True
            take_back, self._take_back = self._take_back, None
        if take_back is not None:
            take_back()
        return not ended

    def _send(self) -> None:
        if not self._stream.unread:
            self._stream.send(messages.message(self._report()))
        with self._lock:
            if not self._ended:
                self._take_back = self._stream.call_at(self._clock() + self._interval_s, self._send)
