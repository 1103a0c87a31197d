"""What signals ask of a server in the foreground: to stop, to end, or to take its configuration again."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable

from hotgraph_server.observability.logs.patient_stream import PatientStream

_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


Worded = Callable[[str], str]
"""A line as it is written."""

_worded: Worded = str


def say(line: str) -> None:
    """A line on stderr, as far as somebody is there to read it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        PatientStream(sys.stderr).write(_worded(line) + "\n")


def say_as(worded: Worded) -> None:
    """From now on what is said is worded so: as the log is, where programs read it."""
    global _worded
    _worded = worded


class Stop:
    """Turns signals into a request to stop, or into the end.

    A thread reads the signals from a pipe that Python's own C handler writes to. So nothing of ours runs
    in a signal handler, where any lock may be held, and it does not matter which thread the system picks
    to deliver a signal to (grpc has some before we can block signals anywhere).

    While the server loads, a signal ends the process at once: there are no calls to answer yet. Then the
    first one asks for an orderly stop, and the second ends.

    SIGHUP ends nothing: it asks for the configuration to be taken again, once models load.
    """

    def __init__(self) -> None:
        self._serving = False
        self._reload: Callable[[], None] | None = None
        self._hung_up = threading.Event()  # and `reload_by` has not come yet
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._collect, name="signals", daemon=True)
        self._signals = -1

    def start(self) -> None:
        """Take over the stop signals; in the main thread."""
        self._signals, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written)
        for number in (*_STOP_SIGNALS, signal.SIGHUP):
            # Any Python handler will do: having one is what makes the C handler write.
            signal.signal(number, lambda *_: None)
        self._thread.start()

    def from_now_on_a_request(self) -> None:
        """A first signal no longer ends the process but asks for a stop."""
        self._serving = True

    def request(self) -> None:
        """As the first signal, from any thread and any number of times: ends the process at once if it does
        not serve yet, else asks for a stop."""
        if not self._serving:
            os._exit(128 + signal.SIGTERM)
        self._asked.set()

    def over(self) -> None:
        """All is done, and the process about to end: no signal shall change its exit status any more, as one
        would that Python, which ends, has given back to the system. In the main thread."""
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def reload_by(self, reload: Callable[[], None]) -> None:
        """From now on SIGHUP calls `reload`, which must not wait; at once if it has come already."""
        self._reload = reload
        self._tell_of_hanging_up()

    def wait(self) -> None:
        """Returns when a stop has been asked for."""
        self._asked.wait()

    def _collect(self) -> None:
        number = self._next_to_stop()
        if self._serving:
            # Said after it is done: the reader of our words may have gone, and must not keep us alive.
            self._asked.set()
            say("stopping: calls already taken are answered; once more to end at once")
            number = self._next_to_stop()
        # As a shell reports a process that a signal has ended.
        os._exit(128 + number)

    def _next_to_stop(self) -> int:
        while (number := os.read(self._signals, 1)[0]) == signal.SIGHUP:
            self._hung_up.set()
            self._tell_of_hanging_up()
        return number

    def _tell_of_hanging_up(self) -> None:
        # Of two threads here at once, both may tell; to take a configuration twice is to take it once.
        if self._reload is not None and self._hung_up.is_set():
            self._hung_up.clear()
            self._reload()
