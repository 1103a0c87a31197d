"""A body that is nothing but the contents of one tensor, and the request that it stands for. Pure.

The model says what is missing: the tensor's name and datatype, and its shape, of which one size may be free
and comes from the number of bytes. Strings are one, without a length before it. All outputs come as bytes.
"""

from __future__ import annotations

import math
import struct

from hotgraph_protos import tensors as wire
from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.errors import InvalidCall
from hotgraph_server.models.contract import Contract
from hotgraph_server.protocols.v2 import checks
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.transport.message_fields import Message

_LENGTH = struct.Struct("<I")


def raw_request(
    body: Message, signature: Signature, contract: Contract | None, model: str
) -> tuple[ModelInferRequest, bytes | memoryview]:
    """The request, without the model's name, and the contents of its tensor.

    Args:
        contract: what the model promises to calls of this signature; None: what the signature says.
        model: its name, for errors.

    Raises:
        InvalidCall: the signature does not tell what a body without JSON means.
    """
    inputs = list(checks.sent_inputs(signature, contract).values())
    needed = [spec for spec in inputs if spec.alias not in signature.defaults] or inputs
    if len(needed) != 1:
        raise InvalidCall(
            "Raw request must only have 1 input (found 1) to be deduced but got "
            f"{len(needed)} inputs in '{model}' model configuration"
        )
    (spec,) = needed
    datatype = wire.datatype_of(spec.dtype)
    request = ModelInferRequest()
    tensor = request.inputs.add(name=spec.alias, datatype=datatype or checks.INVALID_DATATYPE)
    if datatype != wire.BYTES:
        tensor.shape.extend(_shape(spec, contract, model, len(body) / max(spec.dtype.itemsize, 1)))
        return request, memoryview(body)
    shape = _shape(spec, contract, model, 1)
    if math.prod(shape) != 1:
        raise InvalidCall(
            f"For BYTES datatype raw input '{spec.alias}' of model '{model}', the model must have input "
            f"shape [1], got {list(shape)}"
        )
    tensor.shape.extend(shape)
    # One copy, like the one that the string is made with.
    return request, b"".join((_LENGTH.pack(len(body)), body))


def _shape(spec: TensorSpec, contract: Contract | None, model: str, count: float) -> tuple[int, ...]:
    """Of that many values; if no shape has so many, one whose own number is what an error shall name."""
    shape = checks.shape_sent(spec, contract)
    if shape is None:
        raise InvalidCall(
            f"a raw request needs a model whose input has a known rank; that of '{spec.alias}' of model "
            f"'{model}' is not"
        )
    # The batch is of one row where another size is free.
    if shape and shape[0] is None and shape.count(None) > 1:
        shape = (1, *shape[1:])
    if shape.count(None) > 1:
        sizes = ["-1" if size is None else str(size) for size in shape]
        raise InvalidCall(
            "Only one dimension of a raw request's shape can be deduced; that of input "
            f"'{spec.alias}' of model '{model}' is [{','.join(sizes)}]"
        )
    fixed = math.prod(size for size in shape if size is not None)
    free = max(int(count // fixed), 1) if fixed else 1
    return tuple([free if size is None else size for size in shape])
