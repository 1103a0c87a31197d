"""``hotgraph tune``: which settings serve a model best at a load, and how many replicas a load takes."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import importlib.util
import json
import math
import platform
import shlex
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

from hotgraph_protos.version import __version__
from hotgraph_server.commands.conversion import model_path
from hotgraph_server.commands.setting_flags import add_flags
from hotgraph_server.errors import StartError
from hotgraph_server.model_control.model_factory import in_folder, own_config
from hotgraph_server.repository.layout import default_name, versions_in
from hotgraph_server.settings import ConversionSettings, OpsSettings, build, fields_of, key_of
from hotgraph_server.settings.file import FileSettings, read_settings_file
from hotgraph_server.threads import processors
from hotgraph_server.tuning import document, steps, variants, written
from hotgraph_server.tuning.children import LoadTestCommand
from hotgraph_server.tuning.confirmation import Measured
from hotgraph_server.tuning.loads import json_log, replay_of, traffic_of
from hotgraph_server.tuning.prediction import Candidate, Place
from hotgraph_server.tuning.replicas import replicas
from hotgraph_server.tuning.search import Problem, search
from hotgraph_server.tuning.slo import slo_of
from hotgraph_server.tuning.traffic import rows_of
from hotgraph_server.tuning.verdict import Tuning, best_of, is_shown, to_confirm, verdict_of, voided

DESCRIPTION = """\
Find the settings that serve a model best at a given load, and how many replicas a load takes.

What runs cost is measured once, on this machine: the model is loaded as hotgraph serve would load it, with
all threads and with fewer, and with XLA where that pays, and is run with 1, 2, 4 ... rows. Then some hundred
settings go through a simulation that makes the server's own decisions on a virtual clock. The best of them,
and the settings of today, get a real load in turns (hotgraph loadtest), and what that shows decides.

What is best: what keeps --slo; of that, what needs fewer processors; of that, the lower 99th percentile.
Settings count as better only by more than the noise. Often the defaults are as good, and then nothing is
written.
"""
EXAMPLES = """\
examples:
  hotgraph tune ~/models/flowers --rate 300 --slo 'p99<20ms'
      the best settings for 300 calls a second of one row, which come at random moments
  hotgraph tune DIR --rate 300 --slo 'p99<20ms,errors<0.1%' --write flowers.toml
      keep them; then: hotgraph serve --config flowers.toml
  hotgraph tune DIR --rate 300 --slo 'p99<20ms' --replicas-for 3000
      how many replicas of which size for 3,000 calls a second? With an error bar
  hotgraph tune DIR --slo 'p99<20ms' --log requests.tfrecord --html tuning.html
      calls as a request log has them (their sizes, and their pace where it has times), and a page to look at
  hotgraph tune DIR --rate 100 --slo 'p99<50ms' --confirm 0
      predictions alone, in a quarter of the time: without the load generator, too

reading the result:
  cores     processors that are busy at this load, the graph's and the front's together
  in time   calls a second that are answered within --slo's latency
  *         on the Pareto front: no other settings have less of p99 and cores and more in time
  void      the load generator was late itself, so its figures say nothing of the server
  from, to  of replicas: the predicted p99 times what real loads had of their predictions, from the least to
            the greatest; replicas that hold do so even at the greatest

What it does not know: the network between clients and server, other models on the machine, answers that are
kept (--response-cache), calls in sequences. Measure on the machine that will serve, with nothing else on it.
"""

_TURNS = 3
# Of a comment.
_WIDTH = 100
# Imported when asked for: the client's extra need not be installed.
_REPORT = "hotgraph_client.loadtest.report"
# Of the documents of load tests.
_DOCUMENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument(
        "directory", metavar="DIR", help="a SavedModel, or a folder of versions, or a .keras file"
    )
    load = parser.add_argument_group("load").add_argument
    load("--rate", type=_positive, metavar="R", help="calls a second; with --log: its calls at that pace")
    load("--slo", required=True, metavar="'p99<20ms'", help="what is to be kept, as hotgraph loadtest has it")
    load("--rows", default="1", metavar="N", help="of a call: 4, or 1,4,16, or 1:9,16:1 (default 1)")
    load(
        "--log",
        default="",
        metavar="FILE",
        help="a request log (TFRecord), or JSON lines as scripts/simulate takes them",
    )
    load("--signature", default="", metavar="NAME", help="that is called (default: the model's default)")
    load("--replicas-for", type=_positive, metavar="R", help="how many replicas for so many calls a second?")
    effort = parser.add_argument_group("effort").add_argument
    effort(
        "--seconds",
        type=_positive,
        default=20.0,
        metavar="S",
        help="for runs that are measured, all together; loading the model comes on top (default %(default)g)",
    )
    effort("--max-rows", type=int, default=128, metavar="N", help="of a run (default %(default)s)")
    effort(
        "--confirm",
        type=int,
        default=3,
        metavar="N",
        help="so many settings, and the defaults, get a real load; 0: none does (default %(default)s)",
    )
    effort(
        "--turn-seconds",
        type=_positive,
        default=8.0,
        metavar="S",
        help=f"of load for each of them, {_TURNS} times in turn (default %(default)g)",
    )
    result = parser.add_argument_group("result").add_argument
    result("--write", type=Path, metavar="FILE", help="the settings found: FILE.toml, or a config.pbtxt")
    result("--html", type=Path, metavar="FILE", help="a report, one page that needs nothing else")
    result("--json", metavar="FILE", help="all figures; - for stdout, and the table goes to stderr")
    parser.add_argument("--name", help="what the model is called (default: DIR's name)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="its settings of today, as hotgraph serve takes them"
    )
    add_flags(parser, OpsSettings, ConversionSettings)


def run(arguments: argparse.Namespace) -> int:
    """Tune; returns the exit status.

    Raises:
        StartError: the model cannot be served, or the options make no sense.
    """
    # So that what was started ends with us, whichever way we are told to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    slo, rows = slo_of(arguments.slo), rows_of(arguments.rows)
    _check(arguments)
    started = datetime.datetime.now(datetime.timezone.utc)
    model, cores, most_rows = _model(arguments), processors.usable(), arguments.max_rows
    log = json_log(arguments.log)
    found = steps.measure(
        model,
        cores,
        most_rows=most_rows,
        call_rows=max(rows if log is None else log.rows.tolist()),
        seconds=arguments.seconds,
        log=arguments.log if log is None else "",
        say=_say,
    )
    traffic = traffic_of(arguments.rate, rows, log, found.log)
    problem = Problem(
        found.costs,
        model.settings.batch,
        traffic,
        Place(cores),
        slo,
        processes=() if found.writes else variants.process_counts(cores),
        most_rows=most_rows,
    )
    generator = LoadTestCommand(
        ["--signature", model.signature] if model.signature else [],
        replay=replay_of(arguments.log, traffic, found.log),
    )
    tuning = _confirmed(arguments, model, problem, generator, found)
    if arguments.replicas_for:
        whole = problem.under(traffic.at(arguments.replicas_for))
        found_replicas = replicas(whole, [tuning.best, *tuning.found.tried], tuning.trust)
        tuning = dataclasses.replace(
            tuning, replicas=tuple(found_replicas), replicas_for=arguments.replicas_for
        )
    about = {
        "hotgraph_loadtest": _DOCUMENT,
        "started": started.isoformat(timespec="seconds"),
        "command": f"hotgraph {shlex.join(arguments.words)}",
        "target": str(model.settings.path),
        "model": model.settings.name,
        "machine": {"cores": cores, "system": platform.platform(), "hotgraph": __version__},
        **generator.about,
    }
    _tell(arguments, model, tuning, about)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Before anything takes time. Raises StartError."""
    if arguments.rate is None and not arguments.log:
        raise StartError("--rate is needed, or a --log that has times")
    if arguments.max_rows < 1 or arguments.confirm < 0:
        raise StartError("--max-rows must be 1 or more, and --confirm 0 or more")
    if arguments.log and not Path(arguments.log).is_file():
        raise StartError(f"--log {arguments.log}: no such file")
    for file in filter(None, (arguments.write, arguments.html, arguments.json)):
        if file != "-" and not Path(file).absolute().parent.is_dir():
            raise StartError(f"{file}: there is no such folder to write it to")
    if arguments.html is not None and not _is_installed(_REPORT):
        raise StartError(
            "--html needs what draws the reports of load tests: pip install 'hotgraph[loadtest]'"
        )
    if arguments.write is not None and arguments.write.suffix not in (".toml", written.PBTXT):
        raise StartError(f"--write {arguments.write}: the name must end in .toml or {written.PBTXT}")


def _model(arguments: argparse.Namespace) -> steps.Model:
    """The model as it is set today. Raises StartError."""
    given = read_settings_file(arguments.config) if arguments.config is not None else FileSettings()
    named, directory = model_path(arguments.directory, {**given.values, **vars(arguments)})
    directory = directory.absolute()
    config = own_config(directory)
    name = arguments.name or named or (config.name if config is not None else "") or default_name(directory)
    settings = in_folder(name, directory, given.values, given.models.get(name))
    versions_in(directory, settings.folder)
    ops = build(OpsSettings, {**given.values, **vars(arguments)})
    return steps.Model(
        settings,
        variants.beside(settings, in_folder(name, directory, {})),
        {key_of(one): list(getattr(ops, one.name)) for one in fields_of(OpsSettings)},
        arguments.signature,
    )


def _confirmed(
    arguments: argparse.Namespace,
    model: steps.Model,
    problem: Problem,
    generator: LoadTestCommand,
    measurements: steps.Measurements,
) -> Tuning:
    """Search, and load the best of what was found."""
    found = search(problem, _say)
    measured: dict[Candidate, Measured] = {}
    not_confirmed, notes = "", [*measurements.notes]
    chosen = to_confirm(found, arguments.confirm)
    if not arguments.confirm:
        not_confirmed = "predicted alone, as --confirm 0 wants it"
    elif not generator.is_there():
        not_confirmed = "no load generator is installed (pip install 'hotgraph[loadtest]'): predicted alone"
    else:
        measured = steps.confirm(
            model,
            chosen,
            generator,
            problem.traffic.rate,
            problem.traffic.rows,
            seconds=arguments.turn_seconds,
            turns=_TURNS,
            say=_say,
        )
        notes += voided(measured)
    best = best_of(found, measured, problem.slo)
    return Tuning(
        model.settings.name,
        problem.traffic.rate,
        problem.slo,
        measurements.costs,
        found,
        measured,
        not_confirmed,
        best,
        verdict_of(found, measured, best, problem.slo),
        notes=tuple(notes),
    )


def _tell(arguments: argparse.Namespace, model: steps.Model, tuning: Tuning, about: dict[str, Any]) -> None:
    """Print and write what was asked for. Raises StartError: a file cannot be written."""
    labelled = [
        {**step, "label": f"{candidate.label}, turn {turn}"}
        for candidate, turns in tuning.measured.items()
        for turn, step in enumerate(turns.steps, 1)
    ]
    whole = {**about, "steps": labelled, "tune": document.tune_of(tuning)}
    to_stdout = arguments.json == "-"
    print("\n".join(document.lines(tuning)), file=sys.stderr if to_stdout else sys.stdout)
    try:
        if to_stdout:
            print(json.dumps(whole))
        elif arguments.json:
            Path(arguments.json).write_text(json.dumps(whole))
        if arguments.html is not None:
            page = importlib.import_module(_REPORT).page
            arguments.html.write_text(page(whole))
        if arguments.write is not None:
            _say(_write(arguments.write, model, tuning))
    except BrokenPipeError:
        # whoever read it has left: no fault, see cli.py
        raise
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}") from error


def _write(file: Path, model: steps.Model, tuning: Tuning) -> str:
    """Write the settings, where there are any to be written; returns what to say of it."""
    best, settings = tuning.best.candidate, model.settings
    if tuning.measured and not is_shown(tuning.found, tuning.measured):
        return f"{file} is not written: no real load has shown what is better; --confirm 0 takes predictions"
    if best.is_default:
        return f"{file} is not written: the settings of today are as good"
    comments = [f"hotgraph tune at {tuning.rate_per_s:g} calls/s, {tuning.slo.text}"]
    comments += textwrap.wrap(tuning.verdict, _WIDTH)
    values = best.values(settings.batch)
    if file.suffix == written.PBTXT:
        file.write_text(written.pbtxt(own_config(settings.path), values, comments))
        return f"{file} is written; it belongs into {settings.path}"
    file.write_text(written.toml(settings.name, settings.path, {**model.today, **values}, comments))
    return f"{file} is written: hotgraph serve --config {file}"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _say(text: str) -> None:
    print(f"hotgraph tune: {text}", file=sys.stderr, flush=True)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value
