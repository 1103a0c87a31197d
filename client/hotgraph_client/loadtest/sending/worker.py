"""The process that sends: one assignment after the other, as its parent asks, until the parent is gone.

Started with the number of a socket as its only argument. What it imports is what sending needs: neither gRPC
nor histograms.
"""

from __future__ import annotations

import select
import signal
import sys
from multiprocessing.connection import Connection

from .messages import Asked, Begin, Change, Failed, Known, Prepare, Ready, Stop, Told
from .schedule import Schedule
from .step import Step


class Parent:
    """The parent's end, as the loop asks it. A lost parent ends this process."""

    def __init__(self, connection: Connection[Told, Asked]) -> None:
        self._connection = connection

    def heard(self, schedule: Schedule, now: float) -> bool:
        """Carry out what was asked since; whether calls are to end now."""
        stop = False
        while self._connection.poll():
            asked = self._connection.recv()
            if isinstance(asked, Change) and asked.rate is not None:
                schedule.change(asked.rate, now)
            if isinstance(asked, Change) and asked.weights is not None:
                schedule.weigh(asked.weights)
            stop |= isinstance(asked, Stop)
        return stop

    def tell(self, known: list[Known]) -> bool:
        """What came to be known, where the parent has read what it was told before."""
        if not select.select((), (self._connection,), (), 0)[1]:
            return False
        self._connection.send(known)
        return True


def work(connection: Connection[Told, Asked]) -> None:
    """Serve a parent until it is gone."""
    try:
        while True:
            asked = connection.recv()
            if isinstance(asked, Prepare):
                _carry_out(asked, connection)
    except (EOFError, OSError):
        # Nobody is left to whom this could be told.
        return


def _carry_out(asked: Prepare, connection: Connection[Told, Asked]) -> None:
    try:
        step = Step(asked.assignment)
    except (OSError, ValueError) as error:
        connection.send(Failed(_text(asked, error)))
        return
    with step:
        connection.send(Ready())
        begin = connection.recv()
        while not isinstance(begin, (Begin, Stop)):
            begin = connection.recv()
        if isinstance(begin, Stop):
            connection.send(Failed(""))
            return
        connection.send(step.run(begin.begin_s, Parent(connection)))


def _text(asked: Prepare, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"host '{asked.assignment.destination.host}': {error.strerror or error}"
    return str(error)


def main() -> None:
    """Work for whoever is at the other end of the socket that is named."""
    # The parent hears of Ctrl-C, and hangs up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
