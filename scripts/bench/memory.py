"""Does the server's memory grow? Started by scripts/bench/memory."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import environment, h2load, large_models_report, report
from bench.contest import Contest
from bench.environment import Cache
from bench.large_models import measure_large_models
from bench.models import make_models, questions_of
from bench.options import MODEL_NAMES
from bench.results import Memory
from bench.rivals import RIVALS
from bench.workload import CALL_ROWS, MODELS, Model

_RIVALS = ("hotgraph", "hotgraph-tfs", "hotgraph-no-lane", "hotgraph-http", "hotgraph-json")
MEMORY_RIVALS = ("hotgraph", "hotgraph-tfs")
MEMORY_CALLS = (2_000, 100_000, 200_000)
MEMORY_IN_FLIGHT = 32
_CALL_S = 5e-3
"""That a call may take on average before h2load is given up."""
_MARK = 1.02

DESCRIPTION = """\
Send calls to the hotgraph server, and compare its resident memory after the first of them with that after
all: whatever is kept per call shows at these numbers. The mark is a ratio of at most 1.02.

With --large: serve large models instead, and compare resident memory with the size of their SavedModels."""


def main() -> int:
    """Measure as the command line says; returns the exit status: 1 where the mark is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench/memory", description=DESCRIPTION)
    add = parser.add_argument
    add("--model", choices=MODEL_NAMES, default="softmax", help="(default: softmax)")
    add(
        "--first",
        type=int,
        default=MEMORY_CALLS[0],
        metavar="N",
        help="calls before the first look (default: 2000)",
    )
    add("--calls", type=int, default=MEMORY_CALLS[-1], metavar="N", help="calls in all (default: 200000)")
    add("--in-flight", type=int, default=MEMORY_IN_FLIGHT, metavar="N", help="calls (default: 32)")
    add(
        "--rivals",
        default=",".join(MEMORY_RIVALS),
        help=f"of {', '.join(_RIVALS)} (default: the first two)",
    )
    add("--large", action="store_true", help="measure what large models cost instead")
    add("--json", type=Path, metavar="FILE", help="write the figures there as well")
    environment.add_cache_option(parser)
    given = parser.parse_args()
    # A plain end would leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if given.large:
        figures = measure_large_models()
        if given.json:
            given.json.write_text(json.dumps(figures, indent=1) + "\n")
        print(large_models_report.model_table(figures))
        return 0 if all(map(large_models_report.met, figures["models"])) else 1
    names = given.rivals.split(",")
    if not set(names) <= set(_RIVALS):
        parser.error(f"--rivals: there are {', '.join(_RIVALS)}")
    if not 0 < given.first < given.calls:
        parser.error("--first must be above 0 and below --calls")
    cache = Cache(given.cache.resolve())
    make_models(cache, [given.model])
    steps = (given.first, given.calls // 2, given.calls)
    try:
        found = [measure_memory(cache, name, MODELS[given.model], steps, given.in_flight) for name in names]
    except h2load.LoadFailed as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    if given.json:
        given.json.write_text(json.dumps([dataclasses.asdict(row) for row in found], indent=1) + "\n")
    print(report.memory_table(found))
    return 0 if max(row.ratio for row in found) <= _MARK else 1


def measure_memory(cache: Cache, name: str, model: Model, steps: Sequence[int], in_flight: int) -> Memory:
    """Start a server, and look at it when as many calls have been answered in all; ascending steps.

    Raises:
        LoadFailed: it does not start, or not every call was answered.
    """
    folder = cache.folder / "models" / model.name
    resident: list[int] = []
    sent = 0
    with Contest(cache, model, folder, questions_of(folder, CALL_ROWS)) as contest:
        refused = contest.enter([(RIVALS[name], RIVALS[name].set_up(cache))])
        if refused:
            raise h2load.LoadFailed(refused[name])
        (contender,) = contest.contenders
        target = contest.target(contender, 1)
        for step in steps:
            print(f"memory: {name}, on to {step} calls", file=sys.stderr, flush=True)
            calls = step - sent
            command = h2load.counted_command(target, in_flight, calls)
            limit_s = 60 + calls * _CALL_S
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
            answered = h2load.parse_report(done.stdout)
            if answered.succeeded != calls or answered.data_bytes != calls * contender.answer_bytes[1]:
                raise h2load.LoadFailed(f"calls failed: {answered}")
            sent = step
            resident.append(contender.server.resident_bytes())
    return Memory(name, model.name, tuple(steps), tuple(resident))


if __name__ == "__main__":
    sys.exit(main())
