"""Models as load tests know them, and request logs, for the tests."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.loadtest.dialects import tensor_proto
from hotgraph_client.loadtest.dialects.description import V2_GRPC, Description
from hotgraph_client.loadtest.inputs.tfrecord import masked_crc
from hotgraph_protos import tensorflow_serving_calls as tfs
from hotgraph_protos.tensors import Array

Tensor = tuple[str, str, Sequence[int]]


def description(
    *inputs: Tensor,
    outputs: Sequence[Tensor] = (),
    protocol: str = V2_GRPC,
    optional: Sequence[str] = (),
    max_batch_rows: int | None = None,
) -> Description:
    """The model `m`, of signature `s`."""
    return Description(
        protocol,
        "m",
        "1",
        "s",
        tuple(TensorMetadata(name, datatype, tuple(shape)) for name, datatype, shape in inputs),
        tuple(TensorMetadata(name, datatype, tuple(shape)) for name, datatype, shape in outputs),
        max_batch_rows=max_batch_rows,
        optional=frozenset(optional),
    )


def record(data: bytes) -> bytes:
    """A record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def logged(
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array] | None = None,
    *,
    second: int = 0,
    model: str = "m",
    signature: str = "",
) -> bytes:
    """A PredictionLog of a Predict call."""
    log = tfs.PredictionLog()
    log.log_metadata.timestamp_secs = second
    log.predict_log.request.model_spec.name = model
    log.predict_log.request.model_spec.signature_name = signature
    for name, array in inputs.items():
        tensor_proto.fill(log.predict_log.request.inputs[name], array)
    for name, array in (outputs or {}).items():
        tensor_proto.fill(log.predict_log.response.outputs[name], array)
    return log.SerializeToString()


def write_log(path: Path, *records: bytes) -> Path:
    """A TFRecord file of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(record, records)))
    return path
