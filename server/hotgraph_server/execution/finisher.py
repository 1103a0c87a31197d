"""The finisher: hands answers to their calls while the executor runs the next batch.

Finishing a call is counting, encoding and sending, some 30 us of Python each, unless the transport's own
thread is busy and sends it (transport/sockets/server.py). While TensorFlow runs it lets other threads have
the interpreter, so a batch that is finished beside the next run costs the executor nothing. Two cases are not
worth the hand-over, and the executor finishes its batch itself: no call waits, so there is nothing to run;
or runs are so short that the interpreter is what all threads wait for, and one more that wants it only makes
it change hands more often.

The thread begins with the first batch that is handed over: of many models most are never so busy.

The queue between the two needs no edge of its own: what is in it are calls inside the server, and those
are bounded at the door.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence

from hotgraph_server.batching.call import Call
from hotgraph_server.tensors import Array
from hotgraph_server.threads.batch_scope import BatchScope
from hotgraph_server.threads.joining import join_within
from hotgraph_server.threads.progress import Sign

_LOG = logging.getLogger(__name__)

Answers = Sequence[Sequence[Array]]
"""For each call of a batch the arrays of its outputs."""

_HandedOver = tuple[Sequence[Call], Answers, Callable[[], object]]

WORTH_A_HAND_OVER_S = 0.001
"""Runs shorter than this leave the interpreter to others for too little time."""


class Finisher:
    """One thread beside an executor. `hand_over` and `stop` are for the executor's
    thread alone, so no other can be starting the thread, or stopping it, at the same time.

    Args:
        name: of the executor.
        batch_scope: in which the calls of a run are ended: callers on one connection get their answers in one
            write. None: one of its own.
    """

    def __init__(self, name: str, batch_scope: BatchScope | None = None) -> None:
        self._batch_scope = batch_scope or BatchScope()
        self._handed_over: queue.SimpleQueue[_HandedOver | None] = queue.SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None
        self._finished = 0  # batches
        self._finishes = False  # a batch

    def finish(self, calls: Sequence[Call], answers: Answers) -> None:
        """End each call with its answer, in whatever thread calls this; one that has ended already is passed
        over by its completion."""
        with self._batch_scope:
            for call, answer in zip(calls, answers, strict=True):
                call.completion.finish(answer)

    def hand_over(self, calls: Sequence[Call], answers: Answers, count: Callable[[], object]) -> None:
        """Let the thread `count` these calls and then finish them; returns at once."""
        self._handed_over.put((calls, answers, count))
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name=f"finisher {self._name}", daemon=True)
            self._thread.start()

    def signs(self) -> list[Sign]:
        """Of its thread, if there is one; any thread may ask."""
        thread = self._thread
        if thread is None or thread.ident is None:
            return []
        has_work = self._finishes or not self._handed_over.empty()
        return [Sign(thread.name, thread.is_alive(), self._finished, has_work)]

    def stop(self, timeout_s: float) -> bool:
        """Let the thread finish what it has, and wait for it. Returns whether it ended in time; if not, a
        warning names it."""
        if self._thread is None:
            return True
        self._handed_over.put(None)
        return join_within(self._thread, timeout_s)

    def _main(self) -> None:
        while (work := self._handed_over.get()) is not None:
            self._finishes = True
            calls, answers, count = work
            try:
                count()
            except Exception:
                # Their callers wait for the answers, and the thread has those of other batches to give.
                _LOG.exception("calls could not be counted")
            self.finish(calls, answers)
            # Answers must not stay alive until the next batch comes.
            del work, calls, answers, count
            self._finished += 1
            self._finishes = False
