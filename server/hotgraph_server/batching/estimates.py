"""How long what waits will keep the executor, and how late a call will be. Pure: rows, a moment and a cost
curve in, seconds out.
"""

from __future__ import annotations

from hotgraph_server.batching.cost import CostCurve
from hotgraph_server.batching.lane import Flow

SLACK_S = 0.002
"""What waking up and answering take beside a run, seconds. A guess."""


def slack_s(work_s: float) -> float:
    """What answering takes beside so much work, seconds: little beside little, and nothing of nothing."""
    return min(SLACK_S, work_s / 16)


def work_s(rows: int, max_rows: int, curve: CostCurve) -> float:
    """Seconds that `rows` of one lane will keep the executor: full batches, and what is left over."""
    full, rest = divmod(rows, max_rows)
    return (full * curve.predict(max_rows) if full else 0.0) + (curve.predict(rest) if rest else 0.0)


def shared_work_s(rows: int, max_rows: int, flow: Flow, free_in_s: float) -> float:
    """Seconds until the end of the batch in which the last of `rows` of a lane goes.

    The calls that come until it goes share it, and make it longer; at the pace of late, that is.

    Args:
        rows: that wait, the new call's included.
        max_rows: of a batch.
        flow: of the lane.
        free_in_s: what the executor has to do before it comes to this lane.
    """
    full, rest = divmod(rows, max_rows)
    full_s = full * flow.curve.predict(max_rows) if full else 0.0
    if not rest:
        return full_s
    if flow.gap_s > 0.0:
        rest += int(min(max_rows - rest, (free_in_s + full_s) / flow.gap_s))
    return full_s + flow.curve.predict(rest)


def late_by_s(now: float, deadline: float, free_at: float, work_ahead_s: float, margin: float) -> float:
    """How long after its deadline a call would be answered; not above 0: it is in time.

    Args:
        now: monotonic seconds.
        deadline: of the call.
        free_at: predicted end of the present run; a run that takes longer than predicted may end any
            moment: what is ahead is no more than what waits.
        work_ahead_s: of all that goes before the call, its own batch included.
        margin: see CostCurve.
    """
    work_s = max(0.0, free_at - now) + work_ahead_s
    return now + margin * work_s + slack_s(work_s) - deadline
