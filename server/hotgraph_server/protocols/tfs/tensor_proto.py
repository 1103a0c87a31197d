"""What a TensorProto is: the typed field of each dtype, by the dtype's number. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.tensors import DT_STRING, number_of

DT_HALF, DT_BFLOAT16 = 19, 14

# Typed field by dtype number: its name, and the dtype of its elements where numpy needs to be told.
FIELDS: dict[int, tuple[str, Any]] = {
    1: ("float_val", np.float32),
    2: ("double_val", np.float64),
    3: ("int_val", np.int32),
    4: ("int_val", np.int32),
    5: ("int_val", np.int32),
    6: ("int_val", np.int32),
    DT_STRING: ("string_val", object),
    8: ("scomplex_val", np.float32),
    9: ("int64_val", np.int64),
    10: ("bool_val", np.bool_),
    DT_BFLOAT16: ("half_val", np.int32),
    17: ("int_val", np.int32),
    18: ("dcomplex_val", np.float64),
    DT_HALF: ("half_val", np.int32),
    22: ("uint32_val", np.uint32),
    23: ("uint64_val", np.uint64),
}
COMPLEX = {8: np.complex64, 18: np.complex128}

# Field numbers of TensorProto whose packed form is the array's little-endian memory.
SPLICED = {1: 5, 2: 6, 8: 9, 10: 11, 18: 12}

# Field numbers of TensorProto.tensor_content and PredictRequest.inputs.
CONTENT = 4


def dtype_name(dtype: np.dtype[Any]) -> str:
    """What TensorFlow Serving calls a dtype in its messages: ``DT_FLOAT``."""
    names = TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number
    return str(names[number_of(dtype)].name)


# The class of PredictRequest.inputs' values: TensorFlow's, without importing TensorFlow for it here.
TensorProto = type(predict_pb2.PredictRequest().inputs[""])
