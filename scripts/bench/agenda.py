"""Who is measured where, how long and how often. Pure.

An agenda is a list of entries; the suite starts the servers that a model's entries name, once, and then
goes through the entries again and again until each has had its rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.variants import BASE, is_variant
from bench.workload import MODELS, Cell, cells

OVERHEAD_S = 0.3
"""What a run takes besides its own time: h2load starts, says what it saw, and its log is read."""


@dataclass(frozen=True)
class Entry:
    """One place of the table, and who is measured there one right after the other.

    Attributes:
        rounds: how often; entries of one model may differ.
        seconds: of each run, after a warm-up of `warm_up_s`.
    """

    cell: Cell
    rivals: tuple[str, ...]
    rounds: int
    seconds: float
    warm_up_s: float


def everything(
    models: Sequence[str],
    in_flight: Sequence[int],
    rows: Sequence[int],
    rivals: Sequence[str],
    rounds: int,
    seconds: float | None,
) -> list[Entry]:
    """Every rival and variant at every size that fits the model; `seconds` None: as each model needs."""
    return [
        _entry(cell, rivals, rounds, seconds or MODELS[name].seconds)
        for name in models
        for cell in cells(MODELS[name], in_flight, rows)
    ]


_Table = tuple[tuple[Cell, tuple[str, ...], float], ...]
"""Places, who is measured there besides the variants, and for how many seconds."""

_BINARY, _JSON = ("hotgraph-http", "triton-http"), ("hotgraph-json", "triton-json")
OVER_HTTP = (*_BINARY, *_JSON)
"""Another door of servers that are there already: tables and pictures of calls show it apart."""

_MARKED: _Table = (
    (Cell("softmax", 1, 128), ("hotgraph", "triton", "mosec", "hotgraph-no-lane", "echo"), 3.0),
    (Cell("softmax", 1, 1), ("hotgraph", "triton"), 3.0),
    (Cell("softmax", 1, 8), ("hotgraph", "triton"), 3.0),
    (Cell("softmax", 1, 32), ("hotgraph", "triton"), 2.0),
    (Cell("mlp", 8, 128), ("hotgraph",), 3.0),
    (Cell("mobilenet", 1, 1), ("hotgraph", "hotgraph-as-saved"), 4.0),
    (Cell("mobilenet", 1, 32), ("hotgraph", "bare", "bare-frozen"), 10.0),
    (Cell("mobilenet", 1, 128), ("hotgraph",), 10.0),
    (Cell("identity", 1, 8), ("hotgraph", "echo"), 4.0),
    # Over HTTP: each beside whom its mark compares it with.
    (Cell("softmax", 1, 128), _BINARY, 3.0),
    (Cell("softmax", 1, 128), _JSON, 3.0),
    (Cell("softmax", 1, 1), _BINARY, 3.0),
    (Cell("identity", 1, 8), _BINARY, 4.0),
)
_SIGHTS: _Table = (
    *(
        (Cell("softmax", 1, calls), ("hotgraph", "hotgraph-tfs", "triton", "grpc-aio", "mosec", "echo"), 2.0)
        for calls in (1, 8, 32, 128, 512)
    ),
    *((Cell("softmax", 1, calls), ("grpc-threads", "litserve", "bentoml"), 2.0) for calls in (1, 128)),
    (Cell("mobilenet", 1, 1), ("triton", "grpc-aio", "mosec"), 4.0),
    (Cell("mobilenet", 1, 8), ("hotgraph", "triton", "grpc-aio", "mosec"), 5.0),
    (Cell("mobilenet", 1, 32), ("triton", "grpc-aio", "mosec"), 10.0),
)
_SIGHT_ROUNDS = 2

_QUICK: _Table = (
    (Cell("softmax", 1, 1), ("hotgraph", "triton"), 3.0),
    (Cell("softmax", 1, 8), ("hotgraph", "triton"), 2.5),
    (Cell("softmax", 1, 128), ("hotgraph", "triton", "echo"), 2.5),
    (Cell("mlp", 8, 128), ("hotgraph",), 2.0),
    (Cell("identity", 1, 8), ("hotgraph", "echo"), 2.5),
    (Cell("softmax", 1, 128), _BINARY, 2.0),
    (Cell("softmax", 1, 128), _JSON, 2.0),
    (Cell("identity", 1, 8), _BINARY, 2.0),
)
_QUICK_SIGHTS: _Table = (
    (Cell("softmax", 1, 1), ("echo",), 2.0),
    (Cell("softmax", 1, 8), ("echo",), 2.0),
    (Cell("softmax", 1, 32), ("hotgraph", "triton", "echo"), 2.0),
    (Cell("softmax", 1, 1), _BINARY, 2.0),
)


def marks(rivals: Sequence[str], models: Sequence[str], rounds: int, seconds: float | None) -> list[Entry]:
    """What the marks need, `rounds` times; and, twice, the other rivals beside it, for the picture.

    Args:
        rivals: with variants, which are measured where they can show; others are left out.
        models: others are left out.
        seconds: of each run; None: long enough for its cell.
    """
    return _chosen(_MARKED, _SIGHTS, rivals, models, rounds, seconds)


def quick(rivals: Sequence[str], models: Sequence[str], rounds: int, seconds: float | None) -> list[Entry]:
    """The marks that a change of the server moves, in as few minutes as they can be told from noise."""
    return _chosen(_QUICK, _QUICK_SIGHTS, rivals, models, rounds, seconds)


def _chosen(
    marked: _Table,
    sights: _Table,
    rivals: Sequence[str],
    models: Sequence[str],
    rounds: int,
    seconds: float | None,
) -> list[Entry]:
    wanted: list[Entry] = []
    for table, times in ((marked, rounds), (sights, min(rounds, _SIGHT_ROUNDS))):
        for cell, names, cell_s in table:
            measured = {name for entry in wanted if entry.cell == cell for name in entry.rivals}
            takes_part = [*names, *(name for name in rivals if _shows(name, cell))]
            chosen = [name for name in takes_part if name in rivals and name not in measured]
            if cell.model in models and chosen:
                wanted.append(_entry(cell, chosen, times, seconds or cell_s))
    return wanted


def _shows(name: str, cell: Cell) -> bool:
    """Whether a variant can differ there from what it is a variant of; False for a rival."""
    if not is_variant(name):
        return False
    if name.startswith(f"{BASE}@"):
        return cell.model != "mobilenet"
    # A handful of calls is no work for several processes.
    return cell.model == "softmax" and ("--processes" not in name or cell.in_flight >= 128)


def expected_s(agenda: Sequence[Entry]) -> float:
    """Seconds that the runs will take, without what starting the servers does."""
    return sum(
        entry.rounds * len(entry.rivals) * (entry.seconds + entry.warm_up_s + OVERHEAD_S) for entry in agenda
    )


def _entry(cell: Cell, rivals: Sequence[str], rounds: int, seconds: float) -> Entry:
    # Runs shorter than a model's own are a trial, whose first calls matter as little as the others.
    warm_up_s = min(MODELS[cell.model].warm_up_s, 1.5 * seconds)
    return Entry(cell, tuple(rivals), rounds, seconds, warm_up_s)
