"""What the sequences of a version are shown as, in metrics and on the live page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hotgraph_server.sequences.call import Ended


@dataclass(frozen=True)
class SequenceFigures:
    """At one moment.

    Attributes:
        live: sequences that live.
        with_slot: of these, those that have a slot; the others wait for one.
        waiting_calls: that wait for their turn, and not yet for a run in the queue.
        state_nbytes: of all states.
        ended: sequences that have ended since the version is live, by reason.
    """

    live: int
    with_slot: int
    waiting_calls: int
    state_nbytes: int
    ended: Mapping[Ended, int]
