"""What the transport has to tell of itself for metrics. Read by any thread, without a lock: each figure is of
its own moment.

Of grpc's own server, where it stands in for the sockets, there are the calls alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.sockets.server import SocketServer


class DoorFigures(NamedTuple):
    """Of the ports for calls, all together.

    Attributes:
        connections: that are open; `accepted` so far.
        open_calls: that are owed an answer, those on streams included.
        max_calls: further ones are refused, but for those on streams.
        held_bytes: of the messages of calls that are inside; at most `max_held_bytes`.
        errors: answers so far that were an error, by protocol (grpc, http) and the name of gRPC's status.
        faults: of these, the ones for which a bug of ours is to blame.
        certificate_expiries: until when TLS's certificates are valid, seconds since 1970, by whose they are.
    """

    connections: int
    accepted: int
    open_calls: int
    max_calls: int
    held_bytes: int
    max_held_bytes: int
    errors: Mapping[tuple[str, str], int]
    faults: int
    certificate_expiries: Mapping[str, float] = MappingProxyType({})


def door_figures(
    transports: Iterable[object],
    calls: OpenCalls,
    inflight: Inflight,
    max_calls: int,
    certificate_expiries: Mapping[str, float],
) -> DoorFigures:
    """What these transports have and have done together."""
    sockets = [one for one in transports if isinstance(one, SocketServer)]
    errors = Counter[tuple[str, str]]()
    for one in sockets:
        # A copy first: the thread that serves may add a status meanwhile.
        errors.update(dict(one.admission.errors))
    return DoorFigures(
        connections=sum(len(one.connections.sockets) for one in sockets),
        accepted=sum(one.connections.accepted for one in sockets),
        open_calls=calls.count,
        max_calls=max_calls,
        held_bytes=inflight.nbytes,
        max_held_bytes=inflight.limit,
        errors=errors,
        faults=sum(one.admission.faults for one in sockets),
        certificate_expiries=certificate_expiries,
    )
