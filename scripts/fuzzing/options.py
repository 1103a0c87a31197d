"""The options of scripts/fuzz. Imports nothing that has to be installed: --help answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

DESCRIPTION = """\
Send calls with something wrong in them to a live server, and see whether anything can hurt it.

Cases are made from calls in which nothing is wrong: of all datatypes, typed and raw, with parameters, in
sequences, in shared memory, to models with queues of every kind. A case is one of them with fields cut,
swapped, enlarged, made extreme or taken from another one, and then perhaps with its bytes spoiled: lengths
that lie, fields out of order or unknown, the end missing. A server is started for them, with thirteen small
models; building those takes some seconds.

Two parts speak to the ports in bytes instead: http2 and rest, below.

Every case must get a status. INTERNAL is TensorFlow's to say (and what Triton's clients know of shared memory
and of loading); UNKNOWN, silence and a broken connection are nobody's. A good call in between must always be
answered, and rightly. At the end the process must hold as much memory, as many threads and as many files as
when the first tenth was over, and its log must tell of no fault of its own."""

EPILOG = """\
what is sent:
  inference    COUNT cases of ModelInfer and ModelStreamInfer, half and half; every third stream asks for its
               errors as a status
  prediction   a tenth of that: TensorFlow Serving's Predict, Classify, Regress, MultiInference, metadata and
               status
  management   a fiftieth: load with configurations and files, unload, index, statistics, configuration,
               shared memory, trace and log settings
  reloading    a two-hundredth: HandleReloadConfigRequest, to a server that takes it
  http2        COUNT connections: frames of calls left out, doubled, swapped, spoiled, cut, with lengths,
               flags and streams that lie, header blocks with anything that HPACK knows; each ends with a PING
  rest         COUNT requests of TensorFlow Serving's REST and the Open Inference Protocol, each on a
               connection of its own: JSON with values, keys and text that are wrong, binary tensors, gzip,
               chunks, paths and heads of all kinds

A case is its number and the seed, nothing else: the same everywhere, and --only sends one of them again.

examples:
  scripts/fuzz                              10 000 cases of each, some minutes
  scripts/fuzz 100000 --seed 7              more, and others
  scripts/fuzz 100000 --part http2          frames alone; --part rest, REST alone
  scripts/fuzz --no-fast-lane               over grpc's own server in place of the fast lane, without http2
  scripts/fuzz --only inference:4711        what became of this one? Shows the message too
  scripts/fuzz coverage --help              the other way: what parses bytes, led by coverage"""


PARTS = ("inference", "prediction", "management", "reloading", "http2", "rest")


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        only: part and number of the one case to be sent; None: all.
        parts: of the run; see EPILOG.
    """

    count: int
    seed: int
    senders: int
    fast_lane: bool
    memory_mib: float
    only: tuple[str, int] | None
    parts: tuple[str, ...] = PARTS


def parse(argv: Sequence[str] | None = None) -> Options:
    """Read the command line; ends the program with a usage message where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("count", type=int, nargs="?", default=10_000, metavar="COUNT", help="cases (default: %(default)s)")
    add("--seed", type=int, default=1, metavar="N", help="another one: other cases (default: 1)")
    add("--senders", type=int, default=4, metavar="N", help="connections (default: %(default)s)")
    add("--no-fast-lane", action="store_true", help="serve over grpc's public API alone")
    add(
        "--memory-mib",
        type=float,
        # A message of some bytes may fill a tensor of so many, and the allocator keeps the memory of one.
        default=256.0,
        metavar="MIB",
        help="by which the server may grow behind the first tenth (default: %(default)g)",
    )
    add("--part", action="append", choices=PARTS, metavar="PART", help="this one alone; may be given again")
    add("--only", metavar="PART:NUMBER", help="send one case, as reports name it, and tell all about it")
    given = parser.parse_args(argv)
    if given.count < 1 or given.senders < 1:
        parser.error("COUNT and --senders must be 1 or more")
    only = None
    if given.only is not None:
        part, _, number = given.only.partition(":")
        if part not in PARTS or not number.isdecimal():
            parser.error(f"--only: {given.only!r} is not PART:NUMBER, with PART one of {', '.join(PARTS)}")
        only = part, int(number)
    parts = PARTS if given.part is None else tuple(given.part)
    if only is not None:
        parts = only[:1]
    if given.no_fast_lane and parts == ("http2",):
        parser.error("http2 is for the fast lane; grpc's own server has an HTTP/2 that is not ours")
    return Options(
        given.count, given.seed, given.senders, not given.no_fast_lane, given.memory_mib, only, parts
    )


if __name__ == "__main__":
    parse()
