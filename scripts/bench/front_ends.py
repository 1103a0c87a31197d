"""What answering over HTTP/1.1 costs, by whom it is done. Started by scripts/bench/front_ends."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import environment, h2load
from bench.environment import Cache, CannotSetUp
from bench.places import import_path
from bench.processes import Launch, Server, free_port

DESCRIPTION = """\
Servers of HTTP/1.1 with nothing behind them: each takes a body of 3 kB and answers with bytes that never
change. Each round measures all, one after the other, and a ratio is one within a round.

  hotgraph       the server's own sockets and HTTP/1.1, with an API that does nothing
  asyncio        httptools in an event loop and nothing around it: no limits, no time-outs, no order
  uvicorn, granian, h2corn    a bare ASGI application on each"""

_BODY_BYTES = 3300
_START_S = 30.0
_WARM_UP_S = 0.5
_PACKAGES = ("uvicorn", "httptools", "granian", "h2corn")


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/front_ends",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--in-flight", type=int, default=128, metavar="N", help="connections, a call on each (default: 128)")
    add("--rounds", type=int, default=5, metavar="N", help="(default: 5)")
    add("--seconds", type=float, default=2.0, metavar="S", help="of one measured run (default: 2)")
    environment.add_cache_option(parser)
    options = parser.parse_args()
    cache = Cache(options.cache.resolve())
    try:
        python = environment.venv(cache, "front-ends", _PACKAGES)
    except CannotSetUp as error:
        print(f"the others cannot be installed: {error}", file=sys.stderr)
        return 1
    versions = environment.versions_in(python, _PACKAGES)
    rates = _measure(cache, commands(python), options.rounds, options.seconds, options.in_flight)
    print(f"{options.in_flight} in flight; {', '.join(f'{name} {one}' for name, one in versions.items())}")
    for name, each in rates.items():
        ratios = [one / first for one, first in zip(each, rates["hotgraph"], strict=True)]
        print(
            f"  {name:10} {statistics.median(each):8.0f} calls/s,"
            f" {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f}) times hotgraph's"
        )
    return 0


def commands(python: Path) -> Mapping[str, Sequence[str]]:
    """By name; PORT stands for the port."""
    app = "bench.servers.bare_asgi:app"
    uvicorn = "--host 127.0.0.1 --port PORT --log-level error --no-access-log --lifespan off --http httptools"
    return {
        "hotgraph": [sys.executable, "-m", "bench.servers.bare_lane", "PORT"],
        "asyncio": [str(python), "-m", "bench.servers.bare_asgi", "PORT"],
        "uvicorn": [str(python), "-m", "uvicorn", app, *uvicorn.split()],
        "granian": [
            *(str(python), "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "PORT"),
            *("--workers", "1", "--log-level", "error", app),
        ],
        "h2corn": [str(python), "-m", "h2corn", "--host", "127.0.0.1", "--port", "PORT", app],
    }


def _measure(
    cache: Cache, words_of: Mapping[str, Sequence[str]], rounds: int, seconds: float, in_flight: int
) -> Mapping[str, Sequence[float]]:
    """Calls/s by server, round by round; one that does not start, or fails calls, is left out."""
    body = cache.at("front-ends", "body")
    body.write_bytes(bytes(_BODY_BYTES))
    servers: dict[str, tuple[Server, int]] = {}
    rates: dict[str, list[float]] = {}
    try:
        for name, command in words_of.items():
            port = free_port()
            words = [str(port) if word == "PORT" else word for word in command]
            server = Server(
                Launch(words, {"PYTHONPATH": import_path()}), cache.at("front-ends", f"{name}.log")
            )
            servers[name] = server, port
            if answers(port):
                rates[name] = []
            else:
                print(f"{name} is left out: {server.last_words()}", file=sys.stderr, flush=True)
        for number in range(rounds):
            # Who is first is another one each time.
            for name in sorted(rates) if number % 2 else sorted(rates, reverse=True):
                rates[name].append(_load(cache, servers[name][1], body, seconds, in_flight))
    finally:
        for server, _ in servers.values():
            server.stop()
    return rates


def answers(port: int) -> bool:
    """Does a server come to answer at a port of this machine? Waits for it."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", b"x", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.1)
    return False


def _load(cache: Cache, port: int, body: Path, seconds: float, in_flight: int) -> float:
    headers = ("inference-header-content-length: 120",)
    target = h2load.Target(f"http://127.0.0.1:{port}/v2/models/softmax/infer", body, headers, http1=True)
    log = cache.at("front-ends", "calls.log")
    log.unlink(missing_ok=True)
    command = h2load.command(target, in_flight, seconds, _WARM_UP_S, log)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return h2load.finish(process, in_flight, seconds + _WARM_UP_S, log).report.succeeded / seconds


if __name__ == "__main__":
    sys.exit(main())
