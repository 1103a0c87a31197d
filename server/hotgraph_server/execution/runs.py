"""Runs of one graph, and what each of them means for the calls that were in it.

One step of the runner's work at a time: run calls together, end them with what came out, count it. What is
run next when a run fails is decided elsewhere (retries.py, large_calls.py).

A call is counted once by how it ended. What ends it early (its caller, its deadline, the queue) counts it,
so a run counts only those whose completions it gets when it ends (Completion.begin). It takes them before it
answers, because a caller that has its answer shall find it counted; one that leaves between the two has been
answered."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.expiry import end_expired, is_wanted
from hotgraph_server.batching.joining import PLAIN, HasRows, Joining, cut, join, rows_to_run
from hotgraph_server.batching.suspects import Suspects
from hotgraph_server.batching.trust import Trust
from hotgraph_server.call_observer import Moments
from hotgraph_server.errors import InternalError, RunFailed, forget_traceback
from hotgraph_server.execution.failing_callers import FailingCallers
from hotgraph_server.execution.finisher import WORTH_A_HAND_OVER_S, Answers, Finisher
from hotgraph_server.execution.row_limits import RowLimits
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.tensors import Array
from hotgraph_server.threads.progress import Steps

_LOG = logging.getLogger(__name__)

# Of runs that somebody follows.
_NUMBERS = itertools.count(1)

OUT_OF_MEMORY = 8
"""TensorFlow's RESOURCE_EXHAUSTED."""


class Runnable(Protocol):
    """What graph.Graph is to us."""

    def run(
        self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
    ) -> Sequence[Array]: ...


class Asked(HasRows, Protocol):
    """What a run needs of a call, or of what is remembered of one."""

    @property
    def signature(self) -> Signature: ...


class Ran(NamedTuple):
    """A run: the answers of its calls, or why there are none; its course as in statistics.Moments."""

    answers: Sequence[Sequence[Array]]
    error: Exception | None
    started: float
    joined: float
    returned: float
    ended: float

    @property
    def out_of_memory(self) -> bool:
        """Is memory the reason?"""
        return isinstance(self.error, RunFailed) and self.error.code == OUT_OF_MEMORY


class Runs:
    """The executor's own, in the executor's thread.

    Args:
        title: of the version, for the log.
        graph: what is run.
        waiting: how many calls wait for a run now.
        statistics: gets every run and event.
        finisher: ends calls beside the next run where that pays.
        settings: of the model.
        unbatched_reasons: why a signature's calls run alone, None where they are joined; others change it.
        joinings: how calls of a signature are joined; not named: the plain way.
        clock: monotonic seconds.
        limit_rows: is told how many rows of a signature, by its name, may be run at once, when that changes.
        row_caps: how many rows a run may have, of signatures for which that is less than the settings say.
        suspects: is told by `failing`; None: none are looked for.
        trust: of the signatures whose joined calls are checked.
        in_graph: is told how long the graph has had a batch, seconds.
        steps: of the executor's thread; each run is one, which may take long.

    Attributes:
        limits: how many rows a run may have, by signature.
        failing: is told of calls that fail by themselves, and of answers.
        may_leave: is asked before answers of joined calls leave of which one is due for a check; where it
            says no, it has ended them. The runner sets it (verification.py).
    """

    def __init__(
        self,
        title: str,
        graph: Runnable,
        waiting: Callable[[], int],
        statistics: Statistics,
        finisher: Finisher,
        settings: BatchSettings,
        unbatched_reasons: Mapping[str, str | None],
        joinings: MutableMapping[str, Joining],
        clock: Callable[[], float],
        limit_rows: Callable[[str, int], None],
        row_caps: Mapping[str, int] | None = None,
        suspects: Suspects | None = None,
        trust: Mapping[str, Trust] | None = None,
        in_graph: Callable[[float], None] = lambda _: None,
        steps: Steps | None = None,
    ) -> None:
        self._limit_rows = limit_rows
        self._in_graph = in_graph
        self._steps = steps or Steps()
        self.limits = RowLimits(settings.max_batch_rows, row_caps)
        for name, limit in (row_caps or {}).items():
            limit_rows(name, limit)
        self.failing = FailingCallers(title, suspects or Suspects())
        self.may_leave: Callable[[Sequence[Call], Ran], bool] = lambda *_: True
        self._trust = trust or {}
        self._title = title
        self._graph = graph
        self._waiting = waiting
        self._statistics = statistics
        self._finisher = finisher
        self._buckets = {name: joining.buckets for name, joining in joinings.items()}
        self._unbatched_reasons = unbatched_reasons
        self._joinings = joinings
        self._clock = clock

    def execute(self, calls: Sequence[Call], joining: Joining | None = None) -> Ran:
        """Run calls together, once; nothing ends by it.

        Args:
            calls: of one lane, or a single one.
            joining: how; None: as their signature's calls are.
        """
        ran = self._run(calls, joining or self.joining(calls[0]))
        self._in_graph(ran.returned - ran.joined)
        return self.watched(calls, ran)

    def run_alone(self, call: Asked) -> Ran:
        """What a call is answered alone; this run is neither counted nor told."""
        # Its own number of rows may never have been compiled. Its own rows fill it up, and no other call's.
        compiles = call.signature.compiles
        return self._run([call], self.joining_of(call.signature.name) if compiles else PLAIN)

    def _run(self, calls: Sequence[Asked], joining: Joining) -> Ran:
        first = calls[0]
        signature = first.signature
        started = joined = returned = self._clock()
        try:
            inputs = join(calls, joining)
            joined = returned = self._clock()
            self._steps.begin_long(joined)
            outputs = self._graph.run(signature, first.outputs, inputs)
            self._steps.done()
            returned = self._clock()
            # A batch is large; what is cut now are its answers.
            del inputs
            answers = cut(calls, outputs, joining)
        except Exception as error:
            self._steps.done()
            if len(calls) > 1 or joining is not PLAIN or isinstance(error, RunFailed):
                # It travels without the frames that it came through: they hold the batch.
                forget_traceback(error)
            return Ran((), error, started, joined, returned, self._clock())
        return Ran(answers, None, started, joined, returned, self._clock())

    def answer(self, calls: Sequence[Call], ran: Ran) -> None:
        """End calls with their answers, unless a check says otherwise."""
        name = calls[0].signature.name
        rows = sum([call.rows for call in calls])
        if self.limits.any and self.limits.ran(name, rows):
            self._fit_buckets(name)
            self._limit_rows(name, self.limits.of(name))
            _LOG.info("%s: signature %r is tried with more rows a run again", self._title, name)
        trust = self._trust.get(name)
        if (
            trust is not None
            and (len(calls) > 1 or (self._joinings and self._is_filled_up(calls[0])))
            and not trust.passes(len(calls), ran.ended)
            and not self.may_leave(calls, ran)
        ):
            return
        self.deliver(calls, ran)

    def deliver(self, calls: Sequence[Call], ran: Ran) -> None:
        """End calls with their answers."""
        self.failing.answered(calls)
        # Last, because another thread may end the calls: nothing may fail behind it.
        if ran.ended - ran.started > WORTH_A_HAND_OVER_S and self._waiting():
            self._finisher.hand_over(calls, ran.answers, functools.partial(self.count_answered, calls, ran))
        else:
            self.count_answered(calls, ran)
            self._finisher.finish(calls, ran.answers)

    def finish(self, calls: Sequence[Call], answers: Answers) -> None:
        """End calls that are counted."""
        self._finisher.finish(calls, answers)

    def count_answered(self, calls: Sequence[Call], ran: Ran) -> None:
        """Count a run that went well, and those of its calls that it ends; in whatever thread."""
        arrivals = [call.arrived for call in calls if call.completion.begin()]
        arrivals += calls[0].member_arrivals
        self._add_run(calls[0], arrivals, sum([call.rows for call in calls]), ran)

    def answer_whole(self, call: Call, rows: int, ran: Ran, answer: Sequence[Array] | None) -> None:
        """Count a piece of so many rows of a call, and end the call if this was the last.

        Args:
            call: the whole one.
            rows: of the piece.
            ran: its run.
            answer: of the whole call; None: pieces are left.
        """
        arrivals = [call.arrived] if answer is not None and call.completion.begin() else []
        self._add_run(call, arrivals, rows, ran)
        if answer is not None:
            self.failing.answered([call])
            self._finisher.finish([call], [answer])

    def end_failed(self, call: Call, rows: int, ran: Ran) -> None:
        """End a call with the error of a run of so many rows."""
        self.count_ends(([call.arrived] if call.completion.begin() else []), call, rows, ran)
        error = ran.error
        call.ran = ran.started, ran.ended
        self.failing.failed(call, error)
        told = error if isinstance(error, RunFailed) else InternalError()
        # First: a caller that has its error shall find it on the live page.
        self._statistics.failed(call.signature.name, told)
        if told is not error:
            _LOG.error("%s: signature %r broke", self._title, call.signature.name, exc_info=error)
        call.completion.finish(told)
        if told is not error:
            assert error is not None
            forget_traceback(error)

    def _add_run(self, call: Call, arrivals: Sequence[float], rows: int, ran: Ran) -> None:
        """Count a run of `call`'s signature, and those of its calls that it ends."""
        self._statistics.add_run(
            call.signature.name,
            arrivals,
            rows,
            ran.started,
            ran.ended,
            failed=ran.error is not None,
            # Of a run that failed none are told.
            input_s=0.0 if ran.error else ran.joined - ran.started,
            output_s=0.0 if ran.error else ran.ended - ran.returned,
        )

    def count_ends(self, arrivals: list[float], call: Call, rows: int, ran: Ran) -> None:
        """Count a run that failed, and the callers that hear of it."""
        if call.member_arrivals and call.signature.writes:
            arrivals += call.member_arrivals
        elif call.member_arrivals:
            # Each of those whose rows these are is run again alone, and counted by that run.
            arrivals = []
        self._add_run(call, arrivals, rows, ran)

    def count_failed(self, call: Call, rows: int, ran: Ran) -> None:
        """Count a run of so many rows of the signature of `call` that failed and ended no call."""
        self._add_run(call, (), rows, ran)

    def count_in_vain(self, calls: Sequence[Call], ran: Ran) -> None:
        """Count a run that went well, and whose answers no call gets."""
        rows = sum([call.rows for call in calls])
        name = calls[0].signature.name
        self._statistics.add_run(name, (), rows, ran.started, ran.ended, failed=True)

    def count(self, call: Asked, event: Event) -> None:
        """Count what has happened to `call`, or to the run that it was in."""
        self._statistics.count(call.signature.name, event)

    def is_wanted(self, call: Call) -> bool:
        """May it still be run? Time has passed, and its caller may have left."""
        if is_wanted(call, self._clock()):
            return True
        end_expired((call,), self._statistics)
        return False

    def joining(self, call: Call) -> Joining:
        """How this call is joined with others."""
        if call.lane is None or not self._joinings:
            return PLAIN
        return self.joining_of(call.signature.name)

    def joining_of(self, name: str) -> Joining:
        """How calls of a signature are joined."""
        return PLAIN if self._unbatched_reasons[name] is not None else self._joinings.get(name, PLAIN)

    def learn(self, name: str, rows: int) -> None:
        """So many rows of a signature do not fit into memory."""
        limit = self.limits.learn(name, rows)
        self._fit_buckets(name)
        self._limit_rows(name, limit)
        _LOG.warning(
            "%s: %d rows of signature %r do not fit into memory; from now on %d are run at once",
            self._title,
            rows,
            name,
            limit,
        )

    def watched(self, calls: Sequence[Call], ran: Ran) -> Ran:
        """Tell the observers of these calls of the run that ends them."""
        run: Moments | None = None
        for call in calls:
            if call.observer is not None:
                if run is None:
                    rows = sum([one.rows for one in calls])
                    number = next(_NUMBERS)
                    run = Moments(ran.started, ran.joined, ran.returned, ran.ended, number, len(calls), rows)
                call.observer.ran(run)
        return ran

    def _is_filled_up(self, call: Call) -> bool:
        """Does this call, in a run of its own, run with more rows than it would alone?"""
        joining = self.joining(call)
        if not joining.buckets or call.signature.compiles:
            return False
        return rows_to_run(call.rows, joining) != call.rows

    def _fit_buckets(self, name: str) -> None:
        """No bucket is larger than a run may be."""
        joining = self._joinings.get(name)
        if joining is not None:
            limit = self.limits.of(name)
            buckets = tuple(bucket for bucket in self._buckets[name] if bucket <= limit)
            self._joinings[name] = replace(joining, buckets=buckets)
