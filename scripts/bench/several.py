"""What several processes are worth. Started by scripts/bench/several."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench import h2load
from bench.environment import ROOT, Cache
from bench.models import make_models, questions_of
from bench.processes import Launch, Server
from bench.protocols import V2

DESCRIPTION = """\
Serve with one process and with several, and compare calls/s: each round measures all, one after the other,
and a ratio is one within a round.

  softmax    784x10, 128 in flight: nothing but what a call costs, on processors that the load wants too
  sleeping   a run takes 5 ms and no processor: what there is to gain where processors are not the limit"""

SLEEP_S = 0.005
_START_S = 120.0
_WARM_UP_S = 1.0
_COUNTS = {"softmax": (1, 2), "sleeping": (1, 2, 4)}
_IN_FLIGHT = {"softmax": 128, "sleeping": 64}


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/several",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", default="softmax,sleeping", help="of softmax, sleeping (default: both)")
    add("--rounds", type=int, default=5, metavar="N", help="(default: 5)")
    add("--seconds", type=float, default=4.0, metavar="S", help="of one measured run (default: 4)")
    add("--json", type=Path, metavar="FILE", help="write the figures there as well")
    add(
        "--cache", type=Path, metavar="DIR", default=ROOT / ".bench", help="(default: .bench in the checkout)"
    )
    options = parser.parse_args()
    cache = Cache(options.cache.resolve())
    found = {}
    for model in options.models.split(","):
        rates = _measure(cache, model, options.rounds, options.seconds)
        found[model] = rates
        print(f"{model}, {_IN_FLIGHT[model]} in flight")
        for count, each in rates.items():
            ratios = [one / first for one, first in zip(each, rates[1], strict=True)]
            print(
                f"  {count} process{'es' * (count > 1)}: {statistics.median(each):8.0f} calls/s,"
                f" {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f}) times one's"
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


def _measure(cache: Cache, model: str, rounds: int, seconds: float) -> Mapping[int, Sequence[float]]:
    """Calls/s by processes, round by round."""
    flags, target_body = _model(cache, model)
    servers = {count: _serve(cache, model, count, flags) for count in _COUNTS[model]}
    rates: dict[int, list[float]] = {count: [] for count in servers}
    try:
        addresses = {
            count: server.wait_for_line("serving on ", _START_S) for count, server in servers.items()
        }
        for number in range(rounds):
            # Who is first is another one each time.
            order = sorted(servers) if number % 2 else sorted(servers, reverse=True)
            for count in order:
                rates[count].append(_load(cache, addresses[count], target_body, _IN_FLIGHT[model], seconds))
    finally:
        for server in servers.values():
            server.stop()
    return rates


def _model(cache: Cache, model: str) -> tuple[list[str], Path]:
    """What serves it, and a call of one row."""
    body = cache.at("several", f"{model}.body")
    if model == "softmax":
        make_models(cache, [model])
        folder = cache.folder / "models" / model
        inputs = questions_of(folder, [1])[1][0].inputs
        flags = [f"{model}={_saved_model(folder)}"]
    else:
        folder = cache.at("several", "sleeping.so").parent
        command = [sys.executable, "-m", "bench.servers.make_sleeping_model", str(folder), str(SLEEP_S)]
        subprocess.run(command, check=True)
        inputs = np.zeros((1, 8), np.float32)
        # A run for each call, so that calls/s are runs/s.
        library = str(folder / "sleeping.so")
        flags = [f"{model}={folder / 'sleeping'}", "--load-op-library", library, "--max-batch-rows", "1"]
    body.write_bytes(V2.body(model, inputs))
    return flags, body


def _saved_model(folder: Path) -> Path:
    return next(iter(folder.rglob("saved_model.pb"))).parent


def _serve(cache: Cache, model: str, count: int, flags: Sequence[str]) -> Server:
    command = [sys.executable, "-m", "hotgraph_server", "serve", *flags, "--port", "0"]
    command += ["--rest-port", "0", "--admin-port", "0"]
    log = cache.at("several", f"{model}-{count}.log")
    return Server(Launch([*command, "--processes", str(count)], {}), log)


def _load(cache: Cache, address: str, body: Path, in_flight: int, seconds: float) -> float:
    target = h2load.Target(f"http://{address}{V2.path}", body, V2.headers, http1=False)
    log = cache.at("several", "calls.log")
    log.unlink(missing_ok=True)
    command = h2load.command(target, in_flight, seconds, _WARM_UP_S, log)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return h2load.finish(process, in_flight, seconds + _WARM_UP_S, log).report.succeeded / seconds


if __name__ == "__main__":
    sys.exit(main())
