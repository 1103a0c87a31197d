"""BentoML: ``bentoml serve bench.servers.bentoml_server:Graph``, one process that batches and runs.

The SavedModel is in BENCH_SAVED_MODEL, because BentoML makes the command line its own. JSON in and out.
"""

from __future__ import annotations

import os
from pathlib import Path

import bentoml  # type: ignore[import-not-found]
import numpy as np

from bench.workload import BATCH_ROWS

_MAX_LATENCY_MS = 60_000


class Graph:
    """The service; BentoML joins the calls along dimension 0 and cuts the answer."""

    def __init__(self) -> None:
        from bench.servers.session import open_session

        self._run = open_session(Path(os.environ["BENCH_SAVED_MODEL"]))

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return self._run(np.asarray(inputs, np.float32))

    predict = bentoml.api(batchable=True, max_batch_size=BATCH_ROWS, max_latency_ms=_MAX_LATENCY_MS)(predict)


Graph = bentoml.service(  # type: ignore[misc]
    workers=1,
    traffic={"timeout": 60, "max_concurrency": 4096},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)(Graph)
