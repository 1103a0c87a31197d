"""tensorflow_serving.py: Predict over gRPC, and signatures."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.dialects import tensorflow_serving as serving
from hotgraph_client.loadtest.dialects.description import SERVING_GRPC, Description, TargetError
from hotgraph_client.loadtest.load import Answer
from hotgraph_protos import tensorflow_serving_calls as tfs

from ..described import description
from .samples import COMPLEX, SAMPLES, assert_same

ALL = {**SAMPLES, **COMPLEX}


def signatures(*names: str) -> tfs.SignatureDefMap:
    found = tfs.SignatureDefMap()
    for name in names:
        signature = found.signature_def[name]
        for tensor, tensors, dtype in (
            ("x", signature.inputs, tfs.DT_FLOAT),
            ("y", signature.outputs, tfs.DT_STRING),
        ):
            tensors[tensor].dtype = dtype
            tensors[tensor].tensor_shape.dim.add(size=-1)
            tensors[tensor].tensor_shape.dim.add(size=3)
        signature.inputs["a"].dtype = tfs.DT_INT32
        signature.inputs["a"].tensor_shape.unknown_rank = True
        signature.defaults["a"].dtype = tfs.DT_INT32
    initial = found.signature_def["__saved_model_init_op"]
    initial.outputs["__saved_model_init_op"].tensor_shape.unknown_rank = True
    return found


def described(signature: str, *names: str) -> Description:
    return serving.describe(signatures(*names), SERVING_GRPC, model="m", version="", signature=signature)


@pytest.mark.parametrize("datatype", ALL)
def test_payload_is_a_predict_request(datatype: str) -> None:
    array = ALL[datatype]
    dialect = serving.Serving(description(("x", datatype, (-1, 2))), version="7")
    payload = dialect.payload({"x": array})
    assert (payload.path, payload.headers, payload.rows) == (serving.PREDICT, (), 2)
    request = tfs.PredictRequest.FromString(payload.body)
    spec = request.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 7, "s")
    answer = tfs.PredictResponse(outputs={"y": request.inputs["x"]}, model_spec=spec)
    outputs = dialect.read(Answer(0, (), answer.SerializeToString(), 1))
    assert list(outputs) == ["y"]
    assert_same(outputs["y"], array)


def test_versions_are_numbers_or_labels() -> None:
    assert not serving.model_spec("m", "", "").HasField("version")
    assert serving.model_spec("m", "0", "").HasField("version")
    assert serving.model_spec("m", "stable", "").version_label == "stable"
    assert serving.model_path("a b/c", "") == "/v1/models/a%20b%2Fc"
    assert serving.model_path("m", "12") == "/v1/models/m/versions/12"
    assert serving.model_path("m", "stable") == "/v1/models/m/labels/stable"


def test_description_has_inputs_by_name_and_what_may_be_left_out() -> None:
    found = described("", "serving_default", "other")
    assert (found.protocol, found.signature) == (SERVING_GRPC, "serving_default")
    assert [str(tensor) for tensor in found.inputs] == ["a (INT32 [-1])", "x (FP32 [-1, 3])"]
    assert [str(tensor) for tensor in found.outputs] == ["y (BYTES [-1, 3])"]
    assert found.optional == {"a"}
    assert found.has_rows


def test_the_only_signature_is_the_default_one() -> None:
    assert described("", "only").signature == "only"
    assert described("two", "one", "two").signature == "two"
    with pytest.raises(TargetError, match="no signature 'serving_default'; there are: one, two: say which"):
        described("", "one", "two")
    with pytest.raises(TargetError, match="nothing can be sent"):
        described("")


def test_signatures_are_read_from_the_metadata_over_http() -> None:
    as_json = json_format.MessageToDict(signatures("serving_default"), preserving_proto_field_name=True)
    as_json["@type"] = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    found = serving.signatures_of_json({"metadata": {"signature_def": as_json}})
    assert found == signatures("serving_default")
    assert not serving.signatures_of_json({}).signature_def
    with pytest.raises(TargetError, match="makes no sense"):
        serving.signatures_of_json({"metadata": {"signature_def": {"signature_def": [1]}}})


def test_an_array_that_cannot_be_sent_is_the_targets_error() -> None:
    dialect = serving.Serving(description(("x", "FP32", (-1,))), version="")
    with pytest.raises(TargetError, match="input 'x': TensorFlow has no datatype for datetime64"):
        dialect.payload({"x": np.zeros(1, "datetime64[s]")})


@given(st.binary(max_size=60))
def test_whatever_is_answered_there_is_one_kind_of_error(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        serving.Serving(description(("x", "FP32", (-1,))), version="").read(Answer(0, (), body, 1))
