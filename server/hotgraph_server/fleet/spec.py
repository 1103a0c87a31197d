"""What a fleet shall be: `fleet.toml` as values. Pure, but for `read`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ReplicaSpec:
    """What each replica is.

    Attributes:
        count: of them at the start.
        least, most: the bounds of scaling; equal: nothing is scaled by itself.
        cpus: processors of each; the server gets so many of its own.
        memory_mb: of each; what models may take of it is `model_memory_mb`.
        model_memory_mb: for models; None: what is left of memory_mb after the server's own share.
        gpus: of each.
        settings: of the server, as keys of `hotgraph serve`'s settings file (max_batch_rows = 32).
    """

    count: int = 1
    least: int = 1
    most: int = 1
    cpus: float = 1.0
    memory_mb: int = 4096
    model_memory_mb: int | None = None
    gpus: float = 0.0
    settings: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """A model of the fleet.

    Attributes:
        name: as callers call it, and the name of its folder in the repository.
        copies: on so many replicas at least.
        most_copies: on so many at most; None: on any number.
        rate_per_s: calls a second that are expected; None: what is observed.
        cost_ms: (rows, milliseconds) of runs, ascending; empty: what is observed.
        memory_mb: None: as measured by the server that loads it.
        version: to be served; None: the newest.
        apart_from: names of models that share no replica with it.
        pin: is on every replica.
    """

    name: str
    copies: int = 1
    most_copies: int | None = None
    rate_per_s: float | None = None
    cost_ms: tuple[tuple[int, float], ...] = ()
    memory_mb: float | None = None
    version: int | None = None
    apart_from: frozenset[str] = frozenset()
    pin: bool = False


@dataclass(frozen=True)
class ScalingSpec:
    """When replicas are added and taken away; hysteresis lies between the two.

    Attributes:
        duty_high, duty_low: share of time that executors run, 0 to 1; beyond these for hold_s.
        queue_wait_high_ms: mean time in the queue.
        out_hold_s, in_hold_s: for so long it has to be so.
    """

    duty_high: float = 0.75
    duty_low: float = 0.35
    queue_wait_high_ms: float = 20.0
    out_hold_s: float = 10.0
    in_hold_s: float = 120.0


@dataclass(frozen=True)
class RolloutSpec:
    """How a new version of a model comes.

    Attributes:
        calls: real ones that are compared before it goes on.
        wait_s: for them; then it goes on with those that there were, if there was any or `blind`.
        blind: also where no real call could be compared.
        tolerance: of answers' floats, relative and absolute; None: answers may differ (a new training).
        slower: its median latency may be so many times the old one's.
    """

    calls: int = 50
    wait_s: float = 60.0
    blind: bool = True
    tolerance: float | None = None
    slower: float = 1.5


@dataclass(frozen=True)
class FleetSpec:
    """A fleet.

    Attributes:
        name: of it, and of its namespace at Ray.
        repository: folder of models that every node sees at this path.
        address: Ray's cluster: `auto`, `local` (one is started on this machine), or HOST:PORT.
        state: folder for what others read: endpoints.json, endpoints.txt, status.json.
        host: that replicas listen on; `node`: their node's address.
        admin_port: of the driver; 0: one that is free; None: none.
        listen: where Envoy takes calls, HOST:PORT.
    """

    name: str
    repository: Path
    state: Path
    address: str = "auto"
    host: str = "node"
    admin_port: int | None = None
    listen: str = "127.0.0.1:8080"
    replicas: ReplicaSpec = ReplicaSpec()
    models: tuple[ModelSpec, ...] = ()
    scaling: ScalingSpec = ScalingSpec()
    rollout: RolloutSpec = RolloutSpec()
