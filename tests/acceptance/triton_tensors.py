"""Arrays as tritonclient's inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.utils import np_to_triton_dtype


def tensor(name: str, array: Any, datatype: str | None = None) -> InferInput:
    array = np.asarray(array)
    made = InferInput(name, array.shape, datatype or np_to_triton_dtype(array.dtype))
    return made.set_data_from_numpy(array)


def strings(name: str, values: Any) -> InferInput:
    return tensor(name, np.array(values, dtype=object), "BYTES")
