"""A version that answers in the shadow of the one in service: what callers have asked that one, it is asked
too, and the answers and the time of their runs are compared. Nobody who calls notices.

What it promises.

* A caller's call is what it is without a shadow: it is answered first, by the version that it asked, and what
  becomes of the second asking changes nothing for it. What it pays is a copy of its inputs, and that only of
  calls that are taken, of `MAX_BYTES` at most: an answer has left when it is compared, and what the inputs
  lay in may be the caller's own memory.
* Calls are taken while fewer than `MAX_WAITING` wait to be compared; all others, and larger ones, are dropped
  and counted. So the pace is that of the comparing, however many calls come.
* One call is asked at a time. It gives way: while calls wait for either version it waits, and is dropped
  after `GIVES_WAY_S`. After each, there is a pause of `PAUSES` times as long as it took: the shadow has a
  quarter of one processor at most.
* Not asked are calls that change state or belong to a sequence, and those that carry several callers' rows.

Run is compared with run, alone with alone: where the caller's call shared its run with others, what it would
have taken alone is what the cost curve of its version says. Half a millisecond more is no slower.

One thread, which the first pair of versions starts. `follow` may be called by any thread and never waits.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.request import Request
from hotgraph_server.call_observer import Moments, Queued, of_all
from hotgraph_server.errors import CallError
from hotgraph_server.models.admission import Submit, Submitted, cancel
from hotgraph_server.models.shadow_figures import ShadowFigures, compare
from hotgraph_server.models.version import Version
from hotgraph_server.settings import ShadowSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.threads.joining import join_within

_LOG = logging.getLogger(__name__)

MAX_WAITING = 8
MAX_BYTES = 8 * 2**20
"""Of the inputs of a call that is taken; copying so much takes a millisecond or two."""

GIVES_WAY_S = 0.25
PAUSES = 3.0

# What waking up and cold caches take, of a graph that is asked now and then; a guess.
_SLACK_S = 0.0005
_LONGEST_PAUSE_S = 10.0
_LOOKS_S = 0.002
# It is asked when nothing waits, so this is a run that does not end.
_RUN_S = 60.0


class _Timed:
    """Observes a call."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    def queued(self, call: Queued) -> None:
        pass

    def ran(self, moments: Moments) -> None:
        self.seconds += moments.ended - moments.started
        self.calls = max(self.calls, moments.calls)


@dataclass(eq=False)
class _Taken:
    """A call that is to be asked again.

    Attributes:
        pair: of the versions.
        inputs: copies.
        answer: that the caller got, once it did.
    """

    pair: _Pair
    signature: Signature
    outputs: tuple[str, ...]
    inputs: Sequence[Array]
    timed: _Timed = field(default_factory=_Timed)
    answer: Sequence[Array] = ()


@dataclass(eq=False)
class _Pair:
    """A version in service, and its shadow.

    Attributes:
        over: nothing is taken any more.
        owed: of the share, what is left from the calls so far.
    """

    served: Version
    shadow: Version
    share: float
    figures: ShadowFigures
    over: bool = False
    owed: float = 0.0

    def wants(self) -> bool:
        """Is it this call's turn? Calls of several threads may take the same turn, which does no harm."""
        self.owed += self.share
        if self.owed < 1.0:
            return False
        self.owed -= 1.0
        return True


class Shadows:
    """Of one server. The constructor starts nothing; `stop` is for its end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the pairs, and the start of the thread
        self._pairs: dict[str, _Pair] = {}
        self._room = threading.Semaphore(MAX_WAITING)
        self._queue: queue.SimpleQueue[_Taken | None] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, name: str, versions: Mapping[int, Version], settings: ShadowSettings) -> None:
        """From now on these are the live versions of a model.

        Args:
            versions: by number.
            settings: which of them callers get, and which is its shadow.
        """
        served = versions.get(settings.default_version) or versions.get(max(versions, default=-1))
        shadow = versions.get(settings.shadow_version)
        with self._lock:
            before = self._pairs.get(name)
            if served is None or shadow is None or shadow is served or self._ending.is_set():
                self._end(self._pairs.pop(name, None))
                return
            same = before is not None and (before.served, before.shadow) == (served, shadow)
            if before is not None and same and before.figures.tolerance == settings.shadow_tolerance:
                before.share = settings.shadow_share
                return
            self._end(before)
            figures = ShadowFigures(served.number, settings.shadow_tolerance)
            pair = self._pairs[name] = _Pair(served, shadow, settings.shadow_share, figures)
            shadow.shadowing = figures
            served.call_through(functools.partial(self._around, pair))
            if self._thread is None:
                self._thread = threading.Thread(target=self._main, name="shadow", daemon=True)
                self._thread.start()
        _LOG.info("%s answers in the shadow of version %d", shadow.title, served.number)

    def stop(self, timeout_s: float) -> None:
        """Ask nothing any more; idempotent. A thread that does not end is named."""
        self._ending.set()
        with self._lock:
            for name in list(self._pairs):
                self._end(self._pairs.pop(name))
            thread = self._thread
        self._queue.put(None)
        if thread is not None:
            join_within(thread, timeout_s)

    def _end(self, pair: _Pair | None) -> None:
        """Requires the lock."""
        assert self._lock.locked()
        if pair is not None:
            pair.over = True
            pair.served.call_through(None)
            pair.shadow.shadowing = None

    # In the threads of callers.

    def _around(self, pair: _Pair, submit: Submit) -> Submit:
        def shadowed(request: Request) -> Submitted:
            taken = self._take(pair, request)
            if taken is None:
                return submit(request)
            completion = request.completion
            request.completion = Completion(functools.partial(self._answered, taken, completion))
            request.observer = of_all([request.observer, taken.timed])
            try:
                return submit(request)
            except BaseException:
                self._room.release()
                raise

        return shadowed

    def _take(self, pair: _Pair, request: Request) -> _Taken | None:
        signature = request.signature
        # Most requests say something of a sequence, if only that they are in none.
        in_sequence = pair.served.sequences is not None and request.sequence is not None
        if pair.over or signature.writes or in_sequence or request.member_arrivals:
            return None
        if not pair.wants():
            return None
        inputs = request.inputs
        if sum([array.nbytes for array in inputs]) > MAX_BYTES or not self._room.acquire(blocking=False):
            pair.figures.dropped()
            return None
        return _Taken(pair, signature, request.outputs, [array.copy() for array in inputs])

    def _answered(self, taken: _Taken, completion: Completion, outcome: Outcome) -> None:
        completion.finish(outcome)
        if isinstance(outcome, CallError):
            self._room.release()
            return
        taken.answer = outcome
        self._queue.put(taken)

    # In the shadow's thread.

    def _main(self) -> None:
        while (taken := self._queue.get()) is not None:
            began = self._clock()
            try:
                if not taken.pair.over:
                    self._ask(taken)
            except Exception:
                _LOG.exception("%s could not be compared", taken.pair.shadow.title)
            finally:
                self._room.release()
            # A batch's memory must not stay alive until the next call comes.
            del taken
            self._ending.wait(pause_after(self._clock() - began))

    def _ask(self, taken: _Taken) -> None:
        pair = taken.pair
        if not self._is_quiet(pair):
            pair.figures.dropped()
            return
        inputs = _as_asked(taken, pair.shadow)
        if isinstance(inputs, str):
            pair.figures.failed(inputs)
            return
        timed, outcome = _Timed(), self._asked_of(pair, taken, inputs)
        if outcome is None:
            return
        answer, timed = outcome
        if isinstance(answer, CallError):
            pair.figures.failed(str(answer) or type(answer).__name__)
            return
        compared = compare(taken.outputs, taken.answer, answer, pair.figures.tolerance)
        pair.figures.answered(compared, _slower(taken, timed))

    def _is_quiet(self, pair: _Pair) -> bool:
        """Does nobody wait for these versions, or not any more within the time that there is?"""
        until = self._clock() + GIVES_WAY_S
        while pair.served.waiting or pair.shadow.waiting:
            if self._clock() >= until or self._ending.wait(_LOOKS_S):
                return False
        return True

    def _asked_of(self, pair: _Pair, taken: _Taken, inputs: Sequence[Array]) -> tuple[Outcome, _Timed] | None:
        """None: the server ends, or the shadow does."""
        timed, outcomes = _Timed(), queue.SimpleQueue[Outcome]()
        now = self._clock()
        request = Request(
            pair.shadow.signatures[taken.signature.name],
            inputs,
            taken.outputs,
            Completion(outcomes.put),
            deadline=now + _RUN_S,
            # What carries others' calls is joined with none.
            member_arrivals=(now,),
            observer=timed,
        )
        try:
            call = pair.shadow.submit(request)
        except CallError as error:
            return None if pair.over else (error, timed)
        while not (self._ending.is_set() or pair.over):
            try:
                return outcomes.get(timeout=0.5), timed
            except queue.Empty:
                if self._clock() > now + _RUN_S:
                    cancel(call, expired=True)
        cancel(call)
        return None


def pause_after(took_s: float) -> float:
    """How long nothing is asked after a comparison that took so long, seconds."""
    return min(PAUSES * took_s, _LONGEST_PAUSE_S)


def _as_asked(taken: _Taken, shadow: Version) -> Sequence[Array] | str:
    """The inputs in the order of the shadow's signature; or why it cannot be asked."""
    name = taken.signature.name
    signature = shadow.signatures.get(name)
    if signature is None:
        return f"it has no signature {name!r}"
    if signature.writes:
        return f"signature {name!r} changes state"
    given = {spec.alias: array for spec, array in zip(taken.signature.inputs, taken.inputs, strict=True)}
    for spec in signature.inputs:
        if spec.alias not in given:
            return f"signature {name!r} wants another input, {spec.alias!r}"
        if given[spec.alias].dtype != spec.dtype:
            return f"input {spec.alias!r} of signature {name!r} is of another type"
    if missing := sorted(set(taken.outputs) - set(signature.output_aliases)):
        return f"signature {name!r} has no output {missing[0]!r}"
    return [given[spec.alias] for spec in signature.inputs]


def _slower(taken: _Taken, timed: _Timed) -> float | None:
    """How many times as long the shadow's run was; None: one of them was none, or it cannot be said."""
    served_s = taken.timed.seconds
    if taken.timed.calls > 1:
        served_s = taken.pair.served.predicted_s(taken.signature, taken.inputs)
    if served_s <= 0 or timed.seconds <= 0:
        return None
    slower = timed.seconds / served_s
    return min(slower, 1.0) if timed.seconds < served_s + _SLACK_S else slower
