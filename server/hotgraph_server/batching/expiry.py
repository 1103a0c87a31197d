"""Does a call's caller still want the answer, and how does a call end that has waited past its deadline?

Asked wherever a call is about to go on: when the queue forms a batch, before a run that is tried again,
between the pieces of a large call. `is_wanted` decides and changes nothing. `end_expired` ends and counts,
outside every lock; it leaves alone what has ended otherwise, and what a run has already claimed
(Completion.begin).
"""

from __future__ import annotations

from collections.abc import Iterable

from hotgraph_server.batching.call import Call
from hotgraph_server.errors import NOT_RUN, DeadlineExceeded
from hotgraph_server.statistics import Event, Statistics


def is_wanted(call: Call, now: float) -> bool:
    """At `now`, monotonic seconds: False from the moment of its deadline on, and when it has ended."""
    return call.deadline > now and not call.completion.taken


def end_expired(calls: Iterable[Call], statistics: Statistics) -> None:
    """End calls that are not wanted any more, and count them; nothing happens to those that have ended."""
    for call in calls:
        error = DeadlineExceeded(NOT_RUN if call.signature.writes else "")
        if call.completion.leave(error):
            statistics.count(call.signature.name, Event.EXPIRED)
            statistics.failed(call.signature.name, error)
