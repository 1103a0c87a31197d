"""What follows one call on its way, as a trace does.

It goes with the reply, the request and the call, so that no thread has to remember whose call it has at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Moments(NamedTuple):
    """A run's course, monotonic seconds: it begins, its input is joined, the graph has run, the answers are
    cut. Of a run that fails, what it has not come to has the last moment before it."""

    started: float
    joined: float
    returned: float
    ended: float


class CallObserver(Protocol):
    """Follows one call, as a trace does; it goes with the request, and with the call that is made of it."""

    def queued(self, version: int, arrived: float, names: Sequence[str], inputs: Sequence[Any]) -> None:
        """The call is about to be queued; in the thread that submits it.

        Args:
            version: number of the version that has taken it.
            arrived: monotonic seconds.
            names: of `inputs`, which are its arrays.
        """

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

    def queued(self, version: int, arrived: float, names: Sequence[str], inputs: Sequence[Any]) -> None:
        for one in self._observers:
            one.queued(version, arrived, names, inputs)

    def ran(self, moments: Moments) -> None:
        for one in self._observers:
            one.ran(moments)


def of_all(observers: Sequence[CallObserver | None]) -> CallObserver | None:
    """What follows a call that carries several, each with an observer or None; None: none of them has one."""
    found = [one for one in observers if one is not None]
    return _Several(found) if len(found) > 1 else found[0] if found else None
