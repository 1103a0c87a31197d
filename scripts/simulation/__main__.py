"""Started by scripts/simulate."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from hotgraph_server.batching.simulator import Arrival, simulate
from hotgraph_server.tuning.costs import RunTime, affine, read_costs, uneven
from hotgraph_server.tuning.traffic import Senseless, read_trace
from simulation.inputs import poisson, settings_of
from simulation.options import Options, parse
from simulation.picture import svg
from simulation.result import Result, result_of, table


def main() -> int:
    """Simulate as the command line says; returns the exit status."""
    options = parse()
    try:
        results = list(simulations(options))
    except (Senseless, OSError, UnicodeDecodeError) as error:
        print(f"scripts/simulate: {error}", file=sys.stderr)
        return 2
    name = options.sweep[0] if options.sweep else "as given"
    print("\n".join(table(name, results)))
    if options.svg is not None:
        options.svg.write_text(svg(name, results))
    return 0


def simulations(options: Options) -> Iterator[Result]:
    """One result, or one for each value of the sweep.

    Raises:
        Senseless: the options name what is not there or makes no sense.
        OSError: a file cannot be read.
    """
    run_s = _run_time(options)
    trace = None if options.trace is None else read_trace(options.trace.read_text().splitlines())
    name, values = options.sweep or ("", [""])
    for value in values:
        rate, texts = options.rate, options.settings
        if name == "rate":
            rate = _rate(value)
        elif name:
            texts = {**texts, name: value}
        arrivals = trace or _generated(options, rate)
        settings = settings_of(texts, max(arrival.priority for arrival in arrivals))
        # The same accidents for everybody, as far as they have the same runs.
        outcome = simulate(arrivals, uneven(run_s, options.jitter, options.seed), settings)
        yield result_of(value, outcome)


def _run_time(options: Options) -> RunTime:
    if options.costs is not None:
        return read_costs(options.costs.read_text())
    return affine(options.base_ms, options.per_row_ms)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not rate > 0.0:
        raise Senseless(f"rate must be a number above 0, got {text!r}")
    return rate


def _generated(options: Options, rate: float) -> list[Arrival]:
    arrivals = poisson(
        rate,
        options.seconds,
        rows=options.rows,
        deadline_ms=options.deadline_ms,
        levels=options.levels,
        seed=options.seed,
    )
    if not arrivals:
        raise Senseless(f"at {rate:g} calls a second, none comes within {options.seconds:g} s")
    return arrivals


if __name__ == "__main__":
    sys.exit(main())
