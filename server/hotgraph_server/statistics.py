"""What a version has done so far: counts and durations, for the statistics call and for the metrics.

The thread that answers a call adds, any thread reads. Adding is on the path of every run, so it costs no more
than it must: plain numbers and lists under one lock, nothing made again, one pass over the arrivals of a run
(some 5 us for 64 calls). Names, labels and text are made when they are read.

Histograms are lists of counts: bucket i counts values in (bounds[i-1], bounds[i]], and there is one
bucket more than bounds, for what lies above them all.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from hotgraph_server.errors import CallError
from hotgraph_server.last_errors import LastErrors

# Callers choose the sizes of large calls; past this many different ones no new size gets a row.
_MAX_SIZES = 1024

DURATION_BOUNDS_S = (
    *(1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the buckets of durations, seconds: from a tiny graph's run to a hopeless wait."""

ROWS_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of the buckets of rows per run."""


class Event(enum.Enum):
    """What may happen to calls and batches besides a run."""

    REFUSED_FULL = "refused: the queue is full"
    REFUSED_LATE = "refused: its answer would come past its deadline"
    REFUSED_BY_SIZE = "refused: as many calls of its level wait as its queue policy allows"
    REFUSED_DRAINING = "refused: the version takes no calls any more"
    TIMED_OUT = "it waited for its run as long as its queue policy allows"
    DELAYED = "it waited so long that its queue policy put it behind the others"
    EXPIRED = "its deadline passed before it was answered"
    CANCELLED = "its caller left"
    POISON = "it failed alone after the batch that it was in had failed"
    APART = "it shares no run, because calls of its peer keep failing"
    RERUN = "a batch was run again in parts"
    OUT_OF_MEMORY = "a run did not fit into memory"
    CHECKED = "an answer from a batch was compared with the answer alone"
    DIFFERED = "that comparison found a difference"
    SPLIT = "a call larger than the row limit was run in pieces"


ENDINGS: frozenset[Event] = frozenset(
    {
        *(Event.REFUSED_FULL, Event.REFUSED_LATE, Event.REFUSED_BY_SIZE, Event.REFUSED_DRAINING),
        *(Event.TIMED_OUT, Event.EXPIRED, Event.CANCELLED),
    }
)
"""What ends a call, once, without a run; nothing else that happens does."""


@dataclass
class Total:
    """How often something happened, and how long it took in all, nanoseconds."""

    count: int = 0
    ns: int = 0


@dataclass
class OfSize(Total):
    """The runs with one number of rows.

    Attributes:
        input_ns: of the whole time, what went into joining their calls.
        output_ns: and into cutting what came out into answers.
    """

    input_ns: int = 0
    output_ns: int = 0


@dataclass
class Snapshot:
    """The figures of a version at one moment, all signatures together.

    Durations are summed per call, so each member of a batch adds the whole time of its run, as
    Triton's clients expect it; `run` holds `run_input` and `run_output` (see OfSize). `by_rows` counts runs.
    """

    rows: int = 0
    runs: int = 0
    last_run_ms: int = 0  # wall clock, since the epoch
    success: Total = field(default_factory=Total)
    fail: Total = field(default_factory=Total)
    queue: Total = field(default_factory=Total)
    run: Total = field(default_factory=Total)
    run_input: Total = field(default_factory=Total)
    run_output: Total = field(default_factory=Total)
    by_rows: dict[int, OfSize] = field(default_factory=dict)
    cache_hit: Total = field(default_factory=Total)
    cache_miss: Total = field(default_factory=Total)
    events: dict[Event, int] = field(default_factory=lambda: dict.fromkeys(Event, 0))


def _no_durations() -> list[int]:
    return [0] * (len(DURATION_BOUNDS_S) + 1)


@dataclass
class Figures:
    """The figures of one signature at one moment.

    Attributes:
        runs: runs of the graph, those that failed included.
        failed_runs: runs that gave their calls an error.
        rows_run: rows of all runs; `rows_answered` of those that did not fail.
        answered: calls that got their answer from a run; `failed` calls that got its error.
        answered_s, failed_s: from arrival to the end of the run, summed over these calls, seconds.
        waited_s: from arrival to the start of the run, summed over calls, seconds.
        ran_s: time inside runs, summed over runs, seconds; `calls_ran_s` is the same summed over calls.
        calls_input_s, calls_output_s: of calls_ran_s, what went into joining calls, and into cutting answers.
        cache_hits: calls that got an answer that was kept; they are not in `answered`, nor in anything above.
        cache_misses: calls for which none was kept, though it might have been; they go on to a run.
        cache_hit_s: from their arrival to the answer, summed over hits, seconds.
        cache_miss_s: of the search, summed over misses, and of keeping their answers later, seconds.
        rows_per_run: histogram over ROWS_BOUNDS, runs.
        run_durations: histogram over DURATION_BOUNDS_S, runs.
        wait_durations: histogram over DURATION_BOUNDS_S, calls.
        call_durations: from arrival to the end of the run; histogram over DURATION_BOUNDS_S, calls.
        events: how often each happened.
    """

    runs: int = 0
    failed_runs: int = 0
    rows_run: int = 0
    rows_answered: int = 0
    answered: int = 0
    failed: int = 0
    answered_s: float = 0.0
    failed_s: float = 0.0
    waited_s: float = 0.0
    ran_s: float = 0.0
    calls_ran_s: float = 0.0
    calls_input_s: float = 0.0
    calls_output_s: float = 0.0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_hit_s: float = 0.0
    cache_miss_s: float = 0.0
    rows_per_run: list[int] = field(default_factory=lambda: [0] * (len(ROWS_BOUNDS) + 1))
    run_durations: list[int] = field(default_factory=_no_durations)
    wait_durations: list[int] = field(default_factory=_no_durations)
    call_durations: list[int] = field(default_factory=_no_durations)
    events: dict[Event, int] = field(default_factory=lambda: dict.fromkeys(Event, 0))

    def copy(self) -> Figures:
        """The same numbers, apart from these."""
        return dataclasses.replace(
            self,
            rows_per_run=self.rows_per_run.copy(),
            run_durations=self.run_durations.copy(),
            wait_durations=self.wait_durations.copy(),
            call_durations=self.call_durations.copy(),
            events=self.events.copy(),
        )


class Statistics:
    """The figures of one version.

    Attributes:
        last_errors: what its calls failed with of late.
    """

    def __init__(self) -> None:
        self.last_errors = LastErrors()
        self._lock = threading.Lock()  # guards the figures: a reader must see whole runs
        self._by_signature: dict[str, Figures] = {}
        self._by_rows: dict[int, OfSize] = {}
        self._last_run_ms = 0

    def add_run(
        self,
        signature: str,
        arrivals: Sequence[float],
        rows: int,
        started: float,
        ended: float,
        failed: bool = False,
        input_s: float = 0.0,
        output_s: float = 0.0,
    ) -> None:
        """Count a run.

        Args:
            signature: its name.
            arrivals: when its calls came, monotonic seconds; none where no call has ended by it (it was a
                piece of one, or failed and is run again in parts).
            rows: its rows, without those that only pad it.
            started, ended: monotonic seconds.
            failed: its calls got an error instead of answers.
            input_s: seconds that it took to join the calls, within the run.
            output_s: seconds that it took to cut the answers, within the run.
        """
        calls = len(arrivals)
        ordered = sorted(arrivals)
        ran_s = ended - started
        # Differences first: sums of large moments would lose the digits that tell them apart.
        first = ordered[0] if ordered else started
        waited_s = (started - first) * calls - sum([arrived - first for arrived in ordered])
        with self._lock:
            figures = self._by_signature.get(signature) or self._add_signature(signature)
            figures.runs += 1
            figures.rows_run += rows
            figures.waited_s += waited_s
            figures.ran_s += ran_s
            figures.calls_ran_s += ran_s * calls
            figures.calls_input_s += input_s * calls
            figures.calls_output_s += output_s * calls
            if failed:
                figures.failed_runs += 1
                figures.failed += calls
                figures.failed_s += waited_s + ran_s * calls
            else:
                figures.rows_answered += rows
                figures.answered += calls
                figures.answered_s += waited_s + ran_s * calls
            figures.rows_per_run[bisect_left(ROWS_BOUNDS, rows)] += 1
            figures.run_durations[bisect_left(DURATION_BOUNDS_S, ran_s)] += 1
            _add_ages(figures.wait_durations, ordered, started)
            _add_ages(figures.call_durations, ordered, ended)
            self._last_run_ms = int(time.time() * 1000)
            total = self._by_rows.get(rows)
            if total is None and len(self._by_rows) < _MAX_SIZES:
                total = self._by_rows[rows] = OfSize()
            if total is not None:
                total.count += 1
                total.ns += int(ran_s * 1e9)
                total.input_ns += int(input_s * 1e9)
                total.output_ns += int(output_s * 1e9)

    def count(self, signature: str, event: Event, n: int = 1) -> None:
        """Count `n` happenings of `event` to calls or batches of `signature`."""
        with self._lock:
            figures = self._by_signature.get(signature) or self._add_signature(signature)
            figures.events[event] += n

    def failed(self, signature: str, error: CallError) -> None:
        """Keep what a call of `signature` has failed with; it is counted elsewhere."""
        self.last_errors.add(error.status.name, str(error), signature=signature)

    def add_cache_hit(self, signature: str, seconds: float) -> None:
        """Count a call that is answered with what was kept; `seconds` went into the search."""
        with self._lock:
            figures = self._by_signature.get(signature) or self._add_signature(signature)
            figures.cache_hits += 1
            figures.cache_hit_s += seconds

    def add_cache_miss(self, signature: str, seconds: float) -> None:
        """Count a call for which nothing was kept; `seconds` went into the search."""
        with self._lock:
            figures = self._by_signature.get(signature) or self._add_signature(signature)
            figures.cache_misses += 1
            figures.cache_miss_s += seconds

    def add_cache_insertion(self, signature: str, seconds: float) -> None:
        """Add to the misses' time what it took to keep the answer of one."""
        with self._lock:
            figures = self._by_signature.get(signature) or self._add_signature(signature)
            figures.cache_miss_s += seconds

    def snapshot(self) -> Snapshot:
        """The figures of all signatures together."""
        with self._lock:
            every = list(self._by_signature.values())
            answered, failed = sum(one.answered for one in every), sum(one.failed for one in every)
            hit = Total(sum(one.cache_hits for one in every), _ns(sum(one.cache_hit_s for one in every)))
            return Snapshot(
                rows=sum(one.rows_answered for one in every),
                runs=sum(one.runs for one in every),
                last_run_ms=self._last_run_ms,
                success=Total(answered + hit.count, _ns(sum(one.answered_s for one in every)) + hit.ns),
                fail=Total(failed, _ns(sum(one.failed_s for one in every))),
                queue=Total(answered + failed, _ns(sum(one.waited_s for one in every))),
                run=Total(answered + failed, _ns(sum(one.calls_ran_s for one in every))),
                run_input=Total(answered + failed, _ns(sum(one.calls_input_s for one in every))),
                run_output=Total(answered + failed, _ns(sum(one.calls_output_s for one in every))),
                by_rows={rows: dataclasses.replace(total) for rows, total in self._by_rows.items()},
                cache_hit=hit,
                cache_miss=Total(
                    sum(one.cache_misses for one in every), _ns(sum(one.cache_miss_s for one in every))
                ),
                events={event: sum(one.events[event] for one in every) for event in Event},
            )

    def activity(self) -> tuple[int, int]:
        """How many calls have got an outcome so far, from a run or from the cache, and when the last run was:
        ms since the epoch, by the wall clock."""
        with self._lock:
            every = self._by_signature.values()
            return sum(one.answered + one.failed + one.cache_hits for one in every), self._last_run_ms

    def by_signature(self) -> dict[str, Figures]:
        """A copy of the figures of each signature that has been called."""
        with self._lock:
            return {name: figures.copy() for name, figures in self._by_signature.items()}

    def _add_signature(self, name: str) -> Figures:
        """Requires the lock."""
        assert self._lock.locked()
        return self._by_signature.setdefault(name, Figures())


def _add_ages(counts: list[int], ordered: Sequence[float], now: float) -> None:
    """Count the age at `now` of each of some moments, which ascend, in a histogram of durations.

    Bucket by bucket and not moment by moment: the calls of a batch have come within few buckets.
    """
    left = len(ordered)
    if not left:
        return
    bucket = bisect_left(DURATION_BOUNDS_S, now - ordered[-1])
    while left and bucket < len(DURATION_BOUNDS_S):
        older = bisect_left(ordered, now - DURATION_BOUNDS_S[bucket], 0, left)
        counts[bucket] += left - older
        left = older
        bucket += 1
    counts[bucket] += left


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
