"""A reply around another one, for what watches or changes the answers of a method on their way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.transport.service import Answered, Left, Reply


class ForwardingReply:
    """A Reply that hands everything on to another; what stands around a method overrides what it watches."""

    def __init__(self, reply: Reply) -> None:
        self.deadline = reply.deadline
        self._reply = reply

    @property
    def observer(self) -> ReplyObserver | None:
        """See Reply."""
        return self._reply.observer

    @property
    def held_up(self) -> Callable[[bool], object] | None:
        """See Reply."""
        return self._reply.held_up

    @property
    def peer(self) -> str:
        """See Reply."""
        return self._reply.peer

    def finish(self, encode: Callable[[], Answered]) -> None:
        """See Reply."""
        self._reply.finish(encode)

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        """See Reply."""
        self._reply.when_gone(cancel)

    def expire_at(self, deadline: float) -> None:
        """See Reply."""
        self._reply.expire_at(deadline)

    def header(self, name: str) -> str | None:
        """See Reply."""
        return self._reply.header(name)

    @property
    def headers(self) -> Mapping[str, str]:
        """See Reply."""
        return self._reply.headers
