"""The benchmark: reads as the story of one. Started by scripts/bench/run."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bench import environment, perf_analyzer, report
from bench.contest import Contest
from bench.environment import ROOT, Cache, CannotSetUp
from bench.measuring import measure
from bench.models import make_models, questions_of
from bench.options import Options, parse
from bench.places import Installed
from bench.processes import NoLine
from bench.protocols import BadAnswer
from bench.results import Results
from bench.rivals import RIVALS
from bench.workload import CALL_ROWS, MODELS, Cell, Model, cells

_LOAD = (
    "load: h2load on the same cores, closed loop; gRPC over at most 4 connections with the calls spread "
    "over their streams, HTTP/1.1 with one connection for each call in flight; percentiles from its log"
)


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    options = parse()
    # A plain end would leave the servers running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cache = Cache(options.cache)
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
    )
    began = time.monotonic()
    installed = set_up(cache, options, results)
    make_models(cache, options.models)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.models:
        compete(cache, options, MODELS[name], installed, results)
        results.seconds = time.monotonic() - began
        write(cache, options.out, results)
    if options.perf_analyzer:
        second_opinion(cache, options, installed, results)
        write(cache, options.out, results)
    print(report.markdown(results))
    say(f"written in {results.seconds / 60:.1f} minutes: {options.out / 'report.md'}, results.json, plots")
    return 1 if any(run.failure for run in results.runs) else 0


def say(text: str) -> None:
    """To the person who waits."""
    print(text, file=sys.stderr, flush=True)


def set_up(cache: Cache, options: Options, results: Results) -> dict[str, Installed]:
    """Install what rivals need; those that cannot be are noted and left out."""
    installed: dict[str, Installed] = {}
    for name in options.rivals:
        rival = RIVALS[name]
        try:
            installed[name] = rival.set_up(cache)
        except CannotSetUp as error:
            results.left_out[name] = str(error)
            say(f"left out: {rival.title}: {error}")
            continue
        versions = ", ".join(f"{package} {version}" for package, version in installed[name].versions.items())
        protocol = f"{rival.protocol.name}; " if rival.protocol else ""
        results.settings[name] = protocol + rival.settings + (f" [{versions}]" if versions else "")
    return installed


def compete(
    cache: Cache, options: Options, model: Model, installed: Mapping[str, Installed], results: Results
) -> None:
    """All rounds of one model."""
    folder = cache.folder / "models" / model.name
    places = list(cells(model, options.in_flight, options.rows))
    if not places:
        results.notes.append(f"{model.name}: none of these sizes fits it")
        return
    with Contest(cache, model, folder, questions_of(folder, CALL_ROWS)) as contest:
        say(f"{model.name}: starting {', '.join(installed)}, and checking their answers")
        for name, reason in contest.enter(installed).items():
            results.notes.append(f"{model.name}: {name} did not take part: {reason}")
            say(results.notes[-1])
        _note_idle(contest, results)
        for round_number in range(options.rounds):
            for cell in places:
                _one_round(cache, options, contest, cell, round_number, results)
        for contender in contest.contenders:
            try:
                contest.check(contender)
            except (BadAnswer, NoLine) as error:
                results.notes.append(
                    f"{model.name}: {contender.rival.name} answers wrong afterwards: {error}"
                )
                say(results.notes[-1])


def _one_round(
    cache: Cache, options: Options, contest: Contest, cell: Cell, round_number: int, results: Results
) -> None:
    # Everybody is sometimes the first, so nobody gains from what the predecessor left behind.
    turn = round_number % max(len(contest.contenders), 1)
    for contender in [*contest.contenders[turn:], *contest.contenders[:turn]]:
        if not contender.rival.takes(contest.model, cell):
            continue
        seconds = options.seconds or contest.model.seconds
        run = measure(cache, contest, contender, cell, round_number, seconds=seconds)
        results.runs.append(run)
        outcome = run.failure or f"{run.calls_per_s:9.1f} calls/s   p50 {run.p50_ms:8.2f} ms"
        say(f"round {round_number + 1}  {cell}  {run.rival:17} {outcome}")


def _note_idle(contest: Contest, results: Results) -> None:
    idle = {contender.rival.name: round(contender.idle_cores, 3) for contender in contest.contenders}
    results.idle_cores[contest.model.name] = idle
    frozen = [contender.rival.name for contender in contest.contenders if contender.frozen]
    if frozen:
        shares = ", ".join(f"{name} ({idle[name]:.0%} of a core)" for name in frozen)
        results.notes.append(
            f"{contest.model.name}: busy while nobody calls, so held still when not their turn: {shares}"
        )


def second_opinion(
    cache: Cache, options: Options, installed: Mapping[str, Installed], results: Results
) -> None:
    """perf_analyzer on the tiny model, each server alone."""
    model = MODELS["softmax"]
    make_models(cache, [model.name])
    folder = cache.folder / "models" / model.name
    try:
        tool = perf_analyzer.set_up(cache)
    except CannotSetUp as error:
        results.notes.append(f"perf_analyzer: {error}")
        return
    in_flight = [calls for calls in options.in_flight if calls <= perf_analyzer.MOST_IN_FLIGHT]
    for name, kinds in perf_analyzer.KINDS.items():
        if name in installed:
            with Contest(cache, model, folder, questions_of(folder, CALL_ROWS)) as contest:
                contest.enter({name: installed[name]})
                for contender, kind, calls in itertools.product(contest.contenders, kinds, in_flight):
                    say(f"perf_analyzer: {name}, {kind}, {calls} in flight")
                    found = perf_analyzer.run(tool, cache, kind, model.name, contender.address, calls)
                    results.perf_analyzer.append({"rival": name, **found})


def write(cache: Cache, folder: Path, results: Results) -> None:
    """results.json, report.md and the pictures."""
    results.write(folder / "results.json")
    (folder / "report.md").write_text(report.markdown(results))
    try:
        python = environment.venv(cache, "plot", ["matplotlib"])
    except CannotSetUp as error:
        say(f"no pictures: {error}")
        return
    env = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "MPLCONFIGDIR": str(cache.at("matplotlib"))}
    command = [str(python), "-m", "bench.plot", str(folder / "results.json"), str(folder)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"no pictures: {(done.stderr.strip().splitlines() or ['?'])[-1]}")


if __name__ == "__main__":
    sys.exit(main())
