"""What a driver remembers from one look at its fleet to the next. Pure.

Nothing in it has to outlive the driver: one that comes new begins with what the endpoint file says, looks,
and goes on. What it then cannot know, it waits for (`settle_s` before anything that callers may still be sent
to).

An action is **under way** from the moment that the reconciler asks for it. It is over when it failed; or when
it was done and a look shows its effect, or `patience_s` have passed without. Looks take a while and may be
older than what was done, so an effect that is not seen yet is no reason to do it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hotgraph_server.fleet.actions import Action, Drain, Endpoint, Load, Publish, Start, Stop, Unload
from hotgraph_server.fleet.observed import FleetSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.spec import FleetSpec
from hotgraph_server.settings import ListenSettings

_Value = TypeVar("_Value")

_MOST_WAIT_S = 60.0
# A file is written in no time, and until it is callers may be sent to what is gone.
_MOST_PUBLISH_WAIT_S = 5.0
_DOUBLINGS = 6
# What ending takes a server after its calls have, or were cut off.
_BEYOND_DRAIN_S = 15.0


@dataclass(frozen=True)
class Times:
    """How long a driver waits, seconds.

    Attributes:
        settle_s: from the endpoints' change to the end of what is no longer in them: proxies read files, and
            clients resolve names, when they do.
        patience_s: for the effect of what was done to be seen.
        grace_s: for a lost replica to come back before its models are placed elsewhere.
        replace_s: for a lost replica to come back before another takes its place.
        drain_s: for a drain to end before it is stopped.
    """

    settle_s: float = 2.0
    patience_s: float = 10.0
    grace_s: float = 5.0
    replace_s: float = 60.0
    drain_s: float = 40.0


def times_of(spec: FleetSpec) -> Times:
    """With a drain that is waited for longer than its server takes for it."""
    settings = spec.replicas.settings
    servers = settings.get("drain_s", ListenSettings.drain_s)
    return Times(drain_s=_BEYOND_DRAIN_S + (float(servers) if isinstance(servers, int | float) else 0.0))


@dataclass(frozen=True)
class Failure:
    """An action that failed.

    Attributes:
        times: in a row.
        again_at_s: not tried before.
        why: one line.
        at_s: when it failed last.
        gone: because the replica was gone, or its server.
    """

    times: int
    again_at_s: float
    why: str
    at_s: float = 0.0
    gone: bool = False


@dataclass(frozen=True)
class Memory:
    """See above.

    Attributes:
        begun_at_s: when the driver came.
        published: the endpoints that callers have now.
        absent_at_s: of (replica, model) that were in the endpoints: since when they are not.
        begun, done: moments of actions under way.
        failed: actions that failed and are wanted again.
        lost_at_s, draining_at_s: since when replicas are so.
    """

    begun_at_s: float
    published: tuple[Endpoint, ...] = ()
    times: Times = Times()
    absent_at_s: Mapping[tuple[str, str], float] = field(default_factory=dict)
    begun: Mapping[Action, float] = field(default_factory=dict)
    done: Mapping[Action, float] = field(default_factory=dict)
    failed: Mapping[Action, Failure] = field(default_factory=dict)
    lost_at_s: Mapping[str, float] = field(default_factory=dict)
    draining_at_s: Mapping[str, float] = field(default_factory=dict)

    def with_begun(self, actions: Iterable[Action], at_s: float) -> Memory:
        """These are under way."""
        return replace(self, begun={**self.begun, **{action: at_s for action in actions}})

    def with_done(self, action: Action, at_s: float) -> Memory:
        """The engine, or who publishes, has returned from it."""
        if not isinstance(action, Publish):
            return replace(self, done={**self.done, action: at_s}, failed=_without(self.failed, action))
        before, now = _pairs(self.published), _pairs(action.endpoints)
        absent = {pair: since for pair, since in self.absent_at_s.items() if pair not in now}
        return replace(
            self,
            published=action.endpoints,
            absent_at_s=absent | {pair: at_s for pair in before - now},
            begun=_without(self.begun, action),
            failed=self._failed_but_publishing(),
        )

    def with_failed(self, action: Action, why: str, at_s: float, gone: bool = False) -> Memory:
        """It is over without an effect; tried again later, and later each time."""
        times = self.failed[action].times + 1 if action in self.failed else 1
        most_s = _MOST_PUBLISH_WAIT_S if isinstance(action, Publish) else _MOST_WAIT_S
        again = at_s + min(2.0 ** min(times, _DOUBLINGS), most_s)
        # Each may be of other endpoints, and only the last is wanted.
        others = self._failed_but_publishing() if isinstance(action, Publish) else self.failed
        return replace(
            self,
            begun=_without(self.begun, action),
            done=_without(self.done, action),
            failed={**others, action: Failure(times, again, why, at_s, gone)},
        )

    def _failed_but_publishing(self) -> dict[Action, Failure]:
        return {one: failure for one, failure in self.failed.items() if not isinstance(one, Publish)}

    def looked(self, seen: FleetSeen) -> Memory:
        """After a look, and before anything is decided by it."""
        replicas = {replica.replica_id: replica for replica in seen.replicas}
        over = {action for action, at_s in self.done.items() if self._is_over(action, at_s, seen, replicas)}
        lost = _lost(seen)
        draining = {one.replica_id for one in seen.replicas if one.state is ReplicaState.DRAINING}
        return replace(
            self,
            published=_named(self.published, seen.replicas),
            begun={action: at_s for action, at_s in self.begun.items() if action not in over},
            done={action: at_s for action, at_s in self.done.items() if action not in over},
            failed={
                action: failure
                for action, failure in self.failed.items()
                if isinstance(action, Publish | Start) or action.replica_id in replicas
            },
            # Bounded by what there is: a pair of a replica that went is asked for no more.
            absent_at_s={pair: at_s for pair, at_s in self.absent_at_s.items() if pair[0] in replicas},
            lost_at_s={name: self.lost_at_s.get(name, seen.at_s) for name in lost},
            draining_at_s={name: self.draining_at_s.get(name, seen.at_s) for name in draining},
        )

    def may_begin(self, action: Action, now_s: float) -> bool:
        """Is it neither under way nor to be tried later?"""
        failure = self.failed.get(action)
        return action not in self.begun and (failure is None or now_s >= failure.again_at_s)

    def is_settled(self, replica_id: str, model: str, now_s: float) -> bool:
        """Has what is in no endpoint been in none for so long that no caller is sent there for that model?"""
        since = max(self.begun_at_s, self.absent_at_s.get((replica_id, model), self.begun_at_s))
        return now_s - since >= self.times.settle_s

    def is_left_alone(self, replica_id: str, now_s: float) -> bool:
        """The same of a replica, for any model."""
        absent = [at_s for (replica, _), at_s in self.absent_at_s.items() if replica == replica_id]
        return now_s - max([self.begun_at_s, *absent]) >= self.times.settle_s

    def _is_over(
        self, action: Action, done_at_s: float, seen: FleetSeen, replicas: Mapping[str, ReplicaSeen]
    ) -> bool:
        return _shows(action, replicas) or seen.at_s - done_at_s > self.times.patience_s


def serves(replica: ReplicaSeen, model: str, versions: tuple[int, ...]) -> bool:
    """Does it have these versions live, and no others; or any, where none are named?"""
    live = replica.models[model].versions if model in replica.models else ()
    return set(live) == set(versions) if versions else bool(live)


def _named(published: tuple[Endpoint, ...], replicas: Iterable[ReplicaSeen]) -> tuple[Endpoint, ...]:
    """With the names of those that were not heard of when the file was read, and are now."""
    if all(one.replica_id for one in published):
        return published
    found = {one.address: one for one in replicas if one.address}
    return tuple(
        replace(one, replica_id=found[one.address].replica_id, rest_address=found[one.address].rest_address)
        if not one.replica_id and one.address in found
        else one
        for one in published
    )


def _lost(seen: FleetSeen) -> set[str]:
    """Replicas whose process or node is gone."""
    dead = {node.node_id for node in seen.nodes if not node.alive}
    return {one.replica_id for one in seen.replicas if one.state is ReplicaState.LOST or one.node_id in dead}


def _shows(action: Action, replicas: Mapping[str, ReplicaSeen]) -> bool:
    if isinstance(action, Publish):
        return True
    replica = replicas.get(action.replica_id)
    if isinstance(action, Start):
        return replica is not None
    if replica is None:
        return True
    if isinstance(action, Drain):
        return replica.state is not ReplicaState.READY
    if isinstance(action, Load):
        return serves(replica, action.model, action.versions)
    if isinstance(action, Unload):
        return action.model not in replica.models
    assert isinstance(action, Stop)
    return False


def _pairs(endpoints: Iterable[Endpoint]) -> set[tuple[str, str]]:
    return {(one.replica_id, model) for one in endpoints for model in one.models}


def _without(mapping: Mapping[Action, _Value], action: Action) -> dict[Action, _Value]:
    return {key: value for key, value in mapping.items() if key != action}
