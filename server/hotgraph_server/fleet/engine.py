"""What places, starts and stops replicas: Ray, or a simulation. The driver knows no more of it than this."""

from __future__ import annotations

from typing import Protocol

from hotgraph_server.fleet.observed import NodeSeen, ReplicaSeen


class Engine(Protocol):
    """All methods return at once or within seconds; what they begin is seen in `replicas` later."""

    def nodes(self) -> list[NodeSeen]: ...

    def replicas(self) -> list[ReplicaSeen]:
        """Those that were started and not stopped, also by a driver before this one."""

    def start(self, replica_id: str) -> None:
        """Begin a replica; does nothing where one of that id is."""

    def drain(self, replica_id: str) -> None:
        """It ends what it has, takes nothing new, and ends."""

    def stop(self, replica_id: str) -> None:
        """At once, and for good."""

    def load(self, replica_id: str, model: str, versions: tuple[int, ...] = ()) -> None:
        """Have it serve these versions of a model; empty: the newest. Callers who ask for none get the
        first, and a second answers in its shadow. Returns when it does.

        Raises:
            FleetError: it does not; says why.
        """

    def unload(self, replica_id: str, model: str) -> None: ...
