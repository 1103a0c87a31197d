"""The flags of `hotgraph loadtest`, each declared once, with its help.

Needs none of the extra's packages, so that --help answers without them.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..access_flags import add_access_arguments, positive_seconds
from .plan import Sweep

DESCRIPTION = """\
Send calls to a model at a rate, and tell what became of them.

TARGET is any server of TensorFlow models that speaks the Open Inference Protocol (v2: hotgraph, Triton,
KServe) or TensorFlow Serving's: HOST:PORT for gRPC, http://HOST:PORT for HTTP. Inputs are made from what the
server says of the model, unless --data brings others.

Calls are due by a schedule, whether or not earlier ones are answered (an open loop), and each latency counts
from the moment at which the call was due: a server that stands still for a second is seen to have done so.
The sender says how late it was itself; a step in which that could have changed a figure is void, and says so.
Answers are compared with the first one to the same input: wrong ones are counted apart from errors.
"""

EXAMPLES = """\
examples:
  what does it do, roughly?  (finds the rates itself: a fifth to 95 % of what the server can do)
    hotgraph loadtest 127.0.0.1:8500 digits
  does it carry 500 calls a second?
    hotgraph loadtest 127.0.0.1:8500 digits --rate 500 --duration 30
  where is the knee?  eight steps, three times in turn, and a report to look at
    hotgraph loadtest 127.0.0.1:8500 digits --rate 200..3000 --steps 8 --repeat 3 --html knee.html
  the highest rate that keeps a promise; in a pipeline, exit status 1 if it is below 800
    hotgraph loadtest 127.0.0.1:8500 digits --slo 'p99<20ms,errors<0.1%' --need 800
  calls of several sizes, inputs from files
    hotgraph loadtest 127.0.0.1:8500 digits --rate 300 --rows 1:8,4:1,16:1 --data images.npy
  yesterday's calls again, twice as fast
    hotgraph loadtest 127.0.0.1:8500 digits --replay requests.tfrecord --speed 2
  another server, the same load, compared with an earlier run
    hotgraph loadtest http://127.0.0.1:8501 digits --protocol tfs --rate 500 --baseline before.json
  change the load by hand while it runs, on a page of this machine's
    hotgraph loadtest 127.0.0.1:8500 digits --live

A closed loop (--concurrency) sends the next call when the last is answered: the server sets the pace, and a
stall is one slow call in place of all that should have come meanwhile. Use it to see what a server can do at
most, not how long calls take.

exit status: 0 done; 1 it failed, or the rate that --need asks for was not reached, or answers were wrong, or
no call was answered; 2 wrong usage; 130 interrupted. Results go to stdout, progress and faults to stderr.
"""

MAX_RATE = 1e6
"""Calls a second: more than any machine sends, and a run of them would never end."""

_NUMBER = r"\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.usage = (
        "%(prog)s TARGET MODEL [--rate R | --concurrency N | --replay LOG | --slo TEXT] [OPTION ...]"
    )
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="HOST:PORT, [IPV6]:PORT, unix:PATH (gRPC), http://HOST:PORT or https://; several with commas",
    )
    parser.add_argument("model", metavar="MODEL", help="the model's name on the server")
    _add_load(parser)
    _add_inputs(parser)
    _add_goals(parser)
    _add_outputs(parser)
    add_access_arguments(parser)


def _add_load(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("load")
    kind = group.add_mutually_exclusive_group()
    kind.add_argument(
        "--rate",
        type=rates,
        metavar="R",
        help="calls a second: 500, or steps 100,200,400, or a range 100..2000 (see --steps)",
    )
    kind.add_argument(
        "--concurrency",
        type=callers,
        metavar="N",
        help="a closed loop of so many callers: 8, or steps 1,8,32",
    )
    kind.add_argument(
        "--replay", type=Path, metavar="LOG", help="a request log, its calls when they came; see --speed"
    )
    kind.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="calls when the lines of a file say, in seconds from the beginning; see --speed",
    )
    group.add_argument("--steps", type=_count(2, 1000), metavar="N", help="of a range of rates (6)")
    group.add_argument(
        "--speed", type=_positive, metavar="F", help="of a replay or a trace: 2 is twice as fast (1)"
    )
    group.add_argument(
        "--arrivals",
        choices=("poisson", "uniform"),
        default="poisson",
        help="calls by chance, as those of many callers come, or evenly (%(default)s)",
    )
    group.add_argument(
        "--duration", type=positive_seconds, metavar="S", help="seconds of a step, after its warm-up (10)"
    )
    group.add_argument(
        "--warm-up",
        type=_seconds_or_none,
        default=2.0,
        metavar="S",
        help="seconds of the load that come before and are not counted (%(default)g)",
    )
    group.add_argument(
        "--repeat",
        type=_count(1, 1000),
        default=1,
        metavar="N",
        help="go round all steps so often, and tell median and spread (%(default)s)",
    )
    group.add_argument(
        "--processes", type=_processes, default=None, metavar="auto|N", help="that send calls (auto)"
    )
    group.add_argument(
        "--connections", type=_count(1, 10_000), metavar="N", help="of all processes together (auto)"
    )
    group.add_argument(
        "--deadline-ms",
        type=_positive,
        metavar="MS",
        help="of each call, sent along; answers after it are errors (none)",
    )
    group.add_argument(
        "--seed",
        type=_count(0, 10**9),
        default=1,
        metavar="N",
        help="of all that is drawn by chance (%(default)s)",
    )


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("calls")
    group.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]PATH",
        help="inputs in place of random ones: .npy, .npz, JSON (perf_analyzer's form), a folder of images, a "
        "warm-up file or a request log (a mix of its calls); NAME= gives one input; repeatable",
    )
    group.add_argument(
        "--rows",
        default="",
        metavar="N",
        help="rows of a call: 4, or in turn 1,4,16, or as often as 1:8,4:1 says (1, or what the data has)",
    )
    group.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=SIZES",
        help="of an input with free dimensions, without its rows: image=224x224x3; repeatable",
    )
    group.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="NAME=LOW..HIGH",
        help="of random numbers, both ends included for whole ones: ids=0..29999 (0..1); repeatable",
    )
    group.add_argument("--text", default="", metavar="FILE", help="lines for inputs of text (words)")
    group.add_argument(
        "--scale",
        default="0..1",
        metavar="0..1|-1..1|0..255",
        help="what pixels of images become where an input takes floats (%(default)s)",
    )
    group.add_argument(
        "--items",
        type=_count(1, 1_000_000),
        default=16,
        metavar="N",
        help="different random inputs, so that no cache answers (%(default)s)",
    )
    group.add_argument(
        "--input-mb",
        type=_count(1, 1_000_000),
        default=256,
        metavar="N",
        help="most memory for what is sent, in each process (%(default)s)",
    )
    group.add_argument("--version", metavar="N", help="of the model; default: the server's choice")
    group.add_argument("--signature", metavar="NAME", help="a signature other than the model's default")
    group.add_argument(
        "--protocol",
        choices=("auto", "v2", "tfs"),
        default="auto",
        help="the Open Inference Protocol or TensorFlow Serving's; auto asks the server (%(default)s)",
    )
    group.add_argument(
        "--check",
        default="first",
        metavar="first|data|FILE|none",
        help="answers: against the first one to the same input, those that came with --data, those of a file "
        "(.npz or JSON), or not (%(default)s)",
    )


def _add_goals(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a promise to keep")
    group.add_argument(
        "--slo",
        metavar="TEXT",
        help="search the highest rate that keeps it, as in 'p99<20ms,errors<0.1%%': p50 to p99.999, mean and "
        "max in us, ms or s; errors, wrong, achieved and goodput in %%. --rate says where to look",
    )
    group.add_argument("--need", type=_positive, metavar="R", help="exit with 1 if that rate is not reached")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is written")
    group.add_argument("--json", metavar="FILE|-", help="all figures as JSON; - is stdout")
    group.add_argument("--html", type=Path, metavar="FILE", help="a report in one file, with charts")
    group.add_argument(
        "--baseline", type=Path, metavar="FILE.json", help="compare with what an earlier --json wrote"
    )
    group.add_argument(
        "--live",
        type=_port,
        nargs="?",
        const=0,
        metavar="PORT",
        help="open a page on 127.0.0.1 on which the load is seen and changed while it runs",
    )
    group.add_argument(
        "--metrics", metavar="URL", help="the server's Prometheus text, for its own figures beside ours"
    )


def rates(text: str) -> Sweep | tuple[float, ...]:
    """The type of --rate."""
    match = _RANGE.fullmatch(text)
    if match is not None:
        low, high = _rate(match[1]), _rate(match[2])
        if low >= high:
            raise argparse.ArgumentTypeError(f"'{text}' is no range: the lower rate comes first")
        return Sweep(low, high)
    return tuple(_rate(one) for one in text.split(","))


def callers(text: str) -> tuple[int, ...]:
    """The type of --concurrency."""
    return tuple(_count(1, 100_000)(one) for one in text.split(","))


def _rate(text: str) -> float:
    value = _positive(text)
    if value > MAX_RATE:
        raise argparse.ArgumentTypeError(
            f"'{text}' is more than the {MAX_RATE:.0f} calls a second that can be asked for"
        )
    return value


def _positive(text: str) -> float:
    if not re.fullmatch(_NUMBER, text.strip()) or not 0 < float(text) < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number, written as in 500 or 0.5")
    return float(text)


def _seconds_or_none(text: str) -> float:
    return 0.0 if text.strip() == "0" else positive_seconds(text)


class _count:
    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or not self._least <= int(text) <= self._most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {self._least} to {self._most}")
        return int(text)


def _processes(text: str) -> int | None:
    return None if text == "auto" else _count(1, 1000)(text)


def _port(text: str) -> int:
    return _count(0, 65535)(text)
