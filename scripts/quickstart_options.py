"""The options of scripts/quickstart. Imports nothing that has to be installed: --help answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

HELDOUT_IMAGES = 500

DESCRIPTION = """\
Start a hotgraph server with its built-in model (handwritten digits, 784 -> 10 softmax) on a free port, send
it 500 images that the model has never seen from many callers at once, check every answer, and print accuracy,
calls/s, rows per batch and latencies, beside the same work done with a new graph and session for each call.

The first start makes .venv in the repository and installs hotgraph[server] into it, which takes minutes;
the next ones take seconds."""

EXAMPLES = """\
examples:
  scripts/quickstart                      the whole show
  scripts/quickstart --keep               ... and leave the server up, with three lines to paste
  scripts/quickstart --callers 1          one call at a time: nothing to batch, latency only
  PYTHON=python3.12 scripts/quickstart    with a Python of your choice (3.10 to 3.13)
"""


@dataclass(frozen=True)
class Options:
    """What was asked for; `alone_calls` is the number of calls with a graph and a session of their own."""

    calls: int
    callers: int
    alone_calls: int
    keep: bool


def parse(argv: Sequence[str] | None = None) -> Options:
    """Read the command line; ends the program with a usage message where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="scripts/quickstart",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    add = parser.add_argument
    add("--keep", action="store_true", help="leave the server up, and say how to call and stop it")
    add("--short", action="store_true", help="a tenth of the calls: a check that all works, no measurement")
    add("--calls", type=int, metavar="N", help="calls to send (default: 8000, with --short 800)")
    add("--callers", type=int, default=32, metavar="N", help="callers at a time (default: %(default)s)")
    given = parser.parse_args(argv)
    calls = given.calls if given.calls is not None else 800 if given.short else 8000
    if calls < HELDOUT_IMAGES:
        parser.error(f"--calls must be {HELDOUT_IMAGES} or more: every held-out image is sent at least once")
    if not 1 <= given.callers <= 1000:
        parser.error("--callers must be 1 to 1000")
    return Options(calls, given.callers, alone_calls=20 if given.short else 100, keep=given.keep)


if __name__ == "__main__":
    parse()
