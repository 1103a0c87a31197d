"""Triton's Python backend: ``model.py`` of a model repository. Joins the calls of a batch, runs once, cuts.

`bench.triton` writes a file around it that sets the import path, because Triton's stub process does not know
of virtual environments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from bench.servers.session import open_session
from bench.workload import INPUT, OUTPUT


class TritonPythonModel:
    """What the backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"] / "saved_model"
        self._run = open_session(folder)

    def execute(self, requests: Any) -> list[Any]:
        calls = [pb_utils.get_input_tensor_by_name(request, INPUT).as_numpy() for request in requests]
        joined = calls[0] if len(calls) == 1 else np.concatenate(calls)
        answer = self._run(joined)
        parts = np.split(answer, np.cumsum([len(rows) for rows in calls])[:-1])
        return [pb_utils.InferenceResponse([pb_utils.Tensor(OUTPUT, part)]) for part in parts]
