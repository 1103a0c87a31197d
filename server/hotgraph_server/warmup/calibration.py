"""The first points of the cost curve: what runs of few and of many rows take, before a version is live.

Without them the first deadlines would be judged by nothing. Generated rows will do: how long a graph takes
depends on shapes, and seldom on what is in them. Pure but for `run` and the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from hotgraph_server.batching.joining import Joining, rows_to_run
from hotgraph_server.errors import RunFailed
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.row_comparison import Run
from hotgraph_server.warmup.synthetic_inputs import Kind, generate

BUDGET_S = 0.5
"""For all signatures of a version together; one run more than fits is the most that it is exceeded by."""

_RUNS = 3


class Timed(NamedTuple):
    """A run: its inputs, the rows that count (without those that fill up a bucket), its seconds."""

    inputs: Sequence[Array]
    rows: int
    seconds: float


def time_runs(
    signature: Signature,
    run: Run,
    kind: Kind,
    max_rows: int,
    joining: Joining,
    budget_s: float,
    clock: Callable[[], float],
) -> Iterator[Timed]:
    """Runs of 1, 2, 4 ... `max_rows` rows, each size a few times, as long as time is left.

    The first run of a size is not counted: TensorFlow allocates, and may compile. A graph that does not take
    so many rows is timed as far as it goes.

    Args:
        kind: generated input that the graph takes.
    """
    until = clock() + budget_s
    for rows in _sizes(max_rows):
        inputs = generate(signature, rows_to_run(rows, joining), kind)
        seconds = 0.0
        for index in range(1 + _RUNS):
            started = clock()
            try:
                run(inputs)
            except RunFailed:
                return
            seconds = clock() - started
            if index:
                yield Timed(inputs, rows, seconds)
            if clock() + seconds > until:
                break
        # Twice the rows take at most twice the time, and a size needs two runs to be of use.
        if clock() + 4 * seconds > until:
            return


def _sizes(max_rows: int) -> Iterator[int]:
    rows = 1
    while rows < max_rows:
        yield rows
        rows *= 2
    yield max_rows
