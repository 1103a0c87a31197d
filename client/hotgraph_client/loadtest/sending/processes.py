"""The processes that send, from their parent's side.

They are interpreters of their own, which import the worker and nothing of the parent's program: that needs no
guard around its main part. They end with their parent, whose socket they watch; the parent ends them when it
leaves, whatever they do. Ctrl-C reaches the parent alone, who then ends them at once.
"""

from __future__ import annotations

import contextlib
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait

from ..load import Assignment, Ended, Interval
from .merging import Merger, ended_of, interval_of
from .messages import Asked, Begin, Change, Failed, Finished, Known, Prepare, Ready, Stop, Told
from .schedule import PayloadChoice

# Packages are found where the parent finds them, and not in the folder that is the current one by chance.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[2:]; from hotgraph_client.loadtest.sending.worker import main; main()"
)
# For all to hear that they may begin.
_HEAD_START_S = 0.05
_LEAVE_S = 2.0
# Children tell of themselves once a second, and connect within seconds.
_SILENCE_S = 60.0

OnInterval = Callable[[Interval], None]


class _Child:
    """One process, and the socket to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _PROGRAM, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.connection: Connection[Asked, Told] = Connection(ours.detach())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def say(self, asked: Asked) -> None:
        """Ask it; of one that is gone whoever listens hears."""
        with contextlib.suppress(OSError):
            self.connection.send(asked)

    def kill(self) -> str:
        """See it gone, and say how it went."""
        self._process.kill()
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def leave(self) -> None:
        """Hang up, by which it ends."""
        self.connection.close()

    def wait(self) -> None:
        """See it gone, by itself where it can."""
        try:
            self._process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self.kill()


class Senders:
    """Processes that send, kept for many steps. A context manager, which starts and ends them.

    `run` is for one thread; `change` and `stop_early` may come from any, also from within `on_interval`.

    Raises:
        ValueError: no processes.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"{count} processes; 1 or more are possible")
        self._count = count
        self._children: list[_Child] = []
        # Guards who is running, and what is said to them.
        self._running_lock = threading.Lock()
        self._running: list[_Child] = []
        self._payloads = 0
        self._stopped = False

    def __enter__(self) -> Senders:
        try:
            while len(self._children) < self._count:
                self._children.append(_Child())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.leave()
        for child in self._children:
            child.wait()
        self._children.clear()

    @property
    def count(self) -> int:
        """Of the processes."""
        return self._count

    @property
    def pids(self) -> list[int]:
        """Of those that are there."""
        return [child.pid for child in self._children]

    def run(self, assignments: Sequence[Assignment], on_interval: OnInterval | None = None) -> Ended:
        """Carry out a step: one assignment for each process, see `assignments_for`.

        They begin together: at `begin_s`, or as soon as all are connected where that is past by then.

        Args:
            on_interval: hears about once a second, for each process and second, what came to be known since
                it was last told: whoever adds up the intervals of one second has all that is known of it.

        Returns:
            What all of them have to say. Where one could not go on, `fault` says why, and the others were
            stopped.

        Raises:
            ValueError: more assignments than processes, or none.
        """
        if not 0 < len(assignments) <= len(self._children):
            raise ValueError(f"{len(assignments)} assignments for {len(self._children)} processes")
        self._replace_lost()
        children = self._children[: len(assignments)]
        step = _Step(children, on_interval, self.stop_early)
        began_s = 0.0
        try:
            for child, assignment in zip(children, assignments, strict=True):
                child.say(Prepare(assignment))
            with self._running_lock:
                self._running, self._stopped = children, False
                self._payloads = len(assignments[0].payloads)
            step.hear_ready()
            with self._running_lock:
                began_s = max(assignments[0].begin_s, time.monotonic() + _HEAD_START_S)
                if not self._stopped:
                    for child in children:
                        child.say(Begin(began_s))
            step.hear_end()
        finally:
            with self._running_lock:
                self._running = []
            if step.is_open:
                # What was interrupted is in the middle of something; the next step gets new ones.
                for child in children:
                    child.kill()
        return step.ended(began_s)

    def change(self, rate: float | None = None, weights: Sequence[float] | None = None) -> None:
        """Go on at another rate, of all processes together, or with another mix of payloads.

        Where nothing runs, nothing happens; nor does the rate of a trace or of a closed loop change.

        Raises:
            ValueError: a rate below 0, or weights of which none is above 0, or not one for each payload.
        """
        if rate is not None and not 0 <= rate < math.inf:
            raise ValueError(f"a rate of {rate}; 0 or more calls a second are possible")
        with self._running_lock:
            if weights is not None and self._running:
                PayloadChoice(self._payloads, tuple(weights), seed=0)
            for child in self._running:
                share = None if rate is None else rate / len(self._running)
                child.say(Change(share, None if weights is None else tuple(weights)))

    def stop_early(self) -> None:
        """Have no more calls due in this step; those under way are waited for, and `run` returns."""
        with self._running_lock:
            self._stopped = True
            for child in self._running:
                child.say(Stop())

    def _replace_lost(self) -> None:
        for place, child in enumerate(self._children):
            if not child.is_alive:
                child.leave()
                self._children[place] = _Child()


class _Step:
    """What the parent hears of one step.

    Attributes:
        fault: why a process could not go on; empty: it could.
    """

    def __init__(
        self, children: Sequence[_Child], on_interval: OnInterval | None, on_fault: Callable[[], None]
    ) -> None:
        self._open = {child.connection: child for child in children}
        self._on_interval = on_interval
        self._on_fault = on_fault
        self._merger = Merger()
        self._finished: list[Finished] = []
        self.fault = ""

    @property
    def is_open(self) -> bool:
        """Whether a process has more to say."""
        return bool(self._open)

    def hear_ready(self) -> None:
        """Until all are ready, or have failed."""
        awaited = dict(self._open)
        while awaited:
            for connection in self._readable(awaited):
                told = self._read(connection)
                if isinstance(told, Ready) or connection not in self._open:
                    awaited.pop(connection, None)

    def hear_end(self) -> None:
        """Until all have finished, or have failed."""
        while self._open:
            for connection in self._readable(self._open):
                self._read(connection)

    def ended(self, began_s: float) -> Ended:
        """All that was said."""
        return ended_of(self._merger.intervals(), self._finished, began_s, self.fault)

    def _readable(self, awaited: dict[Connection[Asked, Told], _Child]) -> list[Connection[Asked, Told]]:
        ready = wait(list(awaited), _SILENCE_S)
        if not ready:
            for connection in list(awaited):
                self._fail(connection, f"it said nothing for {_SILENCE_S:g} s")
        return [connection for connection in awaited if connection in ready]

    def _read(self, connection: Connection[Asked, Told]) -> Told | None:
        try:
            told = connection.recv()
        except (EOFError, OSError):
            self._fail(connection, "")
            return None
        if isinstance(told, list):
            self._note(told)
        elif isinstance(told, Finished):
            self._note(told.known)
            self._finished.append(told)
            del self._open[connection]
        elif isinstance(told, Failed):
            del self._open[connection]
            if told.why:
                self._stop_others(told.why)
        return told

    def _note(self, told: list[Known]) -> None:
        for known in told:
            self._merger.add(known)
            if self._on_interval is not None:
                self._on_interval(interval_of(known))

    def _fail(self, connection: Connection[Asked, Told], why: str) -> None:
        how = self._open.pop(connection).kill()
        self._stop_others(f"a sending process has ended: {why or how}")

    def _stop_others(self, why: str) -> None:
        if not self.fault:
            self.fault = why
            self._on_fault()
