"""What a fleet shall be: `fleet.toml` as values. Pure; reading.py reads the file.

A field with `setting` is a key of the file, in the table that its class stands for; the rest is made of
tables. Each value is held against its bounds when it is made; what contradicts another table is found by
reading.py.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hotgraph_server.settings.fields import check, setting

SERVER_MB = 640
"""What a server takes that holds no model, MiB: TensorFlow above all. Measured at 520 to 600."""

MOST_REPLICAS = 10_000
MOST_ROWS = 1_000_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]+):([0-9]{1,5})")


def setting_of(kind: type, help: str) -> dict[str, Any]:
    """What makes a field a key of the file, where its value is made from what stands there.

    Args:
        kind: of what stands there, as for `setting`.
    """
    return {
        **{"help": help, "kind": kind, "of": None, "metavar": None, "choices": ()},
        **{"flag": False, "former": None, "secret": False},
    }


@dataclass(frozen=True)
class ReplicaSpec:
    """What each replica is; the table [replicas].

    Attributes:
        count: of them at the start.
        least, most: the bounds of scaling; equal: nothing is scaled by itself.
        cpus: processors of each; the server gets so many of its own.
        memory_mb: of each; what models may take of it is `model_memory_mb`.
        model_memory_mb: for models; None: what is left of memory_mb after the server's own share.
        gpus: of each.
        settings: of the server, as keys of `hotgraph serve`'s settings file (max_batch_rows = 32).
    """

    count: int = setting(1, "replicas at the start; where nothing is said, as many as least")
    least: int = setting(1, "replicas at least; where nothing is said, as many as count: none is taken away")
    most: int = setting(1, "replicas at most; where nothing is said, as many as count: none is added")
    cpus: float = setting(1.0, "processors of each")
    memory_mb: int = setting(4096, "MiB of each, of which the server takes its own share")
    model_memory_mb: int | None = setting(
        None, f"MiB of each for models; nothing said: memory_mb less {SERVER_MB}", kind=int
    )
    gpus: float = setting(0.0, "GPUs of each; 0: none")
    settings: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("count", "least", "most"):
            number = getattr(self, name)
            check(1 <= number <= MOST_REPLICAS, f"{name} must be 1 to {MOST_REPLICAS}, got {number}")
        check(0 < self.cpus <= 1024, f"cpus must be above 0 and at most 1024, got {self.cpus}")
        check(0 <= self.gpus <= 64, f"gpus must be 0 to 64, got {self.gpus}")
        check(1 <= self.memory_mb <= 2**24, f"memory_mb must be 1 to {2**24} (16 TiB), got {self.memory_mb}")
        share = self.model_memory_mb
        check(
            share is None or 1 <= share <= self.memory_mb,
            f"model_memory_mb must be 1 to memory_mb, which is {self.memory_mb}, got {share}",
        )
        check(
            share is not None or self.memory_mb > SERVER_MB,
            f"memory_mb must be more than {SERVER_MB}, which the server takes without any model,"
            f" got {self.memory_mb}; or say model_memory_mb",
        )

    @property
    def for_models_mb(self) -> int:
        """What models of a replica may take, MiB."""
        return self.memory_mb - SERVER_MB if self.model_memory_mb is None else self.model_memory_mb


@dataclass(frozen=True)
class ModelSpec:
    """A model of the fleet; a table [models.NAME].

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
    copies: int = setting(1, "replicas that have it, at least; each on another node where there are nodes")
    most_copies: int | None = setting(
        None, "replicas that have it, at most; nothing said: any number", kind=int
    )
    rate_per_s: float | None = setting(
        None, "calls a second that are expected; nothing said: as observed", kind=float
    )
    cost_ms: tuple[tuple[int, float], ...] = field(
        default=(),
        metadata=setting_of(dict, "milliseconds of a run by its rows: { 1 = 2.0, 32 = 20.0 }"),
    )
    memory_mb: float | None = setting(
        None, "MiB that it takes; nothing said: as measured, and before that by its files", kind=float
    )
    version: int | None = setting(None, "the one that is served; nothing said: the newest", kind=int)
    apart_from: frozenset[str] = field(
        default=frozenset(), metadata=setting_of(list, "models that share no replica with it")
    )
    pin: bool = setting(False, "it is on every replica")

    def __post_init__(self) -> None:
        check(
            bool(self.name)
            and len(self.name) <= 255
            and "/" not in self.name
            and self.name not in (".", ".."),
            f"the name of a model is that of a folder, got {self.name[:300]!r}",
        )
        check(1 <= self.copies <= MOST_REPLICAS, f"copies must be 1 to {MOST_REPLICAS}, got {self.copies}")
        most = self.most_copies
        check(
            most is None or most >= self.copies,
            f"most_copies must be at least copies, which is {self.copies}, got {most}",
        )
        check(
            not self.pin or most is None, f"pin is every replica, and most_copies is {most}; say one of them"
        )
        rate, memory = self.rate_per_s, self.memory_mb
        check(rate is None or 0 <= rate <= 1e9, f"rate_per_s must be 0 to 1e9, got {rate}")
        check(
            memory is None or 0 < memory <= 2**24, f"memory_mb must be above 0, at most {2**24}, got {memory}"
        )
        check(
            self.version is None or 0 <= self.version < 2**63,
            f"version must be 0 to 2^63 - 1, got {self.version}",
        )
        rows = [one for one, _ in self.cost_ms]
        check(
            rows == sorted(set(rows)) and all(1 <= one <= MOST_ROWS for one in rows),
            f"cost_ms must be by rows of 1 to {MOST_ROWS}, ascending, got {rows}",
        )
        check(
            all(0 < ms <= 1e7 and math.isfinite(ms) for _, ms in self.cost_ms),
            f"cost_ms must be milliseconds above 0 and at most 1e7, got {[ms for _, ms in self.cost_ms]}",
        )
        check(self.name not in self.apart_from, f"apart_from of {self.name!r} names itself")


@dataclass(frozen=True)
class ScalingSpec:
    """When replicas are added and taken away; hysteresis lies between the two. The table [scaling].

    Attributes:
        duty_high, duty_low: share of time that executors run, 0 to 1; beyond these for hold_s.
        queue_wait_high_ms: mean time in the queue.
        out_hold_s, in_hold_s: for so long it has to be so.
    """

    duty_high: float = setting(0.75, "share of time in runs, 0 to 1, above which a replica is added")
    duty_low: float = setting(0.35, "share of time in runs, 0 to 1, below which one is taken away")
    queue_wait_high_ms: float = setting(20.0, "mean time in the queue above which a replica is added")
    out_hold_s: float = setting(10.0, "seconds that it has to be so before one is added; 0: at once")
    in_hold_s: float = setting(120.0, "seconds that it has to be so before one is taken away; 0: at once")

    def __post_init__(self) -> None:
        check(0 < self.duty_high <= 1, f"duty_high must be above 0, at most 1, got {self.duty_high}")
        check(
            0 <= self.duty_low < self.duty_high,
            f"duty_low must be 0 or more and below duty_high, which is {self.duty_high}, got {self.duty_low};"
            " what lies between keeps the fleet as it is",
        )
        wait = self.queue_wait_high_ms
        check(0 < wait <= 1e7, f"queue_wait_high_ms must be above 0, at most 1e7, got {wait}")
        for name in ("out_hold_s", "in_hold_s"):
            hold = getattr(self, name)
            check(0 <= hold <= 86_400, f"{name} must be 0 to 86400 (a day), got {hold}")


@dataclass(frozen=True)
class RolloutSpec:
    """How a new version of a model comes; the table [rollout].

    Attributes:
        calls: real ones that are compared before it goes on.
        wait_s: for them; then it goes on with those that there were, if there was any or `blind`.
        blind: also where no real call could be compared.
        tolerance: of answers' floats, relative and absolute; None: answers may differ (a new training).
        slower: its median latency may be so many times the old one's.
    """

    calls: int = setting(50, "real calls that are compared before a new version goes on; 0: none")
    wait_s: float = setting(60.0, "seconds that these may take; 0: as many as there were at once")
    blind: bool = setting(True, "it also goes on where no real call could be compared")
    tolerance: float | None = setting(
        None, "of its answers' floats; nothing said: answers may differ", kind=float
    )
    slower: float = setting(1.5, "its median latency may be so many times the old one's")

    def __post_init__(self) -> None:
        check(0 <= self.calls <= 1_000_000, f"calls must be 0 to 1000000, got {self.calls}")
        check(0 <= self.wait_s <= 86_400, f"wait_s must be 0 to 86400 (a day), got {self.wait_s}")
        tolerance = self.tolerance
        check(tolerance is None or 0 <= tolerance <= 1, f"tolerance must be 0 to 1, got {tolerance}")
        check(0 < self.slower <= 1000, f"slower must be above 0, at most 1000, got {self.slower}")


@dataclass(frozen=True)
class FleetSpec:
    """A fleet; [fleet], and the other tables.

    Attributes:
        name: of it, and of its namespace at Ray.
        repository: folder of models that every node sees at this path.
        address: Ray's cluster: `auto`, `local` (one is started on this machine), or HOST:PORT.
        state: folder for what others read: endpoints.json, endpoints.txt, status.json.
        host: IP address that replicas listen on and are called at; `node`: their node's.
        admin_port: of the driver; 0: one that is free; None: none.
        listen: where Envoy takes calls, HOST:PORT.
        endpoints: `files` in `state`, `none`, or `auto`: none where Kubernetes is, whose Service does it.
    """

    name: str = field(metadata=setting_of(str, "of the fleet, and of its namespace at Ray"))
    repository: Path = field(metadata=setting_of(str, "folder of models that every node sees at this path"))
    state: Path = field(metadata=setting_of(str, "folder for what others read of the fleet"))
    address: str = setting("auto", "Ray's cluster: auto, local (one on this machine), or HOST:PORT")
    host: str = setting(
        "node", "IP address that replicas listen on and are called at; node: that of their node"
    )
    admin_port: int | None = setting(
        None, "HTTP port of the driver; 0: one that is free; nothing said: none", kind=int
    )
    listen: str = setting("127.0.0.1:8080", "where Envoy takes calls, HOST:PORT")
    endpoints: str = setting(
        "auto",
        "auto, files or none: does state say where replicas are? auto: but in Kubernetes, whose Service does",
    )
    replicas: ReplicaSpec = ReplicaSpec()
    models: tuple[ModelSpec, ...] = ()
    scaling: ScalingSpec = ScalingSpec()
    rollout: RolloutSpec = RolloutSpec()

    def __post_init__(self) -> None:
        check(
            _NAME.fullmatch(self.name) is not None,
            f"name must be letters, digits, - . and _, at most 63, got {self.name[:100]!r}",
        )
        check(
            self.address in ("auto", "local") or is_address(self.address),
            f"address must be auto, local or HOST:PORT, got {self.address!r}",
        )
        check(
            self.host == "node" or _is_called(self.host),
            "host must be node, the address of each node, or an IP address that callers reach,"
            f" got {self.host[:100]!r}",
        )
        port = self.admin_port
        check(port is None or 0 <= port <= 65535, f"admin_port must be 0 to 65535, got {port}")
        choices = ("auto", "files", "none")
        check(self.endpoints in choices, f"endpoints must be auto, files or none, got {self.endpoints!r}")
        check(is_address(self.listen), f"listen must be HOST:PORT, got {self.listen!r}")


def _is_called(text: str) -> bool:
    """Is it an IP address at which somebody can be called? Envoy takes no names for endpoints."""
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False


def is_address(text: str) -> bool:
    """Is it HOST:PORT?"""
    found = _ADDRESS.fullmatch(text)
    return found is not None and 1 <= int(found[1]) <= 65535
