"""More calls than a server can answer: what does it make of them? Started by scripts/bench/overload."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench import environment, overload_report
from bench.arena import CONTENDERS, DEADLINE_S, Arena, say
from bench.environment import Cache
from bench.overload_results import Overload
from bench.workload import SLOW, SLOW_ROWS

_LOADS = (0.5, 1.0, 2.0, 3.0)

DESCRIPTION = f"""\
Send servers more calls than they can answer, each with a deadline of {DEADLINE_S * 1e3:.0f} ms, and count
the right answers that come in time.

The model takes some 16 ms for a run on one core, whether of 1 row or of {SLOW_ROWS}, which is its limit (it
is made to measure at the start). So the capacity is {SLOW_ROWS} calls a run time; the run time is measured
again for every load, by a bare loop over the graph on the servers' core. Calls come at random moments
(Poisson), 0.5, 1, 2 and 3 times as many as the capacity, whether or not earlier ones are answered, and
latency counts from the moment at which a call was due. The server has one core, the load the other.

A call carries its deadline as every gRPC client sends it. The generator does not hang up when it is over,
but waits another second for the server's word, so that late answers and stalls show.

And the reverse: 1, 2 and 3 callers with an idle server to themselves, without a deadline. There, nothing
may take longer than two runs (the one that was under way, and its own) and a little."""

EPILOG = """\
examples:
  scripts/bench/overload --seconds 1 --rounds 1       does everything work? (2 minutes)
  scripts/bench/overload                              three rounds (7 minutes); leave the machine alone
  scripts/bench/overload --rivals hotgraph --loads 3  one server, three times its capacity

The results folder gets overload.json, overload.md and overload.svg."""


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/overload",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = parser.add_argument
    names = ", ".join(CONTENDERS)
    add("--rivals", default=",".join(CONTENDERS), metavar="A,B", help=f"of {names} (default: all)")
    add(
        "--loads",
        default=",".join(f"{load:g}" for load in _LOADS),
        metavar="X,Y",
        help="(default: 0.5,1,2,3)",
    )
    add("--rounds", type=int, default=3, metavar="N", help="how often everybody is measured (default: 3)")
    add("--seconds", type=float, default=5.0, metavar="S", help="of each load (default: 5)")
    add(
        "--idle-seconds",
        type=float,
        default=3.0,
        metavar="S",
        help="of each measurement of callers who wait for their answers (default: 3)",
    )
    add("--out", type=Path, metavar="DIR", help="folder for the results (default: results/ in the cache)")
    environment.add_cache_option(parser)
    given = parser.parse_args()
    chosen = given.rivals.split(",")
    if not set(chosen) <= set(CONTENDERS):
        parser.error(f"--rivals: there are {names}")
    try:
        loads = tuple(float(load) for load in given.loads.split(","))
    except ValueError:
        parser.error(f"--loads: {given.loads!r} are no numbers with commas between them")
    if min(loads) <= 0 or given.rounds < 1 or min(given.seconds, given.idle_seconds) <= 0:
        parser.error("--loads, --rounds, --seconds and --idle-seconds must be above 0")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("two cores are needed: one for the server, one for the load")
    # A plain end would leave the servers running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cache = Cache(given.cache.resolve())
    out = (given.out or cache.folder / "results").resolve()
    out.mkdir(parents=True, exist_ok=True)
    folder, made_ms = _make_model(cache, cores[0])
    say(f"a run takes {made_ms:.1f} ms by itself")
    results = Overload(
        started=time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        machine=environment.machine(),
        versions=environment.own_versions(),
        revision=environment.revision(),
        rounds=given.rounds,
        deadline_ms=DEADLINE_S * 1e3,
    )
    with contextlib.ExitStack() as stack:
        arena = Arena(cache, folder, cores[0], results)
        stack.callback(arena.close)
        arena.start(chosen)
        # The load has the other core to itself; servers were given theirs when they started.
        os.sched_setaffinity(0, {cores[1]})
        for round_number in range(given.rounds):
            arena.one_round(round_number, loads, given.seconds, min(given.seconds, given.idle_seconds))
            results.write(out / "overload.json")
    (out / "overload.md").write_text(overload_report.markdown(results))
    print(overload_report.markdown(results))
    environment.draw(cache, "bench.plot_overload", out / "overload.json", out)
    say(f"written: {out / 'overload.json'}, overload.md, overload.svg")
    return 0


def _make_model(cache: Cache, core: int) -> tuple[Path, float]:
    """The model's folder, and what a run took when it was made, ms; made again for every measurement.

    What takes 16 ms on one machine, or on one day, takes longer on another.
    """
    say("making the model: some seconds")
    folder = cache.at("models", SLOW.name, "1").parent
    command = [sys.executable, "-m", "bench.servers.make_slow_model", str(folder), str(core)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cannot make the model: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return folder, float(done.stdout.split()[-1])


if __name__ == "__main__":
    sys.exit(main())
