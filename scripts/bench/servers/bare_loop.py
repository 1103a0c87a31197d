"""The limit of compute: a loop over the session callable and nothing else.

``python -m bench.servers.bare_loop SAVED_MODEL SHAPE saved|frozen``; then each line "ROWS SECONDS" on stdin
is answered by a line "ran RUNS SECONDS" on stdout. The first line of stdout is "ready".
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from bench.servers.session import open_session

_WARM_UP_RUNS = 2


def main(saved_model: str, shape: str, form: str) -> None:
    """Answer lines until stdin ends."""
    run = open_session(Path(saved_model), frozen=form == "frozen")
    sizes = [int(size) for size in shape.split(",")]
    random = np.random.default_rng(0)
    print("ready", flush=True)
    for line in sys.stdin:
        rows, seconds = line.split()
        batch = random.random((int(rows), *sizes), np.float32)
        for _ in range(_WARM_UP_RUNS):
            run(batch)
        runs, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < float(seconds):
            run(batch)
            runs += 1
        print("ran", runs, passed, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
