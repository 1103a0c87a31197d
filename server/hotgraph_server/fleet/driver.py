"""Keeps a fleet as it shall be: looks once a second, decides (reconcile.py), and has the engine do it.

One thread looks and decides. What is done may take minutes (a load) and is done by others, a bounded number,
those of loads apart from all else, so that no load keeps a dead server in the endpoints. A driver may end at
any moment: replicas and their calls go on without it, and the next one begins with what it sees."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from hotgraph_server.errors import FleetError, ReplicaGone
from hotgraph_server.fleet.actions import Action, Drain, Load, Publish, Start, Stop, Unload
from hotgraph_server.fleet.endpoints import Files
from hotgraph_server.fleet.engine import Engine
from hotgraph_server.fleet.memory import Memory, Times
from hotgraph_server.fleet.observed import FleetSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.ray_cluster import Wanted
from hotgraph_server.fleet.reconcile import Desired, Roles, reconcile, roles
from hotgraph_server.fleet.rolling import Rolling
from hotgraph_server.fleet.scaling import Trend, scaled
from hotgraph_server.fleet.spec import FleetSpec
from hotgraph_server.fleet.status import DriverFigures, status_document
from hotgraph_server.fleet.workers import Workers

_LOG = logging.getLogger(__name__)

LOOK_S = 1.0
_WORKERS = 32
_RECENT = 20
# In which Ray begins an actor where there is room.
_PLACED_S = 20.0

Plan = Callable[[FleetSpec, FleetSeen, Sequence[str], Placement], Placement]
"""Where models go: of the fleet, the replicas that they may be placed on, and where they were placed
before."""


class Asked(Protocol):
    """What commands have asked for, where it outlives the driver."""

    def read(self) -> Wanted: ...

    def write(self, asked: Wanted) -> None: ...


class Observer(Protocol):
    """Fills in what servers tell of themselves; see observing.Observer."""

    def fill(self, replicas: Sequence[ReplicaSeen]) -> list[ReplicaSeen]: ...


class Driver:
    """The constructor starts nothing.

    Attributes:
        document: what status_document said at the last look; None: there was none.
        admin_address: HOST:PORT of the page that shows it; empty: there is none.

    Args:
        say: told what is done, a line each.
    """

    def __init__(
        self,
        spec: FleetSpec,
        engine: Engine,
        files: Files,
        asked: Asked,
        plan: Plan,
        observer: Observer | None = None,
        say: Callable[[str], object] = _LOG.info,
        rolling: Rolling | None = None,
        times: Times = Times(),  # noqa: B008
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec, self._engine, self._files, self._asked = spec, engine, files, asked
        self._plan, self._observer, self._say, self._clock = plan, observer, say, clock
        self._times, self._rolling = times, rolling
        self._began_s = clock()
        self._placement = Placement()
        self._trend = Trend()
        self._memory: Memory | None = None
        # What takes minutes, and what callers wait for: as many loads as there may be keep no dead server in
        # the endpoints, and no replica from its drain.
        self._slow = Workers(_WORKERS, "fleet_load")
        self._quick = Workers(_WORKERS, "fleet_quick")
        self._under_way: dict[Future[None], Action] = {}
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._summary = ""
        # Since when replicas are on no node that is known.
        self._unplaced: dict[str, float] = {}
        self.document: dict[str, Any] | None = None
        self.admin_address = ""

    @property
    def under_way(self) -> list[Action]:
        """What was begun and is not done."""
        return [action for future, action in self._under_way.items() if not future.done()]

    def run(self, ending: threading.Event) -> bool:
        """Until `ending`, or until the fleet is no more, which was asked for: then True."""
        try:
            while not ending.is_set():
                began_s = time.monotonic()
                try:
                    if self.look():
                        return True
                except Exception as error:
                    # Ray's head is away for a moment, say. The fleet goes on, and so does who looks after it.
                    self._complain(error)
                ending.wait(max(0.0, began_s + LOOK_S - time.monotonic()))
            return False
        finally:
            # What is under way is known to the replicas themselves; nobody waits for it here.
            self._slow.stop()
            self._quick.stop()

    def look(self) -> bool:
        """Look, decide, and have it begun; True: the fleet is down, as was asked."""
        seen = self._seen()
        if self._memory is None:
            self._memory = Memory(seen.at_s, self._files.published(seen.replicas), self._times)
        # Kept at once: what was done is told only once, and a look that fails from here on is not to lose it.
        self._memory = memory = self._collected(self._memory).looked(seen)
        asked = self._asked.read()
        wanted = 0 if asked.down else self._wanted(asked, seen)
        who = roles(wanted, seen, memory)
        self._placement = self._plan(self._spec, seen, who.places, self._placement)
        desired = self._desired(wanted, seen, memory)
        actions, self._memory = reconcile(desired, seen, memory)
        for action in actions:
            workers = self._slow if isinstance(action, Load | Unload) else self._quick
            self._under_way[workers.begin(partial(self._carry_out, action))] = action
        for action in actions:
            self._note(_said(action))
        self._tell(seen, who, wanted)
        return asked.down and not seen.replicas and not self._under_way and not self._memory.published

    def _desired(self, wanted: int, seen: FleetSeen, memory: Memory) -> Desired:
        if self._rolling is None:
            return Desired(self._spec, wanted, self._placement)
        followed, said = self._rolling.follow(seen, self._placement, memory.failed)
        for line in said:
            self._note(line)
        return Desired(self._spec, wanted, self._placement, followed.versions, followed.waiting)

    def _seen(self) -> FleetSeen:
        at_s = self._clock()
        replicas = self._engine.replicas()
        if self._observer is not None:
            replicas = self._observer.fill(replicas)
        return FleetSeen(at_s, tuple(self._engine.nodes()), tuple(replicas))

    def _wanted(self, asked: Wanted, seen: FleetSeen) -> int:
        before = self._spec.replicas.count if asked.replicas is None else asked.replicas
        now = scaled(self._spec, before, seen, self._trend, self._placement)
        self._trend = now.trend
        if now.replicas != before:
            self._note(now.reason)
            self._asked.write(replace(asked, replicas=now.replicas))
        return now.replicas

    def _collected(self, memory: Memory) -> Memory:
        for future in [one for one in self._under_way if one.done()]:
            action = self._under_way.pop(future)
            kind = type(action).__name__.lower()
            error = future.exception()
            if error is None:
                self._done[kind] += 1
                memory = memory.with_done(action, self._clock())
                continue
            if not isinstance(error, FleetError):
                _LOG.error("%s failed", action, exc_info=error)
            self._failed[kind] += 1
            self._note(f"could not {_said(action)}: {' '.join(str(error).split())[:300]}")
            memory = memory.with_failed(action, str(error), self._clock(), isinstance(error, ReplicaGone))
        return memory

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, Publish):
            self._files.publish(action.endpoints)
        elif isinstance(action, Start):
            self._engine.start(action.replica_id)
        elif isinstance(action, Drain):
            self._engine.drain(action.replica_id)
        elif isinstance(action, Stop):
            self._engine.stop(action.replica_id)
        elif isinstance(action, Load):
            self._engine.load(action.replica_id, action.model, action.versions)
        else:
            assert isinstance(action, Unload)
            self._engine.unload(action.replica_id, action.model)

    def _note(self, line: str) -> None:
        self._recent.append(line)
        self._say(line)

    def _tell(self, seen: FleetSeen, who: Roles, wanted: int) -> None:
        assert self._memory is not None
        published = {one.replica_id for one in self._memory.published}
        others = [one for one in seen.replicas if one.replica_id not in published]
        names = {one.replica_id for one in others}
        self._unplaced = {name: at_s for name, at_s in self._unplaced.items() if name in names}
        summary = f"{len(published)} of {wanted} replicas take calls"
        summary += "".join(f", {self._described(one, seen.at_s)}" for one in others)
        if summary != self._summary:
            self._summary = summary
            self._note(summary)
        rollouts = self._rolling.rollouts if self._rolling is not None else {}
        figures, failed = self._figures(wanted), self._memory.failed
        self.document = status_document(self._spec, seen, self._placement, rollouts, figures, failed)
        try:
            self._files.write_status(self.document)
        except FleetError as error:
            _LOG.warning("%s", error)

    def _complain(self, error: Exception) -> None:
        """Of a look that failed; once for each sort of error in a row."""
        line = f"cannot look at the fleet: {' '.join(str(error).split())[:300] or repr(error)}"
        if line != self._summary:
            self._summary = line
            self._note(line)
            _LOG.debug("a look failed", exc_info=error)

    def _described(self, replica: ReplicaSeen, now_s: float) -> str:
        """A replica that takes no calls, and why."""
        since_s = self._unplaced.setdefault(replica.replica_id, now_s)
        if replica.node_id:
            del self._unplaced[replica.replica_id]
        elif replica.state is ReplicaState.STARTING and now_s - since_s > _PLACED_S:
            wants = self._spec.replicas
            gpus = f", {wants.gpus:g} GPUs" if wants.gpus else ""
            return (
                f"{replica.replica_id} waits for a node with {wants.cpus:g} processors{gpus} and"
                f" {wants.memory_mb} MiB free"
            )
        trouble = f": {replica.trouble}" if replica.trouble else ""
        return f"{replica.replica_id} is {replica.state.value}{trouble}"

    def _figures(self, wanted: int) -> DriverFigures:
        return DriverFigures(
            wall_s=time.time(),
            uptime_s=self._clock() - self._began_s,
            pid=os.getpid(),
            admin_address=self.admin_address,
            wanted=wanted,
            actions=dict(self._done),
            failed_actions=dict(self._failed),
            recent=list(self._recent),
        )


def everywhere(spec: FleetSpec, seen: FleetSeen, places: Sequence[str], before: Placement) -> Placement:
    """Every model on every replica."""
    names = frozenset(model.name for model in spec.models)
    return Placement({name: names for name in places}, replicas_wanted=1)


def _said(action: Action) -> str:
    if isinstance(action, Publish):
        return f"send callers to {', '.join(one.replica_id for one in action.endpoints) or 'nobody'}"
    verb = {Start: "start", Drain: "drain", Stop: "stop", Load: "load", Unload: "unload"}[type(action)]
    what = f"{action.model} on " if isinstance(action, Load | Unload) else ""
    versions = (
        f" (versions {', '.join(map(str, action.versions))})"
        if isinstance(action, Load) and action.versions
        else ""
    )
    return f"{verb} {what}{action.replica_id}{versions}"
