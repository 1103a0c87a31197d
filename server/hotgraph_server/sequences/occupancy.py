"""What the table of a version's sequences holds, and why it takes in no more. Part of the table, and pure.

Nothing that is there gives way: over an edge, what comes is refused. Bytes of inputs do not keep out the only
call. A sequence is taken to hold its initial states until its first run has said more.
"""

from __future__ import annotations

from hotgraph_server.errors import OverLimit, QueueFull
from hotgraph_server.sequences.bounds import Bounds
from hotgraph_server.sequences.call import SequenceCall

_MIB = 2**20


class Occupancy:
    """Of one table; `title` is the version's, for messages.

    Attributes:
        waiting: calls that wait.
        state_nbytes: of the states of all sequences.
    """

    def __init__(self, title: str, bounds: Bounds) -> None:
        self.waiting = 0
        self.state_nbytes = 0
        self._waiting_nbytes = 0
        self._title = title
        self._bounds = bounds
        self._initial_nbytes = bounds.initial_nbytes

    def waits(self, call: SequenceCall) -> None:
        """A call waits for its turn."""
        self.waiting += 1
        self._waiting_nbytes += call.nbytes

    def goes(self, call: SequenceCall) -> None:
        """A call waits no more."""
        self.waiting -= 1
        self._waiting_nbytes -= call.nbytes

    def refusal_of_call(self, call: SequenceCall) -> QueueFull | None:
        """Why one more call cannot wait; None: it can."""
        bounds = self._bounds
        queue = f"the queue of {self._title}'s sequences"
        if self.waiting >= bounds.max_calls:
            return QueueFull(queue, self.waiting, bounds.max_calls)
        nbytes = self._waiting_nbytes
        if bounds.max_call_nbytes and self.waiting and nbytes + call.nbytes > bounds.max_call_nbytes:
            return QueueFull(queue, nbytes // _MIB, bounds.max_call_nbytes // _MIB, "MiB")
        return None

    def refusal_of_sequence(self, live: int) -> OverLimit | None:
        """Why one more sequence cannot begin beside `live` others; None: it can."""
        if live >= self._bounds.max_sequences:
            return OverLimit(
                f"{self._title} has {live} sequences, and max_sequences is {self._bounds.max_sequences}"
            )
        return self.refusal_of_state(self._initial_nbytes)

    def refusal_of_state(self, more_nbytes: int) -> OverLimit | None:
        """Why the states cannot grow by so many bytes; None: they can."""
        if more_nbytes <= 0 or self.state_nbytes + more_nbytes <= self._bounds.max_state_nbytes:
            return None
        return OverLimit(
            f"the sequences of {self._title} hold {self.state_nbytes / _MIB:.1f} MiB of state, and"
            f" max_sequence_state_mb is {self._bounds.max_state_nbytes // _MIB}"
        )
