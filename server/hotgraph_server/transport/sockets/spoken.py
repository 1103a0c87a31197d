"""What is spoken on a socket: a connection of HTTP/2 or of HTTP/1.1, as what serves sockets sees it."""

from __future__ import annotations

import math
from typing import Protocol

from hotgraph_server.errors import CallError


class Spoken(Protocol):
    """The peer's side of one connection. Everything requires the server's connections_lock (server.py).

    Attributes:
        peer: tells it from all other connections; its socket sets it.
        held_bytes: of its calls; see inflight.Inflight.
        refusal: what all its calls are refused with, whatever they are; None: they are taken. Its socket sets
            it before anything is received.
        calls: how many have come, or a number that grows with each.
        quiet: no call is under way, and none has begun to come.
        out: bytes to send, in order; its socket takes them away.
        out_bytes: how many they are.
        greeted: the peer has begun to speak.
        unfinished: the last `receive` left bytes that it could have used.
        holds: nothing more is taken in for now.
        ended: all is said: the socket is to be closed once it is sent.
        unsent_bytes: of what its socket has taken and the system has not; the socket tells.
        crowded: waits for all that was said to be sent before it goes on.
        patient: who is told the end may have much to send still, and is listened to for longer.
    """

    peer: str
    held_bytes: int
    refusal: CallError | None
    out: list[bytes | memoryview]
    out_bytes: int
    unfinished: bool
    unsent_bytes: int

    @property
    def calls(self) -> int: ...
    @property
    def quiet(self) -> bool: ...
    @property
    def greeted(self) -> bool: ...
    @property
    def holds(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def crowded(self) -> bool: ...
    @property
    def patient(self) -> bool: ...

    def receive(self, data: memoryview, ends_at: float = math.inf) -> int:
        """Take in bytes. Returns how many were used; the rest is to be given again, with what comes next or,
        if `unfinished`, when there is time and it does not hold.

        Raises:
            ConnectionBroken: the peer broke the protocol; `out` says why.
        """

    def on_sent(self) -> None:
        """It is crowded, and all is sent."""

    def give_up_stalled(self, looks: int) -> bool:
        """Give up what does not move, or had not at `looks` calls of this in a row. Returns whether nothing
        is left on the connection for that."""

    def go_away(self, *, at_once: bool = True) -> bool:
        """Ask the peer to go elsewhere with what it asks next. Returns whether it is asked now, and was not
        before.

        Args:
            at_once: where the protocol has no word for that but the end, one on which nothing is asked is
                closed, though a call may be on its way; otherwise its next answer says so.
        """

    def say_goodbye(self) -> None:
        """The last words before the connection is closed."""

    def cancel(self, error: CallError | None = None) -> None:
        """The server waits for no call any longer; they end with `error`, or as at the server's end."""

    def lose(self) -> None:
        """The peer has gone: every open call is told."""
