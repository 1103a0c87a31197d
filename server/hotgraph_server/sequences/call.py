"""What the table of sequences is made of: a call, the sequence that it is of, a run of some calls. And what
the table says is to be done."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.call_observer import CallObserver
from hotgraph_server.errors import CallError, Cancelled, DeadlineExceeded, Draining, NotReady, Refused
from hotgraph_server.tensors import Array

SequenceId = int | str
"""What clients call a sequence. 1 and "1" are two sequences."""

Shapes = tuple[tuple[int, ...], ...]


class Ended(enum.Enum):
    """Why a sequence has ended."""

    END = "its last call was answered"
    IDLE = "it was silent for too long"
    RESTARTED = "another one began under its id"
    CUT = "a call of it was not run"
    FAILED = "a run that it shared failed, and it is not known what became of its variables"
    STATE_FULL = "its state grew past the limit"
    UNLOADED = "its version is leaving"


class Stage(enum.Enum):
    """Of a call, in this order."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(eq=False)
class SequenceCall:
    """One call of a sequence, from its arrival to its outcome.

    Attributes:
        sequence_id: what the client calls its sequence.
        inputs: one array for each input that clients see, in the signature's order.
        outputs: the aliases that were asked for, in the caller's order.
        completion: where the outcome goes.
        start, end: is it the first, the last of its sequence?
        arrived: monotonic seconds at the door.
        deadline: monotonic seconds; infinite for none.
        priority: as a Request has it.
        shapes: of what is in one row of each input; calls share a run of slots where they are equal.
        nbytes: memory that the inputs hold.
        stage: how far it is; the table's.
        alone: it shares no run, for one that it shared has failed.
        sequence: that it is of; the table's, from when it is taken in.
        run: that it is or was in; the table's.
        taken_by: what can cancel it; see models/admission.py.
        observer: follows it; None: it is not followed.
    """

    sequence_id: SequenceId
    inputs: Sequence[Array]
    outputs: tuple[str, ...]
    completion: Completion
    start: bool = False
    end: bool = False
    arrived: float = 0.0
    deadline: float = math.inf
    priority: int = 0
    shapes: Shapes = ()
    nbytes: int = 0
    stage: Stage = Stage.WAITING
    alone: bool = False
    sequence: LiveSequence | None = None
    run: Run | None = None
    taken_by: Any = None
    observer: CallObserver | None = None


@dataclass(eq=False)
class LiveSequence:
    """A sequence, from its START to its end.

    Attributes:
        id: what its client calls it.
        states: what the next run gets.
        nbytes: of the states.
        place: of the slots, from 0; -1: it waits for one.
        waiting: its calls that are not in a run, in their order.
        running: its call that is.
        closing: why it takes no calls any more and ends behind those that it has; None: it goes on.
    """

    id: SequenceId
    states: Sequence[Array] = ()
    nbytes: int = 0
    place: int = -1
    waiting: deque[SequenceCall] = field(default_factory=deque)
    running: SequenceCall | None = None
    closing: Ended | None = None


@dataclass(eq=False)
class Run:
    """Calls of different sequences that are one call of the version's queue.

    Attributes:
        members: the calls.
        call: the queue's call; the thread that submits it sets it, a moment after the run was decided.
    """

    members: Sequence[SequenceCall]
    call: Any = None


@dataclass(frozen=True)
class Result:
    """What a run gave one of its members: the answer, and its sequence's states from now on."""

    answer: Sequence[Array]
    states: Sequence[Array] = ()


def was_run(error: CallError) -> bool:
    """Has a run that ended with this error taken place?"""
    return not isinstance(error, (Cancelled, DeadlineExceeded, Draining, NotReady, Refused))


@dataclass
class Actions:
    """What is to be done without the lock, in this order.

    Attributes:
        warnings: for the log.
        withdrawn: runs all callers of which have left, to be taken out of the queue if they still wait.
        runs: to be handed to the queue.
        outcomes: of calls. True: it ended here and not in the queue, so it is not counted yet.
    """

    warnings: list[str] = field(default_factory=list)
    withdrawn: list[Run] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    outcomes: list[tuple[SequenceCall, Outcome, bool]] = field(default_factory=list)
