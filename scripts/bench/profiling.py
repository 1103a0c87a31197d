"""Where the microseconds of a call go, inside the server. Started by scripts/bench/profile.

Two passes under the same load, because looking costs:

1. Nothing but the kernel's own counters: calls/s, and the processor time of every thread of the server.
2. py-spy looks at the stacks of all Python threads, `_RATE` times a second, and pauses the server for
   each look.

A thread's processor time per call (first pass) is shared out over what it was seen at (second pass; a
thread that sleeps, or waits for the interpreter's lock, is not counted as being at anything). So the
figures add up to what the kernel counted, whatever the sampling cost. Nothing of the server is named or
patched here, so the profile survives every change of its code. Time that Python code spends inside
gRPC's core or TensorFlow belongs to the line that called it; threads that never run Python (TensorFlow's
pool, gRPC's timers) have a row of their own.
"""

from __future__ import annotations

import argparse
import linecache
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import environment, flame, h2load, report
from bench.contest import Contender, Contest
from bench.environment import ROOT, Cache, CannotSetUp
from bench.models import make_models, questions_of
from bench.options import MODEL_NAMES
from bench.processes import TICK_S
from bench.rivals import RIVALS
from bench.samples import OWN, Spot, parse_samples, parse_stacks, shares
from bench.workload import CALL_ROWS, MODELS

_RATE = 250
_WARM_UP_S = 1.0
_LINES_SHOWN = 25

DESCRIPTION = """\
Show where a call's processor time goes in the hotgraph server: by thread (how much of it inside the kernel),
by room of the code (transport, protocols, batching, executor, graph), by module, by function and by line,
and as a flame graph (an SVG picture: the wider a box, the more time; above it lies what it called).

Looks from outside with py-spy, which has to be allowed to (root, or kernel.yama.ptrace_scope 0); the figures
are scaled to what the kernel counted for each thread in a pass without it. Takes some half a minute."""

EPILOG = """\
examples:
  scripts/bench/profile                                  the softmax, 128 calls in flight: mere overhead
  scripts/bench/profile --model identity --in-flight 8   600 kB each way
  scripts/bench/profile --model mlp --rows 8 --native    with the C and C++ functions that Python calls"""


def main() -> int:
    """Profile as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/profile",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("--model", choices=MODEL_NAMES, default="softmax", help="(default: softmax)")
    add("--rows", type=int, choices=CALL_ROWS, default=1, help="of each call (default: 1)")
    add("--in-flight", type=int, default=128, metavar="N", help="calls (default: 128)")
    add("--seconds", type=float, default=5.0, metavar="S", help="of each pass (default: 5)")
    add(
        "--rival",
        choices=("hotgraph", "hotgraph-tfs", "hotgraph-no-lane", "hotgraph-http", "hotgraph-json"),
        default="hotgraph",
        help="Open Inference, TensorFlow Serving's Predict, grpcio's public API, or Open Inference over HTTP "
        "with tensors as bytes or in JSON (default: the first)",
    )
    add("--native", action="store_true", help="see into compiled code as well; slower, and stacks are deeper")
    add(
        "--flame",
        type=Path,
        metavar="FILE.svg",
        help="where the flame graph goes (default: results/flame-MODEL.svg in the cache)",
    )
    environment.add_cache_option(parser)
    given = parser.parse_args()
    # A plain end would leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cache = Cache(given.cache.resolve())
    model = MODELS[given.model]
    make_models(cache, [model.name])
    try:
        spy = environment.venv(cache, "py-spy", ["py-spy"]).parent / "py-spy"
    except CannotSetUp as error:
        print(f"cannot profile: {error}", file=sys.stderr)
        return 1
    folder = cache.folder / "models" / model.name
    with Contest(cache, model, folder, questions_of(folder, CALL_ROWS)) as contest:
        refused = contest.enter([(RIVALS[given.rival], RIVALS[given.rival].set_up(cache))])
        if refused:
            print(f"cannot profile: {refused[given.rival]}", file=sys.stderr)
            return 1
        (contender,) = contest.contenders
        load = _Load(cache, contest, contender, given.rows, given.in_flight, given.seconds)
        _say("the kernel counts")
        calls_per_s, threads = load.count()
        _say("py-spy looks")
        sampled_per_s, samples = load.sample(spy, native=given.native)
    print(_report(calls_per_s, sampled_per_s, threads, samples))
    path = given.flame or cache.at("results", f"flame-{model.name}.svg")
    title = f"{model.name}, {given.rows} row(s) a call, {given.in_flight} in flight: microseconds per call"
    shares_of = {tid: thread.cpu_us for tid, thread in threads.items()}
    path.write_text(flame.svg(flame.scaled(parse_stacks(samples, source_line), shares_of), title))
    _say(f"flame graph: {path}")
    return 0


def _say(text: str) -> None:
    """To the person who waits."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Thread:
    """What one thread used per call.

    Attributes:
        cpu_us: processor microseconds; `kernel_us` of them inside the kernel.
        waits: how often it gave the processor up to wait, for a lock, the interpreter or data.
    """

    name: str
    cpu_us: float
    kernel_us: float
    waits: float


class _Load:
    """The same load for both passes."""

    def __init__(
        self, cache: Cache, contest: Contest, contender: Contender, rows: int, in_flight: int, seconds: float
    ) -> None:
        self._cache = cache
        self._target = contest.target(contender, rows)
        self._pid = contender.server.pid
        self._in_flight = in_flight
        self._seconds = seconds

    def count(self) -> tuple[float, dict[int, Thread]]:
        """Calls/s, and what every thread used per call, by its id."""
        before: dict[int, _Counts] = {}
        after: dict[int, _Counts] = {}

        def look() -> None:
            before.update(_thread_counts(self._pid))
            time.sleep(self._seconds)
            after.update(_thread_counts(self._pid))

        calls, calls_per_s = self._while_loaded(look)
        threads: dict[int, Thread] = {}
        for tid, last in after.items():
            first = before.get(tid, _Counts(last.name, 0.0, 0.0, 0))
            kernel_s = last.kernel_s - first.kernel_s
            cpu_s = last.user_s - first.user_s + kernel_s
            waits = last.waits - first.waits
            threads[tid] = Thread(last.name, cpu_s / calls * 1e6, kernel_s / calls * 1e6, waits / calls)
        return calls_per_s, threads

    def sample(self, spy: Path, *, native: bool) -> tuple[float, str]:
        """Calls/s while py-spy looks, and what it saw, in its raw format."""
        output = self._cache.at("logs", "py-spy.raw")
        # A sampler that has to queue for a core gets one when the server waits, and sees it do nothing else.
        ahead = ["nice", "--adjustment=-15"] if os.geteuid() == 0 else []
        command = [*ahead, str(spy), "record", "--pid", str(self._pid), "--rate", str(_RATE), "--threads"]
        command += ["--duration", str(round(self._seconds)), "--format", "raw", "--output", str(output)]
        command += ["--native"] if native else []
        done: list[subprocess.CompletedProcess[str]] = []
        _, calls_per_s = self._while_loaded(
            lambda: done.append(subprocess.run(command, capture_output=True, text=True, check=False))
        )
        if done[0].returncode:
            raise SystemExit(f"py-spy cannot look: {(done[0].stderr.strip().splitlines() or ['?'])[-1]}")
        return calls_per_s, output.read_text()

    def _while_loaded(self, look: Callable[[], None]) -> tuple[int, float]:
        """Calls answered while `look` ran, and how many that is a second."""
        log = self._cache.at("logs", "profile.log")
        seconds = self._seconds + 2 * _WARM_UP_S
        command = h2load.command(self._target, self._in_flight, seconds, _WARM_UP_S, log)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            time.sleep(1.5 * _WARM_UP_S)
            began = time.time()
            look()
            ended = time.time()
            load = h2load.finish(process, self._in_flight, seconds, log)
        finally:
            process.kill()
            process.wait()
        # py-spy may take longer than asked for: then the load's end is the end.
        calls = load.calls_between(began, ended)
        return calls, calls / (min(ended, float(load.ended[-1])) - began)


@dataclass(frozen=True)
class _Counts:
    """A thread's counters since its start; `name` as the kernel knows it."""

    name: str
    user_s: float
    kernel_s: float
    waits: int


def _thread_counts(pid: int) -> dict[int, _Counts]:
    counts: dict[int, _Counts] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, fields = (task / "stat").read_text().partition("(")[2].rpartition(")")
        ticks = [int(value) * TICK_S for value in fields.split()[11:13]]
        status = (task / "status").read_text()
        waits = int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        counts[int(task.name)] = _Counts(name, ticks[0], ticks[1], waits)
    return counts


def _report(calls_per_s: float, sampled_per_s: float, threads: Mapping[int, Thread], samples: str) -> str:
    names, seen = parse_samples(samples, source_line)
    spots, without_python = shares({tid: thread.cpu_us for tid, thread in threads.items()}, seen)
    total = sum(thread.cpu_us for thread in threads.values())
    kernel = sum(thread.kernel_us for thread in threads.values())
    parts = [
        f"{calls_per_s:.0f} calls/s; the server used {total:.0f} us of processor time per call, "
        f"{kernel:.0f} of them in the kernel: {calls_per_s * total / 1e6:.2f} cores.\n"
        f"({sampled_per_s:.0f} calls/s while py-spy looked, {seen.total()} samples; its shares are scaled to "
        f"the times of the pass without it.)",
        _threads_table(threads, names),
        _table("room", spots, lambda spot: (spot.thread, spot.room), ["thread", "room"]),
        _table("module", spots, lambda spot: (spot.thread, spot.module), ["thread", "module"]),
        _table(
            "function",
            spots,
            lambda spot: (spot.thread, f"{spot.file.removeprefix(OWN)} {spot.function}".strip() or "-"),
            ["thread", "innermost function of ours"],
        ),
        _table("line", spots, lambda spot: (_where(spot), _source(spot)), ["innermost line of ours", ""]),
        f"Threads that were not seen in Python: {without_python:.1f} us per call.",
    ]
    return "\n\n".join(parts)


def _threads_table(threads: Mapping[int, Thread], names: Mapping[int, str]) -> str:
    """Threads of one name together: there are many of each pool."""
    sums: dict[str, list[float]] = {}
    for tid, thread in threads.items():
        of_name = sums.setdefault(names.get(tid, f"without Python: {thread.name}"), [0.0, 0.0, 0.0])
        for index, value in enumerate((thread.cpu_us, thread.kernel_us, thread.waits)):
            of_name[index] += value
    ordered = sorted(sums.items(), key=lambda item: -item[1][0])
    rows = [
        [name, f"{us:.1f}", f"{us - kernel:.1f}", f"{kernel:.1f}", f"{waits:.2f}"]
        for name, (us, kernel, waits) in ordered
        if us >= 0.05
    ]
    return report.table(["thread", "us/call", "user", "kernel", "waits/call"], rows)


def _table(
    title: str, spots: Iterable[tuple[Spot, float]], key: Callable[[Spot], tuple[str, str]], head: list[str]
) -> str:
    sums: dict[tuple[str, str], float] = {}
    for spot, us in spots:
        sums[key(spot)] = sums.get(key(spot), 0.0) + us
    ordered = sorted(sums.items(), key=lambda item: -item[1])[:_LINES_SHOWN]
    rows = [[first, second, f"{us:.1f}"] for (first, second), us in ordered if us >= 0.05]
    return f"By {title}:\n\n" + report.table([*head, "us/call"], rows)


def _where(spot: Spot) -> str:
    return f"{spot.file.removeprefix(OWN)}:{spot.line}" if spot.file else f"({spot.thread})"


def source_line(file: str, line: int) -> str:
    """A line of the server's code; empty where there is none."""
    return linecache.getline(str(ROOT / "server" / file), line).strip()


def _source(spot: Spot) -> str:
    text = source_line(spot.file, spot.line)
    return f"`{text[:70]}`" if text else ""


if __name__ == "__main__":
    sys.exit(main())
