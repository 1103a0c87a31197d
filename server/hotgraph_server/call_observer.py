"""What follows one call on its way, as a trace does.

It goes with the reply, the request and the call, so that no thread has to remember whose call it has at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Queued(NamedTuple):
    """A call that is about to be queued.

    Attributes:
        version: number of the version that has taken it.
        arrived: monotonic seconds.
        signature: the name of the one that is called.
        rows: of the call.
        names: of `inputs`, which are its arrays.
    """

    version: int
    arrived: float
    signature: str
    rows: int
    names: Sequence[str]
    inputs: Sequence[Any]


class Moments(NamedTuple):
    """A run, which all that follow a call of it are told of by one and the same object.

    Attributes:
        started, joined, returned, ended: its course, monotonic seconds: it begins, its input is joined, the
            graph has run, the answers are cut. Of a run that fails, what it has not come to has the last
            moment before it.
        number: its own in this process, from 1; 0: it has none.
        calls, rows: that it had.
    """

    started: float
    joined: float
    returned: float
    ended: float
    number: int = 0
    calls: int = 1
    rows: int = 0


class CallObserver(Protocol):
    """Follows one call, as a trace does; it goes with the request, and with the call that is made of it."""

    def queued(self, call: Queued) -> None:
        """The call is about to be queued; in the thread that submits it."""

    def ran(self, moments: Moments) -> None:
        """The call was run, and is about to end, or a piece of it was; in the executor's thread, which this
        must not hold up."""


class ReplyObserver(CallObserver, Protocol):
    """Follows a call from its request to its answer; it goes with the reply."""

    def named(self, request_id: str) -> None:
        """The request has been read, and has that id; empty: it has none. A door says so that has not been
        asked for the id before."""

    def answered(self, names: Sequence[str], arrays: Sequence[Any]) -> None:
        """The answer is about to be written.

        Args:
            names: of `arrays`, which are what it holds; what lies elsewhere is not among them.
        """


class _Several:
    """The observers of calls that are one call of the queue."""

    def __init__(self, observers: Sequence[CallObserver]) -> None:
        self._observers = observers

    def queued(self, call: Queued) -> None:
        for one in self._observers:
            one.queued(call)

    def ran(self, moments: Moments) -> None:
        for one in self._observers:
            one.ran(moments)


def of_all(observers: Sequence[CallObserver | None]) -> CallObserver | None:
    """What follows a call that carries several, each with an observer or None; None: none of them has one."""
    found = [one for one in observers if one is not None]
    return _Several(found) if len(found) > 1 else found[0] if found else None
