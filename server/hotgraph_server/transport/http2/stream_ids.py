"""The numbers of the streams that a peer has opened: which of them may still say something. Pure.

RFC 9113, sections 5.1 and 5.1.1. A frame for a stream that is over is a mistake of the peer's that costs it
the connection, unless it was we who ended the stream: then the peer may not have known. What is remembered of
the past is bounded, and where nothing is remembered the peer is believed.
"""

from __future__ import annotations

_REMEMBERED = 1024
_GAPS = 64


class StreamNumbers:
    """Of one connection.

    Attributes:
        last: the highest that the peer has opened; 0: none.
    """

    def __init__(self) -> None:
        self.last = 0
        # We ended these before the peer had; what it may still send on each, bytes; the oldest first.
        self._left: dict[int, int] = {}
        self._forgotten = 0  # what is not above may be among them
        self._gaps: list[tuple[int, int]] = []  # first and last of those that were passed over

    def opened(self, number: int) -> None:
        """The peer has opened a stream; the number is odd, and above `last`."""
        if number != self.last + 2 and number > 1:
            self._gaps.append((self.last + 1, number - 2))
            del self._gaps[:-_GAPS]
        self.last = number

    def is_idle(self, number: int) -> bool:
        """Can it not have been opened yet? We open none, and so those with even numbers are idle for ever."""
        return number > self.last or not number & 1

    def was_passed_over(self, number: int) -> bool:
        """Was it never opened, though a later one was?"""
        return any(first <= number <= last for first, last in self._gaps)

    def left(self, number: int, room: int) -> None:
        """We ended the stream, and the peer may still be sending what its window has `room` for, bytes."""
        self._left[number] = room
        if len(self._left) > _REMEMBERED:
            oldest = next(iter(self._left))
            del self._left[oldest]
            self._forgotten = max(self._forgotten, oldest)

    def done(self, number: int) -> None:
        """The peer will say nothing more on it."""
        self._left.pop(number, None)

    def sent(self, number: int, nbytes: int) -> bool:
        """So much has come for a stream that is not open any more. Returns whether its window had room for
        it, as far as that is remembered."""
        room = self._left.get(number)
        if room is None:
            return True
        self._left[number] = room - nbytes
        return nbytes <= room

    def may_speak(self, number: int) -> bool:
        """Of a stream that is not open any more: may the peer not have known when it sent this?"""
        return number in self._left or number <= self._forgotten
