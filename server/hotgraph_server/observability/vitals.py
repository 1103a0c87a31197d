"""The vital signs: once a second, do the threads get on that calls wait for, and how much is there to do?

Liveness (threads/progress.py has the rule) is about

* whoever takes turns at the sockets of calls. Each look asks for a turn, and turns come while graphs run,
  however long: the lead is taken from a run that is a long one (threads/leadership.py);
* of each live version the executor and, if it has one, the finisher. A run of a graph may take as long as it
  likes, unless `liveness_run_s` says otherwise.

It is not about load: a queue that is long, or full, is no sign of anything here. Nor about models that load,
which takes minutes, nor about a drain, which has an end of its own: `stop_looking` comes first then, and what
was last said stays.

The looks are a thread's of their own, so that whatever hangs is looked at by something that does not.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from hotgraph_server.models.registry import Registry
from hotgraph_server.observability.load.meter import LoadMeter
from hotgraph_server.settings import HealthSettings
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.threads.periodic import PeriodicThread
from hotgraph_server.threads.progress import Progress, Sign
from hotgraph_server.transport.health import Health
from hotgraph_server.transport.health_port import HealthPort, Shared
from hotgraph_server.transport.service import Admit

_LOG = logging.getLogger(__name__)

_EVERY_S = 1.0
# A look that comes later than this was kept from coming, by what keeps other threads as well.
_LATE_S = 5.0
_STOP_S = 5.0


class VitalSigns(NamedTuple):
    """What is looked at.

    Attributes:
        models: whose threads are looked at.
        leadership: of the threads that read calls.
        load: how much there is to do.
    """

    models: Registry
    leadership: Leadership
    load: LoadMeter

    def of_threads(self) -> Iterator[Sign]:
        """Of all that calls wait for."""
        yield from self.leadership.sign()
        for version in self.models.versions():
            yield from version.signs()


class Vitals:
    """The looks, and the port where health is told apart from calls, if there is one: it is open, and
    answers, from the beginning.

    Args:
        host: of the health port.
        health: is told whether all get on, when that changes.
        signs: what is looked at.
        admit: see HealthPort.
        shared: see HealthPort.
        clock: monotonic seconds.

    Raises:
        StartError: the health port cannot be had.
    """

    def __init__(
        self,
        settings: HealthSettings,
        host: str,
        health: Health,
        signs: VitalSigns,
        *,
        admit: Admit | None = None,
        shared: Shared | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signs = signs
        self._health = health
        self._clock = clock
        within_s, run_s = settings.liveness_s, settings.liveness_run_s or math.inf
        # One look that comes late is no reason, however short these times are.
        self._progress = Progress(within_s, run_s, min(_LATE_S, within_s / 2, run_s / 2))
        self._hanging: list[str] = []
        self._thread = PeriodicThread("vitals", self.look, clock)
        self._port: HealthPort | None = None
        if settings.health_port:
            self._port = HealthPort(host, settings.health_port, health.service, admit, shared)
            self._port.start()

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop_looking(self) -> None:
        """Before a drain: what was told last stays."""
        self._thread.stop(_STOP_S)

    def stop(self) -> None:
        """Close the health port, if there is one."""
        self.stop_looking()
        if self._port is not None:
            self._port.stop()

    def look(self) -> float:
        """Once; in its thread. Returns when the next look is due, monotonic seconds."""
        hanging = self._progress.look(self._clock(), self._signs.of_threads())
        if bool(hanging) != bool(self._hanging):
            if hanging:
                _LOG.error("liveness ends: %s", "; ".join(hanging))
            else:
                _LOG.warning("all threads get on again, and liveness with them")
            self._health.live(not hanging)
        self._hanging = hanging
        self._signs.load.look()
        return self._clock() + _EVERY_S
