"""How long until calls are answered, against the least that TensorFlow itself needs.

Run it with the Python in which the server is installed: ``python scripts/bench/startup.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

DESCRIPTION = """\
Start two things in turn, each in a fresh process, and compare how long they take: a bare Python that
imports TensorFlow and loads a SavedModel into a session, and `hotgraph serve` with that SavedModel, from
the start of the process to its line "serving on". The mark is a ratio of the medians of at most 1.3.
Processor time is told as well: on a machine that does other things too it is the steadier figure.
"""
MARK = 1.3

_READY = "ready"
_SERVING = "serving on "
_BARE = f"""\
import sys
import tensorflow as tf
graph = tf.Graph()
session = tf.compat.v1.Session(graph=graph)
with graph.as_default():
    tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
print("{_READY}", file=sys.stderr, flush=True)
"""
# Both are told the same: no GPU is looked for, and TensorFlow does not talk.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
_STOP_S = 30.0


@dataclass(frozen=True)
class Startup:
    """What was measured, seconds; one of each a round, in the order of the rounds."""

    bare_s: Sequence[float]
    serve_s: Sequence[float]
    bare_cpu_s: Sequence[float]
    serve_cpu_s: Sequence[float]

    @property
    def ratio(self) -> float:
        """Of the medians of time, serve / bare."""
        return statistics.median(self.serve_s) / statistics.median(self.bare_s)

    @property
    def cpu_ratio(self) -> float:
        """Of the medians of processor time, serve / bare."""
        return statistics.median(self.serve_cpu_s) / statistics.median(self.bare_cpu_s)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the command line says; returns the exit status: 1 where the mark is missed."""
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    add = parser.add_argument
    add(
        "--rounds",
        type=int,
        default=5,
        help="of one start each (default: 5); one more warms the disk's cache",
    )
    add("--saved-model", type=Path, help="a SavedModel (default: the built-in digits model)")
    add("--json", type=Path, metavar="FILE", help="write what was measured there too")
    arguments = parser.parse_args(argv)
    saved_model = arguments.saved_model or _built_in()
    measured = measure(arguments.rounds, saved_model)
    print("\n".join(report(measured)))
    if arguments.json:
        figures = {**asdict(measured), "ratio": measured.ratio, "cpu_ratio": measured.cpu_ratio, "mark": MARK}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if measured.ratio <= MARK else 1


def measure(rounds: int, saved_model: Path) -> Startup:
    """Start both in turn, `rounds` times and once before that does not count."""
    bare = [sys.executable, "-c", _BARE, str(saved_model)]
    serve = [sys.executable, "-m", "hotgraph_server", "serve", str(saved_model)]
    serve += ["--port", "0", "--rest-port", "0", "--admin-port", "0"]
    times = [(_seconds_until(_READY, bare), _seconds_until(_SERVING, serve)) for _ in range(rounds + 1)]
    (bare_s, bare_cpu_s), (serve_s, serve_cpu_s) = (
        zip(*side, strict=True) for side in zip(*times[1:], strict=True)
    )
    return Startup(bare_s, serve_s, bare_cpu_s, serve_cpu_s)


def report(measured: Startup) -> list[str]:
    """Lines for people."""
    lines = []
    for what, times_s, cpu_s in (
        ("bare TensorFlow, loaded", measured.bare_s, measured.bare_cpu_s),
        ("hotgraph serve", measured.serve_s, measured.serve_cpu_s),
    ):
        middle, low, high = statistics.median(times_s), min(times_s), max(times_s)
        cpu = statistics.median(cpu_s)
        lines.append(f"{what:24} {middle:6.2f} s ({low:.2f} to {high:.2f}), processor {cpu:.2f} s")
    verdict = "met" if measured.ratio <= MARK else "missed"
    ratios = f"{measured.ratio:6.2f}   (at most {MARK}: {verdict}), processor {measured.cpu_ratio:.2f}"
    return [*lines, f"{'ratio':24} {ratios}"]


def _seconds_until(line: str, command: Sequence[str]) -> tuple[float, float]:
    """From the start of a process until it writes a line that begins so to stderr; it is ended then.

    Returns that, and the processor time that it has used in all.

    Raises:
        SystemExit: it ended without.
    """
    cpu_before_s = _cpu_of_ended_children_s()
    began = time.perf_counter()
    said = []
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **_ENVIRONMENT},
    )
    assert process.stderr is not None
    with process.stderr:
        for one in process.stderr:
            took_s = time.perf_counter() - began
            said.append(one)
            if one.startswith(line):
                # At once: an orderly end would cost processor time that is not of the start.
                process.kill()
                process.stderr.read()
                process.wait(_STOP_S)
                return took_s, _cpu_of_ended_children_s() - cpu_before_s
    process.wait(_STOP_S)
    raise SystemExit(f"{command[:4]} ended without {line!r}:\n{''.join(said[-20:])}")


def _cpu_of_ended_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _built_in() -> Path:
    # Here, so that help needs nothing installed.
    from hotgraph_server.commands.builtin import digits_model

    return digits_model() / "1"


if __name__ == "__main__":
    sys.exit(main())
