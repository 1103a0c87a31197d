"""What can be done to a fleet, and what callers are told of it. Values, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A replica as callers see it.

    Attributes:
        address: HOST:PORT of gRPC.
        rest_address: HOST:PORT of HTTP; may be the same.
        models: that it can be asked for.
    """

    replica_id: str
    address: str
    rest_address: str = ""
    models: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Start:
    """Begin a replica."""

    replica_id: str


@dataclass(frozen=True)
class Drain:
    """Have a replica that no caller is sent to any more end what it has."""

    replica_id: str


@dataclass(frozen=True)
class Stop:
    """End a replica at once."""

    replica_id: str


@dataclass(frozen=True)
class Load:
    """Have a replica serve these versions of a model; empty: the newest."""

    replica_id: str
    model: str
    versions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Unload:
    """Have a replica give up a model that no caller asks it for any more."""

    replica_id: str
    model: str


@dataclass(frozen=True)
class Publish:
    """Send callers to these replicas from now on, and to no others."""

    endpoints: tuple[Endpoint, ...]


Action = Start | Drain | Stop | Load | Unload | Publish
