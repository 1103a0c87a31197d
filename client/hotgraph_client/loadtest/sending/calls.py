"""A call on its way, and how it ended. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Call:
    """A call that is due.

    Attributes:
        payload: its place among the payloads.
        due: monotonic seconds.
        over: whether it has ended; whoever ends it sets it.
        link: that carries it; None: it waits for one, or is over.
        again: whether it was sent before, to a server that would not begin with it.
    """

    __slots__ = ("again", "due", "link", "over", "payload")

    def __init__(self, payload: int, due: float) -> None:
        self.payload = payload
        self.due = due
        self.over = False
        self.link: Any = None
        self.again = False


class Reply(NamedTuple):
    """How a call ended.

    Attributes:
        status: `statuses.GOOD`, or what the error is called.
        body: the message or the body; of an error what the server said, as text.
        headers: of an HTTP answer.
        unbegun: the server says that it has not begun with it, so that it may be sent again.
    """

    status: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    unbegun: bool = False


Ended = list[tuple[Call, Reply]]
"""Calls that are over, in the order in which their answers were whole."""


class WireError(Exception):
    """The server does not speak the protocol, or has said goodbye: the connection is of no more use."""


class Conversation(Protocol):
    """What is said on one connection: http1.py and http2.py have one each, and tell of the methods there."""

    @property
    def calls(self) -> list[Call]: ...
    @property
    def has_begun(self) -> bool: ...
    @property
    def takes_more(self) -> bool: ...
    @property
    def is_leaving(self) -> bool: ...
    @property
    def is_over(self) -> bool: ...
    @property
    def goodbye(self) -> str: ...
    def start(self, call: Call, request: Any, left_s: float | None) -> None: ...
    def cancel(self, call: Call) -> None: ...
    def to_send(self) -> bytes: ...
    def receive(self, data: bytes | memoryview, ended: Ended) -> None: ...
    def receive_end(self, ended: Ended) -> None: ...
