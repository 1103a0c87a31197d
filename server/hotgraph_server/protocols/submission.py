"""From a decoded call to the queue, and from its outcome to the reply: what both protocols do alike."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, Draining, NotLoaded
from hotgraph_server.models.admission import Left, Submitted, cancel
from hotgraph_server.models.version import Version
from hotgraph_server.tensors import Array
from hotgraph_server.transport.service import Answered, Failure, Reply

About = TypeVar("About")


class Answer(Completion, Generic[About]):
    """The completion of one call: the outcome lands here, the transport encodes it when it likes.

    Args:
        reply: where it goes.
        about: what `encode` and `worded` need to know of the call; they find it as `about`.
    """

    __slots__ = ("_outcome", "_reply", "about")

    def __init__(self, reply: Reply, about: About) -> None:
        # What Completion's constructor does is done here: of each call there is one of these.
        self._claim = threading.Lock()
        self._begun = None
        self.taken = False
        self.about = about
        self._reply: Reply | None = reply
        self._outcome: Outcome | None = None

    def _deliver(self, outcome: Outcome) -> None:
        # The reply knows how to cancel the call, whose completion knows this: a cycle, if it were not cut
        # here.
        reply, self._reply = self._reply, None
        self._outcome = outcome
        assert reply is not None
        reply.finish(self._encode)

    def encode(self, arrays: Sequence[Array]) -> Answered:
        """The bytes that answer the call."""
        raise NotImplementedError

    def worded(self, error: CallError) -> CallError:
        """The error that the call ended with, as this protocol's clients expect it."""
        return error

    def _encode(self) -> Answered:
        outcome = self._outcome
        assert outcome is not None
        if isinstance(outcome, CallError):
            raise self.worded(outcome)
        return self.encode(outcome)


def submit(version: Version, request: Request, reply: Reply) -> None:
    """Submit a request, and tell the transport when and how its call can end before its answer.

    Raises:
        CallError: the version does not take it, and why; the reply is not used then.
    """
    try:
        call = version.submit(request)
    except CallError as error:
        raise refusal_of(version, request, error) from None
    if call.deadline < reply.deadline:
        reply.expire_at(call.deadline)
    reply.when_gone(functools.partial(_leave, version, request.signature.name, call))


def refusal_of(version: Version, request: Request, error: CallError) -> CallError:
    """What it means that a version does not take a request: NotLoaded, if it has been given up since it was
    found and its model is loaded when it is called; else what it says, and of which call."""
    if isinstance(error, Draining) and version.loaded_at_call:
        return NotLoaded(version.name)
    error.about = version.name, version.number, request.signature.name
    return error


def _leave(version: Version, signature: str, call: Submitted) -> Left:
    return cancel(call)


class Facts(NamedTuple):
    """What is known of a call, for the log.

    Attributes:
        model, version, signature: that it is a call of; version 0: it did not get as far as one.
        arrived: when it was taken; None: it was not.
        ran: of its last run, if that failed: when it began and when it ended.
    """

    model: str = ""
    version: int = 0
    signature: str = ""
    arrived: float | None = None
    ran: tuple[float, float] | None = None


def facts_of(failure: Failure) -> Facts:
    """Of a call that has failed."""
    leave = failure.leave
    # What stands around a reply hands on what leaves the call as its own last argument.
    while isinstance(leave, functools.partial):
        if leave.func is _leave:
            version, signature, call = leave.args
            ran = getattr(call, "ran", None)
            return Facts(version.name, version.number, signature, call.arrived, ran)
        leave = leave.args[-1] if leave.args else None
    return Facts(*(failure.error.about or ()))
