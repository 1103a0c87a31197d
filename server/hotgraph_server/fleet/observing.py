"""Asks replicas for their figures, all at once and each for a second at most, in a thread of its own.

Who wants to know what is seen (`fill`) gets what the last look has found, and never waits: a replica that
hangs, or a hundred of them, cost the driver nothing. What is older than `OLDEST_S` is not told any more, for
a rate of then says nothing of now.

One thread, asyncio from the standard library in it: a thread for each replica would be hundreds that sleep.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from hotgraph_server.fleet.figures import Look, NoFigures, read
from hotgraph_server.fleet.observed import ReplicaSeen
from hotgraph_server.threads.periodic import PeriodicThread

_LOG = logging.getLogger(__name__)

LOOK_S = 1.0
"""From the beginning of a look to that of the next, and for each replica to answer, seconds."""

OLDEST_S = 10.0

_MAX_BYTES = 64 * 2**20
_STOP_S = 5.0

Ask = Callable[[str], Awaitable[Any]]
"""From HOST:PORT of an admin port to what its /api/status says, as JSON was read; raises OSError, ValueError
or EOFError. Who asks ends it after `LOOK_S`."""


class _Known(NamedTuple):
    """What a look has found: the replica with its figures, when that was, and what the next compares with."""

    replica: ReplicaSeen
    at_s: float
    look: Look


class Observer:
    """The constructor starts nothing.

    Args:
        ask: see there.
        clock: monotonic seconds.
    """

    def __init__(self, ask: Ask | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask or ask_status
        self._clock = clock
        # Both are swapped, never changed: one thread writes each, and others read.
        self._asked: Sequence[ReplicaSeen] = ()
        self._known: dict[str, _Known] = {}
        self._complained: set[str] = set()
        self._thread = PeriodicThread("fleet figures", self._tick, failure="looking at the replicas failed")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; idempotent. Ends within a look."""
        self._thread.stop(_STOP_S)

    def fill(self, replicas: Sequence[ReplicaSeen]) -> list[ReplicaSeen]:
        """These, with the figures of their servers as far as they are known, and look at these from now on.

        Models are as they were at the last look, a second or two ago; of a server that has told nothing yet,
        or nothing for `OLDEST_S`, they are as `replicas` say.
        """
        self._asked = tuple(replicas)
        now, known = self._clock(), self._known
        return [_filled(replica, known.get(replica.replica_id), now) for replica in replicas]

    async def look(self) -> None:
        """Ask all of them once, at the same time."""
        replicas = [replica for replica in self._asked if replica.admin_address]
        found = await asyncio.gather(*map(self._look_at, replicas))
        kept = {replica.replica_id: self._known.get(replica.replica_id) for replica in replicas}
        kept.update({known.replica.replica_id: known for known in found if known is not None})
        self._known = {name: known for name, known in kept.items() if known is not None}

    async def _look_at(self, replica: ReplicaSeen) -> _Known | None:
        before = self._known.get(replica.replica_id)
        same = before is not None and before.replica.incarnation == replica.incarnation
        try:
            status = await asyncio.wait_for(self._ask(replica.admin_address), LOOK_S)
            filled, look = read(replica, status, before.look if before is not None and same else None)
        except (OSError, ValueError, EOFError, asyncio.TimeoutError) as error:
            # Each time that it begins, and not each second that it lasts.
            if replica.replica_id not in self._complained:
                self._complained.add(replica.replica_id)
                why = str(error) or f"no answer within {LOOK_S:.0f} s"
                _LOG.warning("replica %s does not tell how it is: %s", replica.replica_id, why)
            return None
        self._complained.discard(replica.replica_id)
        return _Known(filled, self._clock(), look)

    def _tick(self) -> float:
        began = time.monotonic()
        asyncio.run(self.look())
        return began + LOOK_S


def _filled(replica: ReplicaSeen, known: _Known | None, now: float) -> ReplicaSeen:
    if (
        known is None
        or known.at_s < now - OLDEST_S
        or known.replica.incarnation != replica.incarnation
        or known.replica.admin_address != replica.admin_address
    ):
        return replica
    seen = known.replica
    return dataclasses.replace(
        replica,
        models=seen.models,
        duty=seen.duty,
        queue_wait_ms=seen.queue_wait_ms,
        rss_bytes=seen.rss_bytes or replica.rss_bytes,
        calls_per_s=seen.calls_per_s,
    )


async def ask_status(address: str) -> Any:
    """What a server's /api/status says; see Ask."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(f"GET /api/status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        first = head.splitlines()[0].decode("latin-1")
        if first.split(" ")[1:2] != ["200"]:
            raise NoFigures(f"its admin port answers {first[:100]!r}")
        body = await _read_all(reader)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return json.loads(body)


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while chunk := await reader.read(2**18):
        found += chunk
        if len(found) > _MAX_BYTES:
            raise NoFigures(f"its admin port says more than {_MAX_BYTES} bytes")
    return bytes(found)
