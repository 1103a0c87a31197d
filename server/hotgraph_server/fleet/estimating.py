"""What models need, from what the file says, what servers have measured, and what lies on disk. Pure, but for
`files_bytes`.

What the file says wins. Memory that was measured once counts until it is measured again, though the model may
be nowhere now; before that its files tell, which is a guess: a graph's weights are held about twice. Rates
are smoothed, and change for the planner only when they have changed by some part: a copy more costs a load.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hotgraph_server.fleet.needs import MB, ModelNeeds, line_of_costs
from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.planning import plan, seen_placement
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec

OF_FILES = 2.0
BESIDE_FILES = 16 * MB
"""What a copy is taken for before anybody has measured it: twice its files, and so many bytes."""

GUESSED = 256 * MB
"""The same of a model whose files are not there to be looked at."""

_HEARD_S = 5.0
_SMOOTHING_S = 60.0
_CHANGED = 0.2
# Of fewer calls a second a part is no change: a rate that fades away would be another one every few seconds.
_LEAST_PER_S = 0.1
# Of what was measured: allocators keep some.
_GROWN = 0.05


@dataclass
class _Known:
    """Of one model: what the planner was told last, and what it would be told."""

    memory_bytes: float | None = None
    rate_per_s: float | None = None
    told_per_s: float | None = None
    run_s: float = 0.0


class Estimates:
    """What is known of models, look by look.

    Args:
        files: bytes of a model's files; None: they are not there.
    """

    def __init__(self, spec: FleetSpec, files: Callable[[str], int | None]) -> None:
        self._spec = spec
        self._files = files
        self._files_of: dict[str, int | None] = {}
        self._known: dict[str, _Known] = {}
        self._last_s: float | None = None

    def looked(self, seen: FleetSeen) -> None:
        """A look more."""
        elapsed = 0.0 if self._last_s is None else max(0.0, seen.at_s - self._last_s)
        self._last_s = seen.at_s
        weight = 1 - math.exp(-elapsed / _SMOOTHING_S)
        copies = _copies(seen.replicas)
        for name, there in copies.items():
            self._look_at(self._known.setdefault(name, _Known()), there, weight)
        for name in self._known.keys() - copies.keys():
            self._look_at(self._known[name], (), weight)

    def _look_at(self, known: _Known, there: Sequence[ModelSeen], weight: float) -> None:
        measured = max((one.memory_bytes / max(len(one.versions), 1) for one in there), default=0)
        if measured and (known.memory_bytes is None or abs(measured / known.memory_bytes - 1) > _GROWN):
            known.memory_bytes = measured
        calls = sum(one.calls for one in there)
        if calls:
            known.run_s = sum(one.run_s for one in there) / calls
        rate = sum(one.calls_per_s for one in there)
        before = known.rate_per_s
        known.rate_per_s = rate if before is None else before + (rate - before) * weight
        told = known.told_per_s
        if told is None or abs(known.rate_per_s - told) > _CHANGED * max(told, _LEAST_PER_S):
            known.told_per_s = known.rate_per_s

    def needs(self) -> dict[str, ModelNeeds]:
        """What the models of the file need."""
        return {model.name: self._needs(model) for model in self._spec.models}

    def _needs(self, model: ModelSpec) -> ModelNeeds:
        known = self._known.get(model.name, _Known())
        memory, memory_from = self._memory(model, known)
        fixed, per_row = line_of_costs(model.cost_ms) if model.cost_ms else (0.0, known.run_s)
        rate, rate_from = model.rate_per_s, "said"
        if rate is None:
            rate, rate_from = known.told_per_s, "measured" if known.told_per_s else ""
        return ModelNeeds(memory, rate or 0.0, fixed, per_row, memory_from, rate_from)

    def _memory(self, model: ModelSpec, known: _Known) -> tuple[float, str]:
        if model.memory_mb is not None:
            return model.memory_mb * MB, "said"
        if known.memory_bytes is not None:
            return known.memory_bytes, "measured"
        if model.name not in self._files_of:
            self._files_of[model.name] = self._files(model.name)
        files = self._files_of[model.name]
        if files is None:
            return GUESSED, "guessed"
        return OF_FILES * files + BESIDE_FILES, "by its files"


def _copies(replicas: Iterable[ReplicaSeen]) -> dict[str, list[ModelSeen]]:
    copies: dict[str, list[ModelSeen]] = {}
    for replica in replicas:
        for name, model in replica.models.items():
            copies.setdefault(name, []).append(model)
    return copies


class Plans:
    """The driver's planner: what it sees becomes what models need, and that a plan.

    Nothing is planned anew as long as nothing has changed of which a plan is made. A driver that has just
    come to a fleet that runs has the plan that is live until it has heard of all replicas, or `_HEARD_S` have
    passed: what it took for empty would be filled with what is elsewhere.
    """

    def __init__(self, spec: FleetSpec) -> None:
        self._estimates = Estimates(spec, lambda name: files_bytes(spec.repository / name))
        self._made_of: object = None
        self._began_s: float | None = None

    def __call__(
        self, spec: FleetSpec, seen: FleetSeen, places: Sequence[str], before: Placement
    ) -> Placement:
        """Where models go.

        Args:
            places: the replicas that they may be placed on.
            before: the plan so far; one of nothing where a driver has just come.
        """
        if self._hears(seen, places):
            return seen_placement(one for one in seen.replicas if one.state is ReplicaState.READY)
        if not before.models:
            before = seen_placement(seen.replicas)
        self._estimates.looked(seen)
        needs = self._estimates.needs()
        allowed = set(places)
        replicas = [one for one in seen.replicas if one.replica_id in allowed]
        made_of = (needs, {one.replica_id: one.node_id for one in replicas}, before.models)
        if made_of == self._made_of:
            return before
        made = plan(spec, seen.nodes, replicas, needs, before)
        self._made_of = (needs, made_of[1], made.models)
        return made

    def _hears(self, seen: FleetSeen, places: Sequence[str]) -> bool:
        """May there be replicas that have models, of which nothing is known yet?"""
        if self._began_s is None:
            self._began_s = seen.at_s
        if seen.at_s - self._began_s >= _HEARD_S:
            return False
        silent = {one.replica_id for one in seen.replicas if one.state is not ReplicaState.READY}
        waits = any(one.models for one in seen.replicas) and not silent.isdisjoint(places)
        if not waits:
            # What starts from now on was begun by this driver.
            self._began_s = -math.inf
        return waits


def files_bytes(folder: Path) -> int | None:
    """Of a model's newest version, or of what is in a folder without versions; None: it cannot be read."""
    try:
        versions = [int(one.name) for one in os.scandir(folder) if one.name.isdecimal() and one.is_dir()]
        root = folder / str(max(versions)) if versions else folder
        return sum(
            os.stat(os.path.join(at, name)).st_size for at, _, names in os.walk(root) for name in names
        )
    except OSError:
        return None


def needs_on_paper(spec: FleetSpec, seen: FleetSeen | None = None) -> Mapping[str, ModelNeeds]:
    """What the models of a fleet need as far as one look, and its files, can tell."""
    estimates = Estimates(spec, lambda name: files_bytes(spec.repository / name))
    if seen is not None:
        estimates.looked(seen)
    return estimates.needs()
