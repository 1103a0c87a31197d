"""Does the server's memory grow? Started by scripts/bench/memory."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from bench import h2load, report
from bench.contest import Contender, Contest
from bench.environment import ROOT, Cache
from bench.models import make_models, questions_of
from bench.options import MODEL_NAMES
from bench.rivals import RIVALS
from bench.workload import CALL_ROWS, MODELS

_RIVALS = ("hotgraph", "hotgraph-tfs", "hotgraph-no-lane")
_CALL_S = 5e-3
"""That a call may take on average before h2load is given up."""
_MARK = 1.02

DESCRIPTION = """\
Send calls to the hotgraph server, and compare its resident memory after the first of them with that after
all: whatever is kept per call shows at these numbers. The mark is a ratio of at most 1.02."""


def main() -> int:
    """Measure as the command line says; returns the exit status: 1 where the mark is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench/memory", description=DESCRIPTION)
    add = parser.add_argument
    add("--model", choices=MODEL_NAMES, default="softmax", help="(default: softmax)")
    add("--first", type=int, default=2_000, metavar="N", help="calls before the first look (default: 2000)")
    add("--calls", type=int, default=200_000, metavar="N", help="calls in all (default: 200000)")
    add("--in-flight", type=int, default=32, metavar="N", help="calls (default: 32)")
    add(
        "--rivals",
        default="hotgraph,hotgraph-tfs",
        help=f"of {', '.join(_RIVALS)} (default: the first two)",
    )
    add(
        "--cache", type=Path, metavar="DIR", default=ROOT / ".bench", help="(default: .bench in the checkout)"
    )
    given = parser.parse_args()
    # A plain end would leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = given.rivals.split(",")
    if not set(names) <= set(_RIVALS):
        parser.error(f"--rivals: there are {', '.join(_RIVALS)}")
    if not 0 < given.first < given.calls:
        parser.error("--first must be above 0 and below --calls")
    cache = Cache(given.cache.resolve())
    make_models(cache, [given.model])
    model = MODELS[given.model]
    folder = cache.folder / "models" / model.name
    rows: list[list[str]] = []
    worst = 0.0
    for name in names:
        with Contest(cache, model, folder, questions_of(folder, CALL_ROWS)) as contest:
            refused = contest.enter({name: RIVALS[name].set_up(cache)})
            if refused:
                print(f"cannot measure: {refused[name]}", file=sys.stderr)
                return 1
            (contender,) = contest.contenders
            steps = [given.first, given.calls // 2, given.calls]
            sizes = _sizes(cache, contest, contender, steps, given.in_flight)
        ratio = sizes[-1] / sizes[0]
        worst = max(worst, ratio)
        rows.append([RIVALS[name].title, *(f"{size / 2**20:.1f}" for size in sizes), f"{ratio:.4f}"])
    head = ["resident MiB after", *(f"{step} calls" for step in steps), "last / first"]
    print(report.table(head, rows))
    return 0 if worst <= _MARK else 1


def _sizes(
    cache: Cache, contest: Contest, contender: Contender, steps: list[int], in_flight: int
) -> list[int]:
    """Resident bytes when as many calls have been answered in all; ascending steps."""
    sizes: list[int] = []
    sent = 0
    target = contest.target(contender, 1)
    for step in steps:
        command = h2load.counted_command(target, in_flight, step - sent)
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60 + (step - sent) * _CALL_S, check=False
        )
        answered = h2load.parse_report(done.stdout)
        if (
            answered.succeeded != step - sent
            or answered.data_bytes != answered.done * contender.answer_bytes[1]
        ):
            raise SystemExit(f"calls failed: {answered}")
        sent = step
        sizes.append(contender.server.resident_bytes())
    return sizes


if __name__ == "__main__":
    sys.exit(main())
