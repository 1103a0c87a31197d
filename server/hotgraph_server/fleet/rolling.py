"""What a driver keeps of its models' rollouts; decided in rollouts.py, with what versions.py has seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from hotgraph_server.fleet.actions import Action
from hotgraph_server.fleet.memory import Failure
from hotgraph_server.fleet.observed import FleetSeen
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.rollout import Rollout
from hotgraph_server.fleet.rollouts import Followed, follow_all
from hotgraph_server.fleet.spec import FleetSpec


class There(Protocol):
    """What versions.VersionsThere is to this."""

    @property
    def there(self) -> Mapping[str, Collection[int]] | None: ...


class Rolling:
    """Of one driver, in its thread.

    Args:
        there: which versions there are.
        rollouts: what an earlier driver has left (rollout.restored).

    Attributes:
        rollouts: where each model's is, by name.
    """

    def __init__(self, spec: FleetSpec, there: There, rollouts: Mapping[str, Rollout] | None = None) -> None:
        self.rollouts: Mapping[str, Rollout] = dict(rollouts or {})
        self._spec = spec
        self._there = there

    def follow(
        self, seen: FleetSeen, placement: Placement, failed: Mapping[Action, Failure]
    ) -> tuple[Followed, list[str]]:
        """What is to be, and what has changed, a line each."""
        there = self._there.there
        if there is None:
            return Followed({}, {}, frozenset()), []
        before = self.rollouts
        now = follow_all(self._spec, seen, placement, there, failed, before)
        self.rollouts = now.rollouts
        said = [
            f"{name}: {rollout.reason}"
            for name, rollout in now.rollouts.items()
            if rollout.reason and (name not in before or before[name].reason != rollout.reason)
        ]
        return now, said
