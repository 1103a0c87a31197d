"""The benchmark: reads as the story of one. Started by scripts/bench/run."""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench import environment, h2load, overload_report, overload_results, perf_analyzer, publish, report
from bench.agenda import Entry, expected_s
from bench.contest import Contender, Contest
from bench.environment import ROOT, Cache, CannotSetUp
from bench.marks import MARKS
from bench.measuring import Latencies, measure, tails_of
from bench.memory import MEMORY_CALLS, MEMORY_IN_FLIGHT, MEMORY_RIVALS, measure_memory
from bench.models import make_models, questions_of
from bench.options import Options, parse
from bench.overload_results import Overload
from bench.places import Installed
from bench.processes import NoLine
from bench.protocols import BadAnswer
from bench.results import Results
from bench.rivals import RIVALS, Rival, title, variant_rival
from bench.workload import CALL_ROWS, MODELS, Cell, Model

_LOAD = (
    "load: h2load on the same cores, closed loop; gRPC over at most 4 connections with the calls spread "
    "over their streams, HTTP/1.1 with one connection for each call in flight; percentiles from its log"
)
_QUICK_OVERLOAD = ("--rivals", "hotgraph", "--loads", "3", "--idle-seconds", "1")
_QUICK_OVERLOAD_S = 5.5
"""Of each round: in five of them 30,000 calls come, if a machine can answer 370 calls a second."""

Entrants = Mapping[str, tuple[Rival, Installed]]


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    options = parse()
    # A plain end would leave the servers running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cache = Cache(options.cache)
    with environment.alone(cache.at("measuring")):
        return _measure(cache, options)


def _measure(cache: Cache, options: Options) -> int:
    missing = environment.missing_debian_packages()
    for package, purpose in missing.items():
        say(f"missing: sudo apt-get install {package}   ({purpose})")
    if "nghttp2-client" in missing:
        return 1
    results = Results(
        started=time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        machine=environment.machine(),
        versions=environment.own_versions(),
        revision=environment.revision(),
        load=_LOAD,
        rounds=options.rounds,
        quick=options.quick,
    )
    began = time.monotonic()
    entrants = set_up(cache, options, results)
    make_models(cache, options.models)
    options.out.mkdir(parents=True, exist_ok=True)
    clock = Progress(expected_s(options.agenda))
    latencies: dict[tuple[str, Cell], list[Latencies]] = {}
    for name in options.models:
        compete(cache, options, MODELS[name], entrants, results, latencies, clock)
        results.tails = tails_of(latencies)
        results.seconds = time.monotonic() - began
        write(cache, options.out, results)
    if options.perf_analyzer:
        second_opinion(cache, options, entrants, results)
    if options.marks:
        memory_and_startup(cache, options, results)
    overload = overload_at_three_times(cache, options, results) if options.quick else None
    results.seconds = time.monotonic() - began
    write(cache, options.out, results, overload)
    print(told(results, overload) if options.quick else report.markdown(results))
    say(f"written in {results.seconds / 60:.1f} minutes: {options.out / 'report.md'}, results.json, plots")
    if options.publish:
        publish.take(cache, options.out)
    return 1 if any(run.failure for run in results.runs) else 0


def say(text: str) -> None:
    """To the person who waits."""
    print(text, file=sys.stderr, flush=True)


def set_up(cache: Cache, options: Options, results: Results) -> Entrants:
    """Install what rivals need; those that cannot be are noted and left out."""
    entrants: dict[str, tuple[Rival, Installed]] = {}
    results.left_out.update(options.missing)
    for rival in (*(RIVALS[name] for name in options.rivals), *map(variant_rival, options.variants)):
        try:
            installed = rival.set_up(cache)
        except CannotSetUp as error:
            results.left_out[rival.name] = str(error)
            say(f"left out: {rival.title}: {error}")
            continue
        entrants[rival.name] = rival, installed
        versions = ", ".join(f"{package} {version}" for package, version in installed.versions.items())
        protocol = f"{rival.protocol.name}; " if rival.protocol else ""
        results.settings[rival.name] = protocol + rival.settings + (f" [{versions}]" if versions else "")
    return entrants


class Progress:
    """How much of the measuring is over, for the person who waits."""

    def __init__(self, expected_s: float) -> None:
        self._expected_s = expected_s
        self._over_s = 0.0

    def add(self, entry: Entry) -> str:
        """After one rival's run: the share that is over, as text."""
        self._over_s += expected_s([replace(entry, rivals=("one",), rounds=1)])
        return f"{min(self._over_s / self._expected_s, 1.0):4.0%}"


def compete(
    cache: Cache,
    options: Options,
    model: Model,
    entrants: Entrants,
    results: Results,
    latencies: dict[tuple[str, Cell], list[Latencies]],
    clock: Progress,
) -> None:
    """All rounds of one model; latencies of all calls are added to the others."""
    folder = cache.folder / "models" / model.name
    entries = [entry for entry in options.agenda if entry.cell.model == model.name]
    if not entries:
        results.notes.append(f"{model.name}: none of these sizes fits it")
        return
    named = {name for entry in entries for name in entry.rivals}
    wanted = [entrants[name] for name in entrants if name in named]
    with Contest(cache, model, folder, questions_of(folder, CALL_ROWS)) as contest:
        names = ", ".join(rival.name for rival, _ in wanted)
        say(f"{model.name}: starting {names}, and checking their answers")
        for name, reason in contest.enter(wanted).items():
            results.notes.append(f"{model.name}: {name} did not take part: {reason}")
            say(results.notes[-1])
        _note_idle(contest, results)
        for round_number in range(max(entry.rounds for entry in entries)):
            for entry in entries:
                if round_number < entry.rounds:
                    _one_round(cache, contest, entry, round_number, results, latencies, clock)
        for contender in contest.contenders:
            try:
                contest.check(contender)
            except (BadAnswer, NoLine) as error:
                results.notes.append(
                    f"{model.name}: {contender.rival.name} answers wrong afterwards: {error}"
                )
                say(results.notes[-1])


def _one_round(
    cache: Cache,
    contest: Contest,
    entry: Entry,
    round_number: int,
    results: Results,
    latencies: dict[tuple[str, Cell], list[Latencies]],
    clock: Progress,
) -> None:
    present = [contender for contender in contest.contenders if contender.rival.name in entry.rivals]
    # Everybody is sometimes the first, so nobody gains from what the predecessor left behind.
    turn = round_number % max(len(present), 1)
    for contender in [*present[turn:], *present[:turn]]:
        if not contender.rival.takes(contest.model, entry.cell):
            continue
        if contender.server.ended:
            _revive(contest, contender, results)
        run, of_calls = measure(cache, contest, contender, entry, round_number)
        results.runs.append(run)
        latencies.setdefault((run.rival, run.cell), []).append(of_calls)
        outcome = run.failure or f"{run.calls_per_s:9.1f} calls/s   p50 {run.p50_ms:8.2f} ms"
        say(f"{clock.add(entry)}  round {round_number + 1}  {entry.cell}  {run.rival:22} {outcome}")


def _revive(contest: Contest, contender: Contender, results: Results) -> None:
    name = f"{contest.model.name}: {contender.rival.name}"
    try:
        text = f"{name} had ended and was started again; its last words: {contest.revive(contender)}"
    except (BadAnswer, NoLine) as error:
        text = f"{name} has ended and does not start again: {error}"
    results.notes.append(text)
    say(text)


def _note_idle(contest: Contest, results: Results) -> None:
    idle = {contender.rival.name: round(contender.idle_cores, 3) for contender in contest.contenders}
    results.idle_cores[contest.model.name] = idle
    frozen = [contender.rival.name for contender in contest.contenders if contender.frozen]
    if frozen:
        shares = ", ".join(f"{name} ({idle[name]:.0%} of a core)" for name in frozen)
        results.notes.append(
            f"{contest.model.name}: busy while nobody calls, so held still when not their turn: {shares}"
        )


def second_opinion(cache: Cache, options: Options, entrants: Entrants, results: Results) -> None:
    """perf_analyzer on the tiny model, the servers taking turns."""
    model = MODELS["softmax"]
    make_models(cache, [model.name])
    folder = cache.folder / "models" / model.name
    try:
        tool = perf_analyzer.set_up(cache)
    except CannotSetUp as error:
        results.notes.append(f"perf_analyzer: {error}")
        return
    present = [entrants[name] for name in entrants if name in perf_analyzer.KINDS_OF]
    if not present:
        return
    rounds = 1 if options.quick else min(options.rounds, perf_analyzer.MAX_ROUNDS)
    sizes = perf_analyzer.IN_FLIGHT if options.marks or options.quick else options.in_flight
    sizes = tuple(calls for calls in sizes if calls <= perf_analyzer.MAX_IN_FLIGHT)
    with Contest(cache, model, folder, questions_of(folder, CALL_ROWS)) as contest:
        for name, reason in contest.enter(present).items():
            results.notes.append(f"perf_analyzer: {name} did not take part: {reason}")
        turns = [
            (contender, kind)
            for contender in contest.contenders
            for kind in perf_analyzer.KINDS_OF[contender.rival.name]
        ]
        for round_number, calls, (contender, kind) in itertools.product(range(rounds), sizes, turns):
            with contender.awake():
                found = perf_analyzer.run(tool, cache, kind, model.name, contender.address, calls)
            rate = found["failure"] or f"{found['calls_per_s']:.1f} calls/s"
            name = contender.rival.name
            say(f"perf_analyzer, round {round_number + 1}: {name}, {kind}: {calls} in flight: {rate}")
            results.perf_analyzer.append({"rival": name, "round": round_number, **found})


def memory_and_startup(cache: Cache, options: Options, results: Results) -> None:
    """The two marks that are no contest."""
    for name in MEMORY_RIVALS:
        if name in options.rivals:
            try:
                found = measure_memory(cache, name, MODELS["softmax"], MEMORY_CALLS, MEMORY_IN_FLIGHT)
                results.memory.append(found)
            except h2load.LoadFailed as error:
                results.notes.append(f"memory of {name}: {error}")
                say(results.notes[-1])
    if "hotgraph" in options.rivals:
        say(f"start-up: {options.rounds + 1} starts of each")
        figures = cache.at("logs", "startup.json")
        figures.unlink(missing_ok=True)
        script = ROOT / "scripts" / "bench" / "startup.py"
        command = [sys.executable, str(script), "--rounds", str(options.rounds), "--json", str(figures)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if figures.exists():
            results.startup = json.loads(figures.read_text())
        else:
            reason = (done.stderr.strip().splitlines() or ["?"])[-1]
            results.notes.append(f"start-up: {reason}")
            say(results.notes[-1])


def overload_at_three_times(cache: Cache, options: Options, results: Results) -> Overload | None:
    """What scripts/bench/overload finds, in a process of its own, which keeps to one core; None: nothing."""
    found = options.out / "overload.json"
    # What another run left there is not of this one.
    found.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bench.overload", *_QUICK_OVERLOAD, "--rounds", str(options.rounds)]
    command += ["--seconds", str(options.seconds or _QUICK_OVERLOAD_S)]
    command += ["--cache", str(cache.folder), "--out", str(options.out)]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if status or not found.exists():
        results.notes.append(f"overload: nothing was measured (status {status})")
        return None
    return overload_results.read(found)


def told(results: Results, overload: Overload | None) -> str:
    """The marks, those that were missed among them, and what was not measured."""
    judged = _judged(results, overload)
    lines = [report.marks_table(judged), "", report.beside_itself(results), ""]
    lines += [f"skipped: {title(name)}: {reason}" for name, reason in results.left_out.items()]
    lines += [f"note: {note}" for note in results.notes]
    measured = {each.measure for each in judged}
    unmeasured = [mark.title for mark in MARKS if mark.title not in measured]
    lines += [f"not measured: {'; '.join(unmeasured)}"] if unmeasured else []
    missed = [each.measure for each in judged if not each.met]
    return "\n".join([*lines, "", f"{len(judged) - len(missed)} reached, {len(missed)} missed"])


def _judged(results: Results, overload: Overload | None) -> list[report.Judged]:
    return report.judged(results) + (overload_report.judged(overload) if overload else [])


def write(cache: Cache, folder: Path, results: Results, overload: Overload | None = None) -> None:
    """results.json, marks.json, report.md and the pictures."""
    results.write(folder / "results.json")
    marks = [dataclasses.asdict(each) for each in _judged(results, overload)]
    (folder / "marks.json").write_text(json.dumps(marks, indent=1) + "\n")
    (folder / "report.md").write_text(report.markdown(results))
    environment.draw(cache, "bench.plot", folder / "results.json", folder)


if __name__ == "__main__":
    sys.exit(main())
