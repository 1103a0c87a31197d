"""What is seen of a fleet at a moment. Values, and nothing else."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class ReplicaState(enum.Enum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # not in the endpoints any more; calls in it end
    LOST = "lost"  # its process or node is gone


@dataclass(frozen=True)
class NodeSeen:
    """A machine.

    Attributes:
        node_id: Ray's.
        address: IP.
        cpus, memory_mb, gpus: of it, in all.
        alive: does Ray think so?
    """

    node_id: str
    address: str
    cpus: float
    memory_mb: float
    gpus: float = 0.0
    alive: bool = True


@dataclass(frozen=True)
class ShadowSeen:
    """What has come of calls that a version was asked a second time, after the one in service had answered.

    Attributes:
        version: that was asked so.
        compared: calls that both have answered.
        differed: of these, those whose answers differ by more than the tolerance.
        failed: calls that the one in service has answered and this one has not.
        dropped: calls that were to be compared, and were not for want of time or memory.
        slower: its run takes so many times the other's, the median of the calls; None: not known.
        largest: difference of floats, of the largest number of their answer.
        reason: what the last call that differed or failed was told, a line.
    """

    version: int
    compared: int = 0
    differed: int = 0
    failed: int = 0
    dropped: int = 0
    slower: float | None = None
    largest: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class ModelSeen:
    """A model on a replica.

    Attributes:
        versions: live ones.
        memory_bytes: measured, all versions.
        calls: since the start of the server.
        failed: of these.
        queue_s, run_s: sums over calls and runs.
        default: the version that callers get who ask for none; 0: it is not known, or there is none.
        calls_per_s, failed_per_s: since the look before.
        p99_ms: of calls since the look before, to the end of their runs; None: there was none.
        shadow: how a version does that answers after the default one, unseen by callers; None: none does.
    """

    versions: tuple[int, ...] = ()
    memory_bytes: int = 0
    calls: int = 0
    failed: int = 0
    queue_s: float = 0.0
    run_s: float = 0.0
    default: int = 0
    calls_per_s: float = 0.0
    failed_per_s: float = 0.0
    p99_ms: float | None = None
    shadow: ShadowSeen | None = None


@dataclass(frozen=True)
class ReplicaSeen:
    """A replica.

    Attributes:
        replica_id: stays for life, over restarts of its process.
        address: HOST:PORT of gRPC; empty while it has none.
        rest_address: HOST:PORT of HTTP.
        node_id: where it is.
        incarnation: process id and start; another one has come when it changes.
        models: what is live there.
        duty: share of time in runs since the last look, 0 to 1.
        rss_bytes: of its server.
        loading: models that it loads now, whoever has asked for it.
        restarts: of its process, so far.
        calls_per_s: of all its models.
        trouble: why its server does not start, a line; empty: it does.
    """

    replica_id: str
    state: ReplicaState
    address: str = ""
    rest_address: str = ""
    admin_address: str = ""
    node_id: str = ""
    incarnation: str = ""
    models: Mapping[str, ModelSeen] = field(default_factory=dict)
    duty: float = 0.0
    queue_wait_ms: float = 0.0
    rss_bytes: int = 0
    loading: frozenset[str] = frozenset()
    restarts: int = 0
    calls_per_s: float = 0.0
    trouble: str = ""


@dataclass(frozen=True)
class FleetSeen:
    """All of it.

    Attributes:
        at_s: monotonic, or virtual.
    """

    at_s: float
    nodes: tuple[NodeSeen, ...] = ()
    replicas: tuple[ReplicaSeen, ...] = ()
