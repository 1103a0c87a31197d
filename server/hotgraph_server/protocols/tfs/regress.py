"""What Regress asks of a signature, and how its answer is made. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.tfs.tensor_proto import dtype_name
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import header

METHOD_NAME = "tensorflow/serving/regress"

INPUT = "inputs"
_OUTPUT = "outputs"

# regression.proto: RegressionResult.regressions, and the tag of Regression.value.
_REGRESSION = 1
_VALUE_TAG = b"\x0d"


def outputs_of(signature: Signature) -> tuple[str, ...]:
    """The output that is a regression.

    Raises:
        InvalidCall: `signature` cannot regress.
    """
    if len(signature.inputs) != 1:
        raise InvalidCall("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise InvalidCall("Expected one output Tensor.")
    if INPUT not in signature.inputs_by_alias:
        raise InvalidCall(
            f"No regression inputs found in SignatureDef: {signature.name} has "
            f"the input {signature.inputs[0].alias!r}, expected {INPUT!r}"
        )
    if _OUTPUT not in signature.outputs_by_alias:
        raise InvalidCall(
            f"No regression outputs found in SignatureDef: {signature.name} has "
            f"the output {signature.outputs[0].alias!r}, expected {_OUTPUT!r}"
        )
    return (_OUTPUT,)


def values_of(outputs: Sequence[str], arrays: Sequence[Array], examples: int) -> Array:
    """What a run of `outputs_of` gave for that many examples, float32 [examples].

    Raises:
        InvalidCall: it is no regression of them.
    """
    (array,) = arrays
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 1):
        shape = ",".join(map(str, array.shape))
        raise InvalidCall(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [{shape}]"
        )
    if len(array) != examples:
        raise InvalidCall(f"Input batch size did not match output batch size: {examples} vs. {len(array)}")
    if array.dtype != np.float32:
        raise InvalidCall(f"Expected output Tensor of DT_FLOAT.  Got: {dtype_name(array.dtype)}")
    return array.reshape(-1)


def encode_result(outputs: Sequence[str], arrays: Sequence[Array], examples: int) -> bytes:
    """A RegressionResult's bytes; see `values_of`."""
    values = values_of(outputs, arrays, examples)
    # Each takes the same number of bytes.
    head = np.frombuffer(header(_REGRESSION, len(_VALUE_TAG) + 4) + _VALUE_TAG, np.uint8)
    rows = np.empty((len(values), len(head) + 4), np.uint8)
    rows[:, : len(head)] = head
    rows[:, len(head) :] = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4)
    return rows.tobytes()
