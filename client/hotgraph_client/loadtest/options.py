"""What the flags of `hotgraph loadtest` mean together, as one value. Pure.

What contradicts another flag is refused here, before anything is sent.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .plan import Closed, Load, Open, Sweep, sweep
from .slo import Condition, conditions


@dataclass(frozen=True)
class Options:
    """What the command line says of the load; where it goes and what is written stays with the arguments.

    Attributes:
        loads: in order; none: probe the server and choose.
        sweep: --rate LOW..HIGH, which bounds a search; None: another load.
        promise: --slo; none: no search.
        need: calls a second.
        arrivals: of open loads.
        seconds: of each step, without its warm-up.
        processes: None: as many as the load asks for.
    """

    loads: tuple[Load, ...]
    sweep: Sweep | None
    promise: tuple[Condition, ...]
    slo_text: str
    need: float | None
    arrivals: Literal["poisson", "uniform"]
    replay: Path | None
    trace: Path | None
    speed: float
    seconds: float | None
    warm_up_s: float
    repeats: int
    processes: int | None
    connections: int | None
    deadline_s: float | None
    seed: int
    live_port: int | None


def read_options(arguments: argparse.Namespace) -> Options:
    """What the arguments say together.

    Raises:
        ValueError: they contradict each other, in one line.
    """
    rate: Sweep | tuple[float, ...] | None = arguments.rate
    _check_companions(arguments)
    promise = conditions(arguments.slo) if arguments.slo is not None else ()
    ranged = rate if isinstance(rate, Sweep) else None
    if ranged is not None:
        loads: tuple[Load, ...] = tuple(Open(one) for one in sweep(ranged, arguments.steps or 6))
    elif isinstance(rate, tuple):
        loads = tuple(Open(one) for one in rate)
    else:
        loads = tuple(Closed(one) for one in arguments.concurrency or ())
    if (promise or arguments.live is not None) and len(loads) > 1 and ranged is None:
        raise ValueError("--slo and --live begin at one rate: give one --rate, or a range for --slo")
    if arguments.replay is not None:
        loads = (Open(0.0, replay=True),)
    if arguments.trace is not None:
        loads = (Open(0.0, trace=True),)
    return Options(
        loads=loads,
        sweep=ranged,
        promise=promise,
        slo_text=arguments.slo or "",
        need=arguments.need,
        arrivals=arguments.arrivals,
        replay=arguments.replay,
        trace=arguments.trace,
        speed=arguments.speed or 1.0,
        seconds=arguments.duration,
        warm_up_s=arguments.warm_up,
        repeats=arguments.repeat,
        processes=arguments.processes,
        connections=arguments.connections,
        deadline_s=None if arguments.deadline_ms is None else arguments.deadline_ms / 1e3,
        seed=arguments.seed,
        live_port=arguments.live,
    )


def _check_companions(arguments: argparse.Namespace) -> None:
    """Flags that say nothing without another one, or contradict one."""
    is_range = isinstance(arguments.rate, Sweep)
    search, live = arguments.slo is not None, arguments.live is not None
    replay = arguments.replay is not None
    timed = replay or arguments.trace is not None
    wrong = {
        "--steps divides a range: give --rate LOW..HIGH as well": arguments.steps and not is_range,
        "--speed is of moments: give --replay LOG or --trace FILE as well": arguments.speed and not timed,
        "--need is the rate that a promise must be kept at: give --slo as well": arguments.need
        and not search,
        "--slo searches a rate, which a closed loop has not: leave --concurrency out": search
        and arguments.concurrency,
        "--slo searches a rate, and a replay or a trace has its own: leave one of them out": search and timed,
        "--slo confirms by itself: leave --repeat out": search and arguments.repeat > 1,
        "a range goes with --steps, or with --slo, which searches in it": is_range
        and search
        and arguments.steps,
        "--live has its own rate, or searches none: leave --slo out": live and search,
        "--live changes a rate, which a closed loop has not: leave --concurrency out": live
        and arguments.concurrency,
        "--live begins at one load: leave the range, --repeat, --replay and --trace out": live
        and (is_range or timed or arguments.repeat > 1),
        "--replay brings its calls: leave --data and --rows out": replay
        and (arguments.data or arguments.rows),
    }
    for text, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(text)
    if arguments.metrics is not None and not arguments.metrics.startswith(("http://", "https://")):
        raise ValueError(
            f"--metrics {arguments.metrics}: expected a URL, such as http://127.0.0.1:8501/metrics"
        )
