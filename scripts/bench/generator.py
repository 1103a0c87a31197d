"""The open and the closed loop of the overload bench: those of `hotgraph loadtest`, call by call.

There, calls are summed up second by second; here it is asked of each one by how much it missed its deadline,
and whether its answer was right.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.outcomes import Ended, outcome
from hotgraph_client.loadtest.load import Arrivals, Assignment, Destination, Payload
from hotgraph_client.loadtest.sending.calls import Call, Reply
from hotgraph_client.loadtest.sending.messages import Known
from hotgraph_client.loadtest.sending.schedule import Schedule
from hotgraph_client.loadtest.sending.step import Step
from hotgraph_client.loadtest.sending.tally import Tally

# How long past its deadline a call is waited for; then it is given up and counts as silent.
_PATIENCE_S = 1.0
_NO_DEADLINE_S = 10.0
# Before the first call is due.
_AHEAD_S = 0.05


@dataclass(frozen=True)
class Asked:
    """A request, and the bytes that a right answer holds.

    Attributes:
        message: without gRPC's frame.
    """

    path: str
    message: bytes
    expected: bytes


def call(
    address: str,
    asked: Sequence[Asked],
    arrivals: Arrivals,
    seconds: float,
    deadline_s: float | None,
    seed: int,
) -> list[Ended]:
    """Call a server for so long, in this thread, and see every call end.

    Args:
        asked: requests, sent in turn.
        deadline_s: of every call, from the moment at which it is due; None: without.
        seed: of the moments; the same one has the same moments.

    Raises:
        OSError: the address is none.
    """
    host, _, port = address.rpartition(":")
    assignment = Assignment(
        destination=Destination(host, int(port), address),
        payloads=tuple(Payload(each.path, (), each.message) for each in asked),
        arrivals=arrivals,
        begin_s=0.0,  # which `run` says
        seconds=seconds,
        deadline_s=deadline_s,
        patience_s=_PATIENCE_S + (_NO_DEADLINE_S if deadline_s is None else 0.0),
        seed=seed,
        keep_answers=0,
    )
    # What is there need not be looked at when garbage is collected for the last time before the load: that
    # would take longer than a call.
    gc.collect()
    gc.freeze()
    try:
        with Step(assignment) as step:
            begin_s = time.monotonic() + _AHEAD_S
            calls = _EachCall(assignment, begin_s, [each.expected for each in asked])
            step.run(begin_s, _Nobody(), calls)
    finally:
        gc.unfreeze()
    return calls.ended


class _EachCall(Tally):
    """What became of each call, in the order in which they ended."""

    def __init__(self, assignment: Assignment, epoch: float, expected: Sequence[bytes]) -> None:
        super().__init__(assignment, epoch)
        self._expected = expected
        self._lags: dict[Call, float] = {}
        self.ended: list[Ended] = []

    def due(self, call: Call, now: float) -> None:
        self._lags[call] = now - call.due

    def over(self, call: Call, reply: Reply, now: float) -> str:
        became = outcome(reply.status, reply.body, self._expected[call.payload])
        self.ended.append(Ended(became, now - call.due, self._lags.pop(call)))
        return reply.status


class _Nobody:
    """Asks for nothing in between, and wants to know nothing."""

    def heard(self, schedule: Schedule, now: float) -> bool:
        return False

    def tell(self, known: list[Known]) -> bool:
        return True
