"""The snapshotter: writes snapshots of a version's variables in a thread of its own, and tells the callers
that wait for them.

What a crash costs under which policy is in durability.py. The executor's thread tells of each write and goes
on; the snapshotter's thread writes what is due; any thread may ask for a snapshot. One lock guards the
bookkeeping of durability: inside it is only decided. Files are written and callers told outside of it.

Without a store there is no thread, and nothing is due or ever waited for.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from pathlib import Path

from hotgraph_server.state.durability import Callback, Durability, DurabilityPolicy, Values
from hotgraph_server.state.snapshot import Header, Snapshot
from hotgraph_server.state.store import Store
from hotgraph_server.threads.joining import join_within

_LOG = logging.getLogger(__name__)

# A disk that hangs must not keep the executor's thread for ever; a stop of the version waits for less.
_CLOSES_IN_S = 600.0


@dataclass(frozen=True)
class SnapshotStatus:
    """What is on disk at one moment.

    Attributes:
        writes: that have led to the values now.
        saved: how many of them are on disk.
        folder: of the snapshots; None: none are taken.
    """

    writes: int
    saved: int
    folder: Path | None


class Snapshotter:
    """Of one version.

    Args:
        title: of the version, for the log and the thread.
        header: of its snapshots, but for their writes and time.
        store: where they go; None: nowhere.
        policy: see durability.py.
        values: of the variables now.
        writes: that have led to them.
        saved: those of them that a snapshot has.
        clock: monotonic seconds.
        wall_clock: seconds since 1970.
    """

    def __init__(
        self,
        title: str,
        header: Header,
        store: Store | None,
        policy: DurabilityPolicy,
        values: Values,
        writes: int = 0,
        saved: int = 0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._title = title
        self._header = header
        self._store = store
        self._clock = clock
        self._wall_clock = wall_clock
        self._changed = threading.Condition(threading.Lock())  # guards what follows
        self._durability = Durability(policy if store else DurabilityPolicy(), values, writes, saved)
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if there is anything for it to do."""
        if self._store is not None:
            self._thread = threading.Thread(target=self._main, name=f"state {self._title}", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float = _CLOSES_IN_S) -> None:
        """Save what is not saved, answer the callers that wait for that, end the thread. Idempotent.

        A thread that has not ended after `timeout_s` seconds is named in a warning and left to itself.
        """
        if self._thread is None:
            return
        saved = self.save()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if not join_within(self._thread, timeout_s):
            return
        self._thread = None
        problem = saved.result()
        if problem is not None:
            _LOG.warning("%s: its last writes are not saved: %s", self._title, problem)

    @property
    def status(self) -> SnapshotStatus:
        """What is on disk now."""
        with self._changed:
            folder = self._store.folder if self._store is not None else None
            return SnapshotStatus(self._durability.writes, self._durability.saved, folder)

    @property
    def values(self) -> Values:
        """After the last write."""
        with self._changed:
            return self._durability.values

    def wrote(self, values: Values, tell: Callback) -> None:
        """One more write has led to `values`; `tell` is told, by this thread or the snapshotter's, when its
        caller may have the answer, or why it is not saved."""
        with self._changed:
            now = self._clock()
            may_answer = self._durability.wrote(values, tell, now)
            if self._durability.due_at() <= now or (self._durability.writes - self._durability.saved) == 1:
                # Due now, or the clock begins to run for it.
                self._changed.notify_all()
        if may_answer:
            tell(None)

    def replace(self, values: Values, writes: int) -> None:
        """The state is another now: of another version, or of a snapshot."""
        with self._changed:
            self._durability.replace(values, writes)
            self._changed.notify_all()

    def give_up(self) -> None:
        """What has been taken over belongs to another version, which goes on with it and may have the same
        folder: no snapshot of this one may lie among that one's."""
        with self._changed:
            self._durability.give_up()

    def save(self) -> Future[str | None]:
        """Ask for a snapshot of what is now. The result: None when it is on disk, or why it is not."""
        future: Future[str | None] = Future()
        if self._store is None:
            future.set_result("no state-dir is set")
            return future
        with self._changed:
            there_already = self._closing or self._durability.ask(future.set_result)
            self._changed.notify_all()
        if there_already:
            future.set_result("the version is closed" if self._closing else None)
        return future

    def save_now(self, timeout_s: float) -> None:
        """Save what is not saved, as `close` does; a run may still be under way. Returns when it is on disk,
        or cannot be, or the time is up."""
        if self._store is None:
            return
        try:
            problem = self.save().result(timeout_s)
        except NotInTime:
            problem = f"not within {timeout_s:.0f} s"
        if problem is not None and not self._closing:
            _LOG.warning("%s: its last writes are not saved: %s", self._title, problem)

    def work(self) -> float:
        """Write a snapshot if one is due. Returns when the next one is, monotonic seconds. For the thread,
        and for tests in its place."""
        with self._changed:
            due_at = self._durability.due_at()
            if due_at > self._clock():
                return due_at
            writes, values = self._durability.take()
        problem = self._save(writes, values)
        with self._changed:
            told: Sequence[Callback]
            if problem is None:
                told = self._durability.took(writes)
            else:
                told = self._durability.failed(writes, self._clock())
            due_at = self._durability.due_at()
        for tell in told:
            tell(problem)
        return due_at

    def _save(self, writes: int, values: Values) -> str | None:
        """Returns why it could not be saved."""
        assert self._store is not None
        header = self._header
        snapshot = Snapshot(
            Header(header.model, header.version, header.identity, writes, self._wall_clock()), values
        )
        try:
            path = self._store.save(snapshot)
        except Exception as error:
            _LOG.warning("%s: no snapshot of its state could be written: %s", self._title, error)
            return str(error) or type(error).__name__
        _LOG.debug("%s: saved %d writes to %s", self._title, writes, path)
        return None

    def _main(self) -> None:
        while True:
            due_at = self.work()
            with self._changed:
                due_at = min(due_at, self._durability.due_at())
                left_s = due_at - self._clock()
                if left_s <= 0:
                    continue
                if self._closing:
                    return
                self._changed.wait(None if math.isinf(left_s) else min(left_s, threading.TIMEOUT_MAX))
