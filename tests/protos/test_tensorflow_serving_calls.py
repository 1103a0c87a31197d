"""tensorflow_serving_calls.py: TensorFlow Serving's messages without its package, byte for byte the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool

from hotgraph_protos import tensorflow_serving_calls as calls

ROOT = Path(__file__).parents[2]

COMPARED = """
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2, predict_pb2, prediction_log_pb2,
)
from tests.protos.test_tensorflow_serving_calls import fields_of, sample
from hotgraph_protos import tensorflow_serving_calls as calls

THEIRS = {
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "PredictionLog": prediction_log_pb2.PredictionLog,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
}
for name, theirs in THEIRS.items():
    ours = getattr(calls, name)
    wrong = set(fields_of(ours.DESCRIPTOR)) - set(fields_of(theirs.DESCRIPTOR))
    assert not wrong, (name, wrong)
    for message in (sample(ours), sample(theirs)):
        data = message.SerializeToString(deterministic=True)
        there = theirs.FromString(data).SerializeToString(deterministic=True)
        assert ours.FromString(there).SerializeToString(deterministic=True) == data, name
    unions = [field.containing_oneof.name for field in ours.DESCRIPTOR.fields if field.containing_oneof]
    alone = len(ours.DESCRIPTOR.fields) - len(unions)
    assert len(sample(ours).ListFields()) == alone + len(set(unions)), name
tensor = meta_graph_pb2.TensorInfo.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_name
for name, number in calls.DataType.items():
    assert tensor[name].number == number
print("compared", len(THEIRS))
"""


def fields_of(message: Any, path: str = "", depth: int = 6) -> Iterator[tuple[str, int, int, bool, str]]:
    """Path, number, type, whether it is repeated and the union of each field, those of messages in it too."""
    if depth:
        for field in message.fields:
            union = field.containing_oneof.name if field.containing_oneof else ""
            yield f"{path}.{field.name}", field.number, field.type, field.is_repeated, union
            if field.message_type is not None and field.message_type.full_name != message.full_name:
                yield from fields_of(field.message_type, f"{path}.{field.name}", depth - 1)


def sample(message_class: Any) -> Any:
    """A message with something in each field that both sides know."""
    message = message_class()
    named = message.DESCRIPTOR.fields_by_name
    if "model_spec" in named:
        message.model_spec.name = "m"
        message.model_spec.version.value = 7
        message.model_spec.signature_name = "s"
    for tensors in ("inputs", "outputs"):
        if tensors in named:
            fill(getattr(message, tensors)["x"])
    for names in ("output_filter", "metadata_field"):
        if names in named:
            getattr(message, names).append("signature_def")
    if "metadata" in named:
        message.metadata["signature_def"].type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
        message.metadata["signature_def"].value = b"\\n\\x00"
    if "signature_def" in named:
        signature = message.signature_def["default"]
        signature.method_name = "predict"
        signature.inputs["x"].name = "x:0"
        signature.inputs["x"].tensor_shape.dim.add(size=-1, name="rows")
        signature.outputs["y"].dtype = 7
        signature.outputs["y"].tensor_shape.unknown_rank = True
        fill(signature.defaults["x"])
    if "predict_log" in named:
        message.log_metadata.timestamp_secs = 1_700_000_000
        message.log_metadata.sampling_config.sampling_rate = 0.5
        message.log_metadata.model_spec.version_label = "stable"
        message.log_metadata.saved_model_tags.append("serve")
        fill(message.predict_log.request.inputs["x"])
        fill(message.predict_log.response.outputs["y"])
    return message


def fill(tensor: Any) -> None:
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=2)
    tensor.tensor_content = bytes(8)
    for field, value in (
        *(("float_val", 1.5), ("double_val", 2.5), ("int_val", -3), ("string_val", b"a"), ("half_val", 9)),
        *(("scomplex_val", 0.5), ("dcomplex_val", 0.5), ("int64_val", -(2**40)), ("bool_val", True)),
        *(("uint32_val", 2**31), ("uint64_val", 2**63)),
    ):
        getattr(tensor, field).extend([value, value])


def test_messages_are_those_of_tensorflow_serving() -> None:
    """In a process of its own, for it imports TensorFlow."""
    done = subprocess.run(
        [sys.executable, "-c", COMPARED], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout == "compared 6\n", done.stderr


def test_the_default_pool_knows_none_of_them() -> None:
    for name in ("PredictRequest", "PredictionLog"):
        ours = getattr(calls, name).DESCRIPTOR
        try:
            theirs = descriptor_pool.Default().FindMessageTypeByName(ours.full_name)
        except KeyError:
            continue
        # another test has imported TensorFlow Serving's
        assert theirs is not ours


@pytest.mark.parametrize(
    ("field", "kind"),
    [("classify_log", 2), ("regress_log", 3), ("multi_inference_log", 4), ("predict_log", 6)],
)
def test_kinds_of_records_are_told_apart(field: str, kind: int) -> None:
    log = calls.PredictionLog.FromString(bytes([kind << 3 | 2, 0]))
    assert log.WhichOneof("log_type") == field
