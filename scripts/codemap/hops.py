"""Counts the functions that one call passes. Started by scripts/hops."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codemap.way import Step, table

DESCRIPTION = """\
Start the server in this process with its built-in model, send it unary ModelInfer calls of one row, one at a
time (--http: requests of /v2, with binary tensors), and show which functions of hotgraph_server one of them
passes, on which threads.

Counted are functions of hotgraph_server that are entered, from the socket to the socket and until the server
is at rest again. Not counted: comprehensions (they belong to their function), a generator's later
resumptions, what dataclass generates, and everything of other packages (hpack, numpy, TensorFlow, the
standard library).
A hand-over is a step that another thread made than the one before. All of it is for a server that has
nothing else to do: under load calls share most of these steps."""

_WARM_CALLS = 20
_AT_REST_S = 0.05
"""After an answer, for what follows it on the server's threads; a guess, held against twice as long a time in
which nothing is called."""


def main(argv: Sequence[str] | None = None) -> int:
    """Count as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/hops", formatter_class=argparse.RawDescriptionHelpFormatter, description=DESCRIPTION
    )
    add = parser.add_argument
    add("--calls", type=int, default=20, metavar="N", help="calls to look at (default: %(default)s)")
    add("--lead", default="auto", choices=("auto", "never"), help="of hotgraph serve (default: auto)")
    add("--http", action="store_true", help="over HTTP in place of gRPC")
    add("--list", action="store_true", help="show every function, in the order in which they are entered")
    given = parser.parse_args(argv)
    if given.calls < 1:
        parser.error(f"--calls must be 1 or more, got {given.calls}")

    ways, unasked = _ways(given.calls, given.lead, http=given.http)
    if unasked:
        print(f"scripts/hops: {unasked} functions were entered while nothing was called", file=sys.stderr)
    what = "Infer over HTTP, binary" if given.http else "ModelInfer over gRPC"
    print(f"{what}, one row, after {_WARM_CALLS} calls like it\n")
    print("\n".join(table(ways, list_steps=given.list)))
    return 0


def _ways(calls: int, lead: str, *, http: bool) -> tuple[list[list[Step]], int]:
    """What each of so many calls was seen to enter, and how many functions were entered without any call."""
    import numpy as np

    import hotgraph_server
    from codemap.recorder import Recorder
    from hotgraph_client import Client
    from hotgraph_server.commands.builtin import DIGITS, digits_model
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
    )

    recorder = Recorder(Path(hotgraph_server.__file__).parent)
    recorder.install()
    models = (ModelSettings(DIGITS, digits_model()),)
    listen = ListenSettings(port=0, lead=lead)
    rest = RestSettings(_free_port() if http else 0)
    server = Server(ServerSettings(models, listen, AdminSettings(0), rest))
    server.start()
    address = f"http://{server.rest_address}" if http else server.address
    # Its probes of the network are PING frames now and then, which are no part of a call.
    options: list[tuple[str, Any]] = [] if http else [("grpc.http2.bdp_probe", 0)]
    try:
        with Client(address, channel_options=options) as client:
            inputs = {"images": np.zeros((1, 784), np.float32)}
            for _ in range(_WARM_CALLS):
                client.predict(DIGITS, inputs)
            time.sleep(_AT_REST_S)
            recorder.recording = True
            time.sleep(2 * _AT_REST_S)
            unasked = len(recorder.taken())
            ways = []
            for _ in range(calls):
                client.predict(DIGITS, inputs)
                time.sleep(_AT_REST_S)
                ways.append(recorder.taken())
            recorder.recording = False
            return ways, unasked
    finally:
        server.stop(5.0)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
