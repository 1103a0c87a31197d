"""What runs of a live version take, by rows: asked for as calls are, run one after the other in its executor.

A run counts from the moment at which the executor begins it to that at which its answers are cut, by its own
clock, so what it costs to hand it over is not in it. Several wait at a time, each to be run alone, and the
processor time of the whole process is divided among them.

The sizes take turns, so that a slow moment of the machine does not fall on one of them. The time is limited:
sizes for which none is left have no point, and the first size always has one.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.request import Request
from hotgraph_server.call_observer import Moments, Queued
from hotgraph_server.errors import CallError, StartError
from hotgraph_server.models.version import Version
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.tuning.costs import Point
from hotgraph_server.warmup.synthetic_inputs import generate

_AT_A_TIME = 4
_ENOUGH_RUNS = 200
_LEAST_RUNS = 3
# Sizes of which so many take longer are run one at a time.
_SLOW_S = 0.2
# One that takes longer has met something that does not end.
_RUN_S = 120.0


class _Timed:
    """Observes a call."""

    seconds = 0.0

    def queued(self, call: Queued) -> None:
        pass

    def ran(self, moments: Moments) -> None:
        self.seconds += moments.ended - moments.started


def run_alone(version: Version, signature: Signature, inputs: Sequence[Array], count: int) -> list[float]:
    """Seconds of so many runs of `inputs`, which wait together and share none.

    Raises:
        StartError: the graph does not take them.
    """
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    timed = [_Timed() for _ in range(count)]
    for one in timed:
        # What carries others' calls is joined with none.
        request = Request(
            signature,
            inputs,
            signature.output_aliases,
            Completion(outcomes.put),
            member_arrivals=(time.monotonic(),),
            observer=one,
        )
        version.submit(request)
    for _ in timed:
        outcome = outcomes.get(timeout=_RUN_S)
        if isinstance(outcome, CallError):
            raise StartError(
                f"{version.title}: signature {signature.name!r} fails on generated input: {outcome}"
            )
    return [one.seconds for one in timed]


def measure(
    version: Version,
    signature: Signature,
    sizes: Sequence[int],
    budget_s: float,
    say: Callable[[str], object] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    cpu_clock: Callable[[], float] = time.process_time,
) -> list[Point]:
    """Points of the cost curve of a signature.

    Args:
        sizes: rows to be run, ascending.
        budget_s: for all of them, seconds; what a size has begun it ends.
        say: is told of progress.

    Raises:
        StartError: no input is known that the graph takes, or it does not take even the first size.
    """
    kind = version.generated.get(signature.name)
    if kind is None:
        raise StartError(f"{version.title}: no input is known that signature {signature.name!r} takes")
    until = clock() + budget_s
    inputs: dict[int, Sequence[Array]] = {}
    times_s: dict[int, list[float]] = {}
    cpu_s: dict[int, float] = {}
    slow: set[int] = set()
    for rows in sizes:
        given = generate(signature, rows, kind)
        try:
            # The first run of a size allocates, and is not counted.
            (first_s,) = run_alone(version, signature, given, 1)
        except StartError:
            if not times_s:
                raise
            say(f"it does not take {rows} rows")
            break
        inputs[rows], times_s[rows], cpu_s[rows] = given, [], 0.0
        # Twice the rows take at most twice the time, and each size is to be run a few times.
        if clock() + (_LEAST_RUNS * 2 + 2) * first_s > until:
            break
    while inputs:
        for rows in list(inputs):
            began, began_cpu = clock(), cpu_clock()
            runs = _AT_A_TIME if rows not in slow else 1
            times_s[rows] += run_alone(version, signature, inputs[rows], runs)
            cpu_s[rows] += cpu_clock() - began_cpu
            if clock() - began > _SLOW_S:
                slow.add(rows)
            done = len(times_s[rows])
            if done >= _ENOUGH_RUNS or (clock() >= until and done >= _LEAST_RUNS):
                del inputs[rows]
    return [
        Point(rows, tuple(times), cpu_s[rows] / len(times))
        for rows, times in sorted(times_s.items())
        if times
    ]
