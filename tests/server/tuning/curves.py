"""Known cost curves, and places where nothing but them costs anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hotgraph_server.settings import BatchSettings
from hotgraph_server.tuning.costs import Costs, Point, sizes_to_measure, variant_of
from hotgraph_server.tuning.prediction import Place
from hotgraph_server.tuning.search import Problem
from hotgraph_server.tuning.slo import slo_of
from hotgraph_server.tuning.traffic import poisson_traffic

FREE = Place(4, front_s=0.0, waking_s=0.0, path_s=0.0)
"""The front, the network and other threads cost nothing."""


def curve(
    run_s: Callable[[int], float],
    settings: Mapping[str, Any] | None = None,
    *,
    cpu: float = 1.0,
    threads: int = 1,
    jitter: tuple[float, ...] = (1.0,),
    **more: Any,
) -> Costs:
    """Costs as a function has them; `cpu` processors are busy during a run."""
    points = tuple(
        Point(rows, tuple(run_s(rows) * one for one in jitter), run_s(rows) * cpu)
        for rows in sizes_to_measure(128)
    )
    return Costs(variant_of(settings or {}), "as saved", points, threads=threads, **more)


def problem(*costs: Costs, rate: float, slo: str = "p99<50ms", **more: Any) -> Problem:
    """A load of one row a call."""
    return Problem(
        costs,
        more.pop("base", BatchSettings()),
        more.pop("traffic", poisson_traffic(rate)),
        more.pop("place", FREE),
        slo_of(slo),
        **{"effort": 0.15, **more},
    )
