"""The options of scripts/bench/run. Imports nothing that has to be installed: --help answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import agenda, environment, variants
from bench.agenda import Entry
from bench.variants import NoSources, Variant

RIVAL_NAMES = (
    "hotgraph",
    "hotgraph-tfs",
    "hotgraph-no-lane",
    "hotgraph-as-saved",
    "hotgraph-http",
    "hotgraph-json",
    "triton",
    "triton-http",
    "triton-json",
    "grpc-aio",
    "grpc-threads",
    "mosec",
    "litserve",
    "bentoml",
    "echo",
    "bare",
    "bare-frozen",
)
MODEL_NAMES = ("softmax", "mlp", "mobilenet", "identity")

DESCRIPTION = """\
Measure hotgraph and its rivals: the same models, the same calls, the same run of this command, taking turns.

For each model every rival's server is started and its answers are checked, alone and under load. Then, for
each size of calls and number of calls in flight, the rivals are measured one right after the other, and all
of it again for every round. A machine's speed wanders; the ratio of two neighbours does so less. What is
reported are medians over rounds, and ratios taken within a round, with the least and the greatest.

The load comes from h2load, a C program, on the same cores as the servers. Everything that rivals need is
installed into virtual environments of their own in the cache folder (some 6 GB, once; needs the network).
A rival that cannot be set up is left out and the report says why.

hotgraph can be a rival of itself: with other flags, in several processes, or as another commit has it."""

EPILOG = """\
rivals:
  hotgraph           as `hotgraph serve` starts, called with the Open Inference Protocol
  hotgraph-tfs       the same, called with TensorFlow Serving's Predict
  hotgraph-no-lane   the same with --no-fast-lane: grpcio's public API and nothing else
  hotgraph-as-saved  the same with --plan as-saved: the graph is run as it lies on disk
  hotgraph-http, hotgraph-json  as it starts, called with the Open Inference Protocol over HTTP/1.1: tensors
                     as bytes behind the JSON (the binary extension), or in it
  triton             NVIDIA Triton 2.51, its Python backend running the same SavedModel
  triton-http, triton-json  the same, called likewise
  grpc-aio, grpc-threads    the obvious handler on grpc.aio and on grpc.server
  mosec, litserve, bentoml  over HTTP/1.1, as they come, batching on
  echo               limit: C++ gRPC that answers bytes of the same size and computes nothing
  bare, bare-frozen  limit: a loop over the graph that serves nobody
variants, which take part when they are asked for, called with the Open Inference Protocol:
  hotgraph --FLAGS   as `hotgraph serve` starts with these flags (--with, --processes)
  hotgraph@COMMIT    as another commit has it, run by the same Python (--against)

examples:
  scripts/bench/run --quick                          the marks that a change of the server moves (12 minutes)
  scripts/bench/run --quick --publish                and the README's words from them
  scripts/bench/run --short                          a check that all works, no measurement (5 minutes
                                                     once everything is installed)
  scripts/bench/run --marks                          what the README tells (some 30 minutes): leave the
                                                     machine alone
  scripts/bench/run                                  everything (2.5 hours)
  scripts/bench/run --rivals hotgraph,triton,echo --models softmax --in-flight 1,128 --rounds 5
  scripts/bench/run --rivals hotgraph --against HEAD~3 --with '--lead never' --models softmax --rows 1
  scripts/bench/overload                             more calls than a server can answer
  scripts/bench/profile                              where the microseconds of a call go
  scripts/bench/memory                               does the server's memory grow?
  scripts/bench/micro                                the small figures that comments in the code cite
  scripts/bench/report --readme                      write the README's words from what was measured

The results folder gets report.md, results.json (each run's figures, settings, versions, the machine's facts),
marks.json and plot-MODEL.svg. Debian packages that are needed: nghttp2-client; for the echo g++ pkg-config
libgrpc++-dev."""

_SHORT_SECONDS = 1.0
_SHORT_MODELS = ("softmax", "mobilenet")
_QUICK_MODELS = ("softmax", "mlp", "identity")
_QUICK_RIVALS = (
    "hotgraph",
    "hotgraph-http",
    "hotgraph-json",
    "triton",
    "triton-http",
    "triton-json",
    "echo",
)


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        variants: of hotgraph, which take part as well.
        missing: variants that were wanted and cannot be, with the reason, by name.
        in_flight, rows: sizes of the table; of no account with `marks` and `quick`.
        seconds: of each measured run; None: each model's own.
        perf_analyzer: have it look, too.
        marks: exactly what the marks need, and memory and start-up with it.
        quick: what a change of the server moves, and overload with it.
        publish: write the README's words from it.
        out: folder for the results.
        cache: folder for what is installed and built.
    """

    rivals: tuple[str, ...]
    variants: tuple[Variant, ...]
    missing: Mapping[str, str]
    models: tuple[str, ...]
    in_flight: tuple[int, ...]
    rows: tuple[int, ...]
    rounds: int
    seconds: float | None
    perf_analyzer: bool
    short: bool
    marks: bool
    quick: bool
    publish: bool
    out: Path
    cache: Path

    @property
    def agenda(self) -> list[Entry]:
        """Who is measured where."""
        names = (*self.rivals, *(variant.name for variant in self.variants))
        if self.marks or self.quick:
            choose = agenda.marks if self.marks else agenda.quick
            return choose(names, self.models, self.rounds, self.seconds)
        return agenda.everything(self.models, self.in_flight, self.rows, names, self.rounds, self.seconds)


def parse(argv: Sequence[str] | None = None) -> Options:
    """Read the command line; ends the program with a usage message where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = parser.add_argument
    add(
        "--rivals",
        metavar="A,B",
        help="who takes part (default: all; with --quick those that its marks name)",
    )
    add(
        "--with",
        dest="flags",
        metavar="'--FLAG VALUE'",
        action="append",
        default=[],
        help="hotgraph with these flags of `hotgraph serve` as one more; may be given several times (a flag "
        "that has no value: --with=--FLAG)",
    )
    add("--processes", metavar="N", help="the same as --with '--processes N'")
    add(
        "--against",
        metavar="COMMIT|DIR",
        action="append",
        default=[],
        help="hotgraph as a commit of this repository or another checkout has it as one more; likewise",
    )
    add(
        "--models",
        metavar="A,B",
        help=f"of {', '.join(MODEL_NAMES)} (default: all; with --short softmax,mobilenet, with --quick "
        f"{','.join(_QUICK_MODELS)})",
    )
    add("--in-flight", metavar="N,M", help="calls in flight (default: 1,8,32,128,512; with --short 1,32)")
    add("--rows", metavar="N,M", help="rows of each call: 1, 8 or both (default: both; with --short 1)")
    add(
        "--rounds", type=int, metavar="N", help="how often everybody is measured (default: 5; with --short 1)"
    )
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="of each measured run (default: as the model needs, 2 to 10)",
    )
    add(
        "--marks",
        action="store_true",
        help="measure what the table of marks needs and no more, each as long as it needs, five rounds; with "
        "it perf_analyzer, memory over 200,000 calls and the time to start",
    )
    add(
        "--quick",
        action="store_true",
        help="measure the marks that a change of the server moves, in twelve minutes on two quiet cores, "
        "five rounds: against Triton (over HTTP too), the C++ echo, "
        f"commit {variants.BEFORE}, '--lead never' and '--processes 2' "
        "where the server knows them; with it overload at three times the capacity and perf_analyzer once",
    )
    add(
        "--publish",
        action="store_true",
        help="write the README's words from it, as scripts/bench/report --take does",
    )
    add("--short", action="store_true", help="small defaults for all of these: does everything work?")
    add("--perf-analyzer", action="store_true", help="a second opinion from NVIDIA's perf_analyzer 2.51")
    add("--out", type=Path, metavar="DIR", help="folder for the results (default: results/ in the cache)")
    environment.add_cache_option(parser)
    given = parser.parse_args(argv)
    short, quick = given.short, given.quick

    def names(text: str, known: Sequence[str], flag: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        for name in chosen:
            if name not in known:
                parser.error(f"{flag}: there is no {name!r}; there are {', '.join(known)}")
        return chosen

    def numbers(text: str, flag: str) -> tuple[int, ...]:
        try:
            values = tuple(sorted({int(number) for number in text.split(",")}))
        except ValueError:
            parser.error(f"{flag}: {text!r} are no numbers with commas between them")
        if values[0] < 1:
            parser.error(f"{flag}: must be 1 or more")
        return values

    rounds = given.rounds if given.rounds is not None else 1 if short else 5
    seconds = given.seconds if given.seconds is not None else _SHORT_SECONDS if short else None
    rows = numbers(given.rows or ("1" if short else "1,8"), "--rows")
    in_flight = numbers(given.in_flight or ("1,32" if short else "1,8,32,128,512"), "--in-flight")
    if given.marks and quick:
        parser.error("--marks and --quick: which of the two?")
    if (given.marks or quick) and (given.in_flight or given.rows):
        parser.error("--marks and --quick have their own --in-flight and --rows")
    if given.publish and not (given.marks or quick):
        parser.error("--publish: with --marks or --quick")
    asked, missing = variants.wanted_by_marks() if given.marks or quick else ([], {})
    processes = [f"--processes {given.processes}"] if given.processes else []
    try:
        asked += [variants.with_flags(text) for text in (*given.flags, *processes)]
        asked += [variants.against(text) for text in given.against]
    except (NoSources, ValueError) as error:
        parser.error(str(error))
    if rounds < 1:
        parser.error("--rounds must be 1 or more")
    if seconds is not None and seconds < 0.5:
        parser.error("--seconds must be 0.5 or more")
    if not set(rows) <= {1, 8}:
        parser.error("--rows: calls have 1 row or 8")
    if any(calls > 4 and calls % 4 for calls in in_flight):
        parser.error("--in-flight: above 4 it must be a multiple of 4, for 4 connections")
    cache = given.cache.resolve()
    all_rivals = _QUICK_RIVALS if quick else RIVAL_NAMES
    all_models = _QUICK_MODELS if quick else _SHORT_MODELS if short else MODEL_NAMES
    return Options(
        rivals=names(given.rivals or ",".join(all_rivals), RIVAL_NAMES, "--rivals"),
        variants=tuple({variant.name: variant for variant in asked}.values()),
        missing=missing,
        models=names(given.models or ",".join(all_models), MODEL_NAMES, "--models"),
        in_flight=in_flight,
        rows=rows,
        rounds=rounds,
        seconds=seconds,
        perf_analyzer=given.perf_analyzer or given.marks or quick,
        short=short,
        marks=given.marks,
        quick=quick,
        publish=given.publish,
        out=(given.out or cache / "results").resolve(),
        cache=cache,
    )


if __name__ == "__main__":
    parse()
