"""An array of each datatype, with the values that codecs get wrong."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from hotgraph_protos.tensors import Array


def _objects(*values: bytes) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(2, -1)


SAMPLES: dict[str, Array] = {
    "BOOL": np.array([[True, False], [False, True]]),
    **{
        name: np.array([[np.iinfo(dtype).min, np.iinfo(dtype).max], [0, 1]], dtype)
        for name, dtype in (
            *(("INT8", np.int8), ("INT16", np.int16), ("INT32", np.int32), ("INT64", np.int64)),
            *(("UINT8", np.uint8), ("UINT16", np.uint16), ("UINT32", np.uint32), ("UINT64", np.uint64)),
        )
    },
    "FP16": np.array([[0.1, -2.5], [np.nan, np.inf]], np.float16),
    "BF16": np.array([[0.1, -2.5], [np.nan, np.inf]]).astype(ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, -2.5e-38], [np.nan, -np.inf]], np.float32),
    "FP64": np.array([[0.1, -2.5e-308], [np.nan, np.inf]], np.float64),
    "BYTES": _objects(b"", b"word", b"\x00\xff\x00", "na\u00efve".encode()),
}
COMPLEX: dict[str, Array] = {
    "COMPLEX64": np.array([[1 + 2j, -0.5j], [0, np.nan]], np.complex64),
    "COMPLEX128": np.array([[1 + 2j, -0.5j], [0, 1e-300]], np.complex128),
}


def assert_same(found: Array, right: Array) -> None:
    """Datatype, shape and every value."""
    assert found.dtype == right.dtype
    assert found.shape == right.shape
    if right.dtype == object:
        assert found.tolist() == right.tolist()
    else:
        wide = (
            np.complex128
            if right.dtype.kind == "c"
            else np.float64
            if right.dtype.kind not in "biu"
            else right.dtype
        )
        np.testing.assert_array_equal(found.astype(wide), right.astype(wide))
