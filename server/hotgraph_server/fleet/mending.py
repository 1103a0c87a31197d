"""What is moved, and what is given up, where a plan has no room or is not as it should be. Pure.

Each way of making room either has made some for one copy more, or has changed nothing. What they may try is
bounded, so that a fleet that is far too small is planned as quickly as one that is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from hotgraph_server.fleet.packing import SLACK, Model, Packing

_TRIED_REPLICAS = 16
# After so many models for which nothing could be moved, nothing is tried for others.
_PATIENCE = 64


class Mending:
    """Of one packing.

    Attributes:
        given_up: models that have lost a copy to others, since `begin`.
    """

    def __init__(self, packing: Packing, high: float) -> None:
        self._packing = packing
        self._high = high
        self.given_up: dict[Model, None] = {}
        self._stuck: dict[int, float] = {}
        self.begin()

    def hope(self) -> None:
        """There is a replica more."""
        self._stuck.clear()

    def begin(self) -> None:
        """What is tried from now on is counted anew."""
        self.given_up = {}
        self._in_vain = 0
        self._spare: dict[int, dict[Model, None]] | None = None

    def eject(self, changed: Iterable[Model]) -> list[Model]:
        """Take off what may not be where it is; returns the models that have lost a copy.

        That is one of two models that are to be apart, the least valuable of what a replica's memory does not
        hold, and of a replica that is too busy what another has the time for, which is moved there.
        """
        lost = [model for one in changed for model in self._apart(one)]
        packing = self._packing
        for place in np.flatnonzero(packing.memory > 1 + SLACK):
            lost += self._overdrawn(int(place))
        for place in np.flatnonzero(packing.duty > self._high + SLACK):
            # Where nothing could be done, nothing is tried until there are others, or it has another duty.
            if self._stuck.get(int(place)) != packing.duty[place]:
                self._too_busy(int(place))
                self._stuck[int(place)] = float(packing.duty[place])
        return list(dict.fromkeys(lost))

    def _apart(self, one: Model) -> list[Model]:
        lost = []
        for other in sorted(one.apart):
            for place in sorted(one.homes & set(self._packing.homes_of(other))):
                # The one that has others stays less gladly; of two that are alike, the later name.
                model = self._packing.models[other]
                going = max(one, model, key=lambda it: (len(it.homes), it.name))
                self._packing.take(going, place)
                lost.append(going)
        return lost

    def _overdrawn(self, place: int) -> list[Model]:
        """Of single models that are enough, the smallest goes; if none is, the largest first."""
        packing, lost = self._packing, []
        while packing.memory[place] > 1 + SLACK:
            over = packing.memory[place] - 1 - SLACK
            here = [one for one in packing.on[place].values() if not one.pin] or list(
                packing.on[place].values()
            )
            enough = [one for one in here if one.memory >= over]
            one = min(enough or here, key=lambda it: (it.memory if enough else -it.memory, it.name))
            packing.take(one, place)
            lost.append(one)
        return lost

    def _too_busy(self, place: int) -> None:
        """Move what others have the time for, the busiest first, until it is no more busy than it may be."""
        packing = self._packing
        for model in sorted(packing.on[place].values(), key=lambda one: (-one.duty, one.name)):
            if packing.duty[place] <= self._high:
                return
            if model.pin or model.duty <= 0:
                continue
            fitting = packing.fitting(model) & (packing.duty + model.duty <= packing.target)
            if fitting.any():
                self._move(model, place, packing.evenly(model, fitting))

    def _move(self, model: Model, place: int, to: int) -> None:
        self._packing.take(model, place)
        self._packing.put(model, to)

    def spread(self, model: Model) -> bool:
        """Move copies to further nodes until what was asked for is on as many as there are; is it?"""
        packing = self._packing
        while packing.nodes_of(model) < min(len(model.homes), model.least, packing.nodes):
            fitting = packing.on_other_nodes(model, packing.fitting(model))
            if not fitting.any():
                return False
            self._move(model, self._most_gladly(model), packing.evenly(model, fitting))
        return True

    def trim(self, model: Model) -> None:
        """Take off copies of which there may not be so many."""
        while model.most is not None and len(model.homes) > model.most:
            self._packing.take(model, self._most_gladly(model))

    def _most_gladly(self, model: Model) -> int:
        """The place that a copy is taken from: on a node that has another, and the fullest of those."""
        packing = self._packing
        nodes = Counter(packing.node_at(place) for place in model.homes)
        return max(
            sorted(model.homes),
            key=lambda place: (nodes[packing.node_at(place)] > 1, packing.memory[place], -place),
        )

    def by_spare_copies(self, model: Model) -> bool:
        """Give up copies that nobody needs, on the replica where that is least."""
        packing = self._packing
        if self._spare is None:
            self._spare = {}
            for one in packing.models.values():
                if len(one.homes) > one.spare:
                    for place in sorted(one.homes):
                        self._spare.setdefault(place, {})[one] = None
        if not self._spare:
            return False
        allowed = packing.allowed(model)
        best: tuple[float, int, list[Model]] | None = None
        for place, there in self._spare.items():
            if not allowed[place]:
                continue
            over = packing.memory[place] + model.memory - 1 - SLACK
            going = _enough([one for one in there if place in one.homes and len(one.homes) > one.spare], over)
            memory = sum(one.memory for one in going or ())
            if going is not None and (best is None or (memory, place) < best[:2]):
                best = memory, place, going
        if best is None:
            return False
        for one in best[2]:
            packing.take(one, best[1])
            self.given_up[one] = None
        return True

    def by_moves(self, model: Model) -> bool:
        """Move others off one of the replicas that have most room."""
        packing = self._packing
        if self._in_vain > _PATIENCE or model.memory > 1:
            return False
        free = np.where(packing.allowed(model), 1 - packing.memory, -np.inf)
        if np.maximum(free, 0).sum() < model.memory:
            return False
        for place in np.argsort(-free, kind="stable")[:_TRIED_REPLICAS]:
            if free[place] == -np.inf:
                break
            if self._make_room(int(place), packing.memory[place] + model.memory - 1 - SLACK):
                return True
        self._in_vain += 1
        return False

    def _make_room(self, place: int, over: float) -> bool:
        """Move so much off a replica; nothing, if it cannot be done."""
        packing, moved, freed = self._packing, [], self._packing.freed
        here = sorted(
            (one for one in packing.on[place].values() if not one.pin and one.memory > 0),
            key=lambda one: (one.memory < over, one.memory if one.memory >= over else -one.memory, one.name),
        )
        for one in here:
            fitting = packing.fitting(one)
            if not fitting.any():
                continue
            to = packing.tightly(one, fitting)
            self._move(one, place, to)
            moved.append((one, to))
            over -= one.memory
            if over <= 0:
                return True
        for one, to in reversed(moved):
            self._move(one, to, place)
        packing.freed = freed
        return False

    def by_second_copies(self, model: Model) -> bool:
        """Give a model that has none the place of another's second copy, the smallest that will do."""
        packing = self._packing
        if model.homes or model.memory > 1 or self._in_vain > _PATIENCE:
            return False
        allowed = packing.allowed(model)
        best: tuple[int, float, str, int] | None = None
        for place in np.argsort(packing.memory, kind="stable")[: 4 * _TRIED_REPLICAS]:
            if not allowed[place]:
                continue
            over = packing.memory[place] + model.memory - 1 - SLACK
            for one in packing.on[place].values():
                if not one.pin and len(one.homes) > 1 and one.memory >= over:
                    offer = (-len(one.homes), one.memory, one.name, int(place))
                    best = offer if best is None else min(best, offer)
        if best is None:
            self._in_vain += 1
            return False
        going = packing.models[best[2]]
        packing.take(going, best[3])
        self.given_up[going] = None
        return True

    def for_pinned(self, model: Model) -> bool:
        """Take off a replica what is in the way of a model that is pinned to it."""
        if not model.pin or model.memory > 1:
            return False
        packing = self._packing
        for place in np.flatnonzero(packing.allowed(model)):
            over = packing.memory[place] + model.memory - 1 - SLACK
            going = _enough([one for one in packing.on[place].values() if not one.pin], over)
            if going is not None:
                for one in going:
                    packing.take(one, int(place))
                    self.given_up[one] = None
                return True
        return False

    def fill_idle(self) -> list[Model]:
        """Give replicas that have nothing copies of the busiest models; returns those."""
        packing = self._packing
        # What holds anything has memory in use, but for models that take none.
        idle = [int(at) for at in np.flatnonzero(packing.here & (packing.memory <= 0)) if not packing.on[at]]
        alive = packing.alive
        if not idle or len(idle) == alive:
            return []
        number = -(-sum(len(one) for one in packing.on) // alive)
        mean_duty = packing.duty[packing.here].sum() / alive
        more: dict[Model, None] = {}
        order = sorted(packing.models.values(), key=lambda one: (-one.duty, len(one.homes), one.name))
        for place in idle:
            for model in order:
                here = packing.on[place]
                if len(here) >= number or (mean_duty > 0 and packing.duty[place] >= mean_duty):
                    break
                may_more = model.homes and (model.most is None or len(model.homes) < model.most)
                if may_more and packing.fitting(model)[place]:
                    packing.put(model, place)
                    more[model] = None
        return list(more)


def _enough(models: list[Model], over: float) -> list[Model] | None:
    """So many of the models that they have that much memory: one if one is enough; None: they have less."""
    single = [one for one in models if one.memory >= over]
    if single:
        return [min(single, key=lambda one: (one.memory, one.name))]
    going: list[Model] = []
    for one in sorted(models, key=lambda one: (-one.memory, one.name)):
        going.append(one)
        over -= one.memory
        if over <= 0:
            return going
    return None
