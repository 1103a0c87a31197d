"""Which model a message is about, as its own parser has it; of any other bytes one or none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from hotgraph_protos import open_inference as pb
from hotgraph_server.forwarding.messages import MODEL_IN

V2 = "/inference.GRPCInferenceService"
TFS = "/tensorflow.serving.PredictionService"


def specified(message: Any, name: str) -> Any:
    message.model_spec.name = name
    message.model_spec.signature_name = "serving_default"
    return message


def messages(name: str) -> dict[str, Any]:
    return {
        f"{V2}/ModelInfer": pb.ModelInferRequest(model_name=name, id="1", raw_input_contents=[b"x" * 100]),
        f"{V2}/ModelMetadata": pb.ModelMetadataRequest(name=name, version="1"),
        f"{V2}/ModelConfig": pb.ModelConfigRequest(name=name),
        f"{V2}/ModelReady": pb.ModelReadyRequest(name=name),
        f"{TFS}/Predict": specified(predict_pb2.PredictRequest(output_filter=["y"]), name),
        f"{TFS}/Classify": specified(classification_pb2.ClassificationRequest(), name),
        f"{TFS}/Regress": specified(regression_pb2.RegressionRequest(), name),
        f"{TFS}/MultiInference": inference_pb2.MultiInferenceRequest(
            tasks=[specified(inference_pb2.InferenceTask(method_name="m"), name) for _ in range(2)]
        ),
        f"{TFS}/GetModelMetadata": specified(get_model_metadata_pb2.GetModelMetadataRequest(), name),
        "/tensorflow.serving.ModelService/GetModelStatus": specified(
            get_model_status_pb2.GetModelStatusRequest(), name
        ),
    }


def test_all_that_may_be_sent_on_is_known() -> None:
    assert messages("m").keys() == MODEL_IN.keys()


@pytest.mark.parametrize("path", MODEL_IN)
@given(name=st.text(min_size=1, max_size=300))
def test_the_name_is_that_of_the_message(path: str, name: str) -> None:
    written = messages(name)[path].SerializeToString()
    assert MODEL_IN[path](written) == name
    assert MODEL_IN[path](memoryview(bytearray(written))) == name


@pytest.mark.parametrize("path", MODEL_IN)
def test_a_message_without_a_name_has_none(path: str) -> None:
    assert MODEL_IN[path](b"") == ""
    assert MODEL_IN[path](messages("")[path].SerializeToString()) == ""


def test_a_field_before_the_name_does_no_harm() -> None:
    name = pb.ModelInferRequest(model_name="m").SerializeToString()
    number = pb.ModelInferRequest(id="1").SerializeToString()
    assert MODEL_IN[f"{V2}/ModelInfer"](number + name) == "m"


@pytest.mark.parametrize("path", MODEL_IN)
@given(junk=st.binary(max_size=200))
def test_any_bytes_have_a_name_or_none(path: str, junk: bytes) -> None:
    assert isinstance(MODEL_IN[path](junk), str)


@given(st.integers(0, 60), st.data())
def test_a_message_cut_off_has_the_name_or_none(length: int, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(MODEL_IN)))
    written = messages("flowers")[path].SerializeToString()[:length]
    assert MODEL_IN[path](written) in ("flowers", "")
