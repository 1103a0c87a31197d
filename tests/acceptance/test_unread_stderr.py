"""A server whose stderr is a pipe that nobody reads."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tritonclient.grpc import InferenceServerClient

from .command import arguments
from .triton_tensors import tensor

PATIENCE_S = 60.0
# Lines of the access log that take more than a pipe holds, 64 KiB.
CALLS = 800


def test_calls_are_answered_and_the_end_comes() -> None:
    command = arguments("--port", "0", "--admin-port", "0", "--rest-port", "0", "--access-log")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = next(line for line in process.stderr if line.startswith("serving on "))
            images = [tensor("images", np.zeros((1, 784), np.float32))]
            with (
                InferenceServerClient(said.removeprefix("serving on ").strip()) as client,
                ThreadPoolExecutor(8) as pool,
            ):
                answers = list(pool.map(lambda _: client.infer("digits", images), range(CALLS)))
            assert len(answers) == CALLS
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
