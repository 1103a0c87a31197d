"""What many models in one server cost. Started by scripts/bench/many."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import environment
from bench.processes import Launch, Server

IDLE_MARK = 0.02
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
_START_S = 1200.0
# Imports and warm-up leave work behind that is over after some seconds.
_SETTLE_S = 5.0

DESCRIPTION = f"""\
Serve many copies of a small model (the built-in digits, or another), each in a folder of its own that is
looked at every second, and tell what they cost: seconds until all are ready, loaded one at a time and as many
at a time as is usual; and then, with nobody calling, the processor time of a second, and the threads and the
resident memory of each model, against a server with one model.

Mark: with nobody calling, at most {IDLE_MARK:.0%} of a processor."""


@dataclass(frozen=True)
class Served:
    """A server with so many models, all ready, and nobody calling.

    Attributes:
        models: in it.
        load_threads: models loaded at a time; 0: as many as is usual.
        ready_s: from the start of the process until calls are answered.
        idle_cpu: processors in use.
        threads: of the process.
        resident_bytes: of the process.
    """

    models: int
    load_threads: int
    ready_s: float
    idle_cpu: float
    threads: int
    resident_bytes: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status: 1 where the mark is missed."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/many",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", type=int, default=200, metavar="N", help="in one server (default: 200)")
    add("--seconds", type=float, default=20.0, metavar="S", help="of idling that is measured (default: 20)")
    add("--saved-model", type=Path, help="a SavedModel (default: the built-in digits)")
    add("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = parser.parse_args(argv)
    if given.models < 2:
        parser.error("--models must be at least 2: one is what they are compared with")
    # A plain end would leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="hotgraph-many-") as folder:
        measured = [
            measure(Path(folder), given.saved_model or _built_in(), models, load_threads, given.seconds)
            for models, load_threads in ((1, 0), (given.models, 1), (given.models, 0))
        ]
    print("\n".join(report(measured)))
    if given.json:
        figures = {
            "started": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
            "machine": environment.machine(),
            "revision": environment.revision(),
            "served": [asdict(one) for one in measured],
        }
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if measured[-1].idle_cpu <= IDLE_MARK else 1


def measure(folder: Path, saved_model: Path, models: int, load_threads: int, seconds: float) -> Served:
    """Serve, and watch; in `folder`, which may have been used before."""
    repository, log = folder / f"models-{models}", folder / "server.log"
    for number in range(models):
        version = repository / f"m{number}" / "1"
        if not version.exists():
            shutil.copytree(saved_model, version)
    settings = folder / "server.toml"
    tables = "".join(f'[models.m{number}]\npath = "{repository}/m{number}"\n' for number in range(models))
    settings.write_text(f"load_threads = {load_threads}\npoll_s = 1.0\n{tables}")
    command = [sys.executable, "-m", "hotgraph_server", "serve", "--config", str(settings)]
    command += ["--port", "0", "--admin-port", "0", "--rest-port", "0"]
    began = time.monotonic()
    server = Server(Launch(command, _ENVIRONMENT), log)
    try:
        server.wait_for_line("serving on ", _START_S)
        ready_s = time.monotonic() - began
        time.sleep(_SETTLE_S)
        before_s, before = server.cpu_s(), time.monotonic()
        time.sleep(seconds)
        idle_cpu = (server.cpu_s() - before_s) / (time.monotonic() - before)
        threads = len(list(Path(f"/proc/{server.pid}/task").iterdir()))
        resident = server.resident_bytes()
    finally:
        server.stop()
    return Served(models, load_threads, ready_s, idle_cpu, threads, resident)


def report(measured: Sequence[Served]) -> list[str]:
    """Lines for people; the first of `measured` has one model, and is what the others are compared with."""
    one, *others = measured
    lines = [_line(one)]
    for many in others:
        more = many.models - one.models
        each_bytes = (many.resident_bytes - one.resident_bytes) / more
        lines += [
            _line(many),
            f"    each: {(many.ready_s - one.ready_s) / more * 1e3:.0f} ms of the start,"
            f" {(many.threads - one.threads) / more:.2f} threads, {each_bytes / 2**20:.2f} MiB",
        ]
    verdict = "met" if measured[-1].idle_cpu <= IDLE_MARK else "missed"
    return [*lines, f"idle: {measured[-1].idle_cpu:.2%} of a processor (at most {IDLE_MARK:.0%}: {verdict})"]


def _line(served: Served) -> str:
    at_a_time = served.load_threads or "as many as usual"
    return (
        f"{served.models} models, loaded {at_a_time} at a time: ready after {served.ready_s:.1f} s, idle"
        f" {served.idle_cpu:.2%} of a processor, {served.threads} threads,"
        f" {served.resident_bytes / 2**20:.0f} MiB"
    )


def _built_in() -> Path:
    from hotgraph_server.commands.builtin import digits_model

    return digits_model() / "1"


if __name__ == "__main__":
    sys.exit(main())
