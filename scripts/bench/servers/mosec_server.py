"""mosec: its Rust front end speaks HTTP/1.1, one worker process runs the graph on batches.

``python -m bench.servers.mosec_server --port PORT``; the SavedModel is in BENCH_SAVED_MODEL, the inner
shape in BENCH_SHAPE, because mosec parses the command line itself. Raw float32 in and out.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from mosec import Server, Worker  # type: ignore[import-not-found]

from bench.workload import BATCH_ROWS

_WAIT_MS = 1
_TIMEOUT_MS = 60_000


class Graph(Worker):  # type: ignore[misc]
    """Joins the calls of a batch, runs once, cuts the answer."""

    def __init__(self) -> None:
        super().__init__()
        # TensorFlow belongs into the worker, not into the process that forks it.
        from bench.servers.session import open_session

        self._run = open_session(Path(os.environ["BENCH_SAVED_MODEL"]))
        self._shape = [int(size) for size in os.environ["BENCH_SHAPE"].split(",")]

    def deserialize(self, data: bytes) -> Any:
        rows = len(data) // (4 * math.prod(self._shape))
        return np.frombuffer(data, "<f4").reshape([rows, *self._shape])

    def forward(self, data: Any) -> Any:
        answer = self._run(np.concatenate(data))
        ends = np.cumsum([len(rows) for rows in data])
        return np.split(answer, ends[:-1])

    def serialize(self, data: Any) -> bytes:
        return bytes(data.tobytes())


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Graph, num=1, max_batch_size=BATCH_ROWS, max_wait_time=_WAIT_MS, timeout=_TIMEOUT_MS // 1000
    )
    server.run()
