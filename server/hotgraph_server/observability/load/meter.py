"""Looks at the models and the process now and then, and reports on the time since.

A report is about the last WINDOW_S seconds, up to a second more: looks are taken once a second (`look`), by
whom does not matter, and one for each report that is asked for, at most every FRESH_S. So a report costs
nothing to speak of where thousands are asked for in a second, and tells of now and not of an hour where one
is asked for once an hour.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.observability.load import resources
from hotgraph_server.observability.load.report import LoadReport, OfModel, Sample, report_of, totals_of

WINDOW_S = 3.0
"""Long enough for a mean over runs of some hundred milliseconds, and short beside the seconds after which
balancers take in new weights."""
FRESH_S = 0.1


class LoadMeter:
    """Any thread may call everything.

    Args:
        models: which versions there are.
        clock: monotonic seconds.
        limits: of the process.
    """

    def __init__(
        self,
        models: Registry,
        clock: Callable[[], float] = time.monotonic,
        limits: Callable[[], resources.Limits] = resources.limits,
    ) -> None:
        self._models = models
        self._clock = clock
        self._limits = limits()
        self._lock = threading.Lock()  # guards what follows; held while a look is taken: one is enough
        self._samples: deque[Sample] = deque([self._sample()])
        self._reported = LoadReport()
        self._reported_at = -FRESH_S

    def look(self) -> None:
        """Take a look; to be called once a second."""
        with self._lock:
            self._samples.append(self._sample())
            while len(self._samples) > 1 and self._samples[1].at <= self._samples[-1].at - WINDOW_S:
                self._samples.popleft()

    def report(self) -> LoadReport:
        """On the last seconds. The same object for as long as it is fresh."""
        # Without the lock: two that find it stale take two looks.
        if self._clock() - self._reported_at < FRESH_S:
            return self._reported
        with self._lock:
            now = self._sample()
            self._reported = report_of(self._samples[0], now)
            self._reported_at = now.at
            return self._reported

    def _sample(self) -> Sample:
        at = self._clock()
        return Sample(
            at,
            {(one.name, one.number): _of(one) for one in self._models.versions()},
            resources.cpu_s(),
            self._limits.processors,
            resources.rss_bytes(),
            self._limits.memory_bytes,
        )


def _of(version: Version) -> OfModel:
    # The present run first: one that ends in between is counted twice for a moment, and not left out.
    in_run_for_s = version.in_run_for_s
    figures = version.statistics.by_signature().values()
    return OfModel(version.name, totals_of(figures, in_run_for_s, version.waiting), version.may_hold_s)
