"""LitServe: FastAPI in one process, one worker process that runs the graph on batches.

``python -m bench.servers.litserve_server PORT SAVED_MODEL``. JSON in and out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve  # type: ignore[import-not-found]
import numpy as np

from bench.workload import BATCH_ROWS, INPUT, OUTPUT

_WAIT_S = 0.001


class Graph(litserve.LitAPI):  # type: ignore[misc]
    """Joins the calls of a batch, runs once, cuts the answer."""

    def setup(self, device: str) -> None:
        from bench.servers.session import open_session

        self._run = open_session(Path(sys.argv[2]))

    # LitServe makes its route from this signature: any annotation turns the body into a query parameter.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return np.array(request[INPUT], np.float32)

    def batch(self, inputs: Any) -> Any:
        return inputs

    def predict(self, inputs: Any) -> Any:
        # Without a batch LitServe hands over the call itself.
        calls = inputs if isinstance(inputs, list) else [inputs]
        answer = self._run(np.concatenate(calls))
        return np.split(answer, np.cumsum([len(rows) for rows in calls])[:-1])

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> Any:
        return {OUTPUT: output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Graph(max_batch_size=BATCH_ROWS, batch_timeout=_WAIT_S),
        accelerator="cpu",
        workers_per_device=1,
        timeout=60,
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="error",
        generate_client_file=False,
    )
