"""What the server itself says while a load is on: a thread that asks for its counters every second.

Owner: the runner, which starts it with a step and stops it at its end; `stop` ends its wait at once, and an
answer that is still out is waited for no longer than the question's own time limit. A server that does not
tell (TensorFlow Serving has no such call) is asked once, and left alone; a question that fails later is a
second that is missing.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Protocol

from ..client import Client
from ..errors import HotgraphError
from .counters import Counters, figures, of_prometheus, of_statistics
from .document import ServerFigures

EVERY_S = 1.0
_TIMEOUT_S = 2.0
_MAX_TEXT_BYTES = 16 * 2**20


class Source(Protocol):
    """Where a server tells what it counts."""

    @property
    def name(self) -> str:
        """As the document calls it."""

    def read(self) -> Counters | None:
        """What it counts now; None: it does not tell."""


class Statistics:
    """The protocol's own call, on the way that the load goes."""

    name = "statistics"

    def __init__(self, client: Client, model: str, version: str = "") -> None:
        self._client, self._model, self._version = client, model, version

    def read(self) -> Counters | None:
        """See `Source.read`."""
        try:
            return of_statistics(self._client.statistics(self._model, self._version, timeout_s=_TIMEOUT_S))
        except HotgraphError:
            return None


class PrometheusPage:
    """--metrics URL: hotgraph's admin port, or Triton's port of metrics."""

    def __init__(self, url: str, model: str, version: str = "", signature: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"--metrics {url}: expected a URL, such as http://127.0.0.1:8501/metrics")
        self.name = url
        self._about = (model, version, signature)

    def read(self) -> Counters | None:
        """See `Source.read`."""
        try:
            with urllib.request.urlopen(self.name, timeout=_TIMEOUT_S) as answer:
                text = answer.read(_MAX_TEXT_BYTES).decode("utf-8", "replace")
        except (OSError, ValueError, HTTPException):
            return None
        return of_prometheus(text, *self._about)


class Sampler:
    """Samples of one step after another; without a source it has none."""

    def __init__(self, source: Source | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._taken: list[tuple[float, Counters]] = []

    def start(self, begin_s: float, end_s: float) -> None:
        """Begin to ask at `begin_s` on the clock, which the seconds of the samples count from, until
        `end_s`."""
        if self._source is None:
            return
        self._ended.clear()
        self._taken = []
        self._thread = threading.Thread(
            target=self._run, args=(self._source, begin_s, end_s), name="loadtest-server-figures", daemon=True
        )
        self._thread.start()

    def stop(self) -> ServerFigures:
        """End it, and tell what it has found."""
        if self._thread is None or self._source is None:
            return {}
        self._ended.set()
        # a question takes its time limit at most, twice over where a name is looked up
        self._thread.join(2 * _TIMEOUT_S)
        self._thread = None
        return figures(self._source.name, list(self._taken))

    def latest(self) -> ServerFigures:
        """What the last second says, for who watches."""
        taken = list(self._taken[-2:])
        return figures("", taken)

    def _run(self, source: Source, begin_s: float, end_s: float) -> None:
        at_s = begin_s
        while not self._ended.wait(max(0.0, at_s - self._clock())):
            counted = source.read()
            if counted is None and not self._taken:
                return
            if counted is not None:
                self._taken.append((self._clock() - begin_s, counted))
            if at_s >= end_s:
                return
            # the next whole second, whatever the question took
            at_s = min(max(at_s + EVERY_S, self._clock()), end_s)
