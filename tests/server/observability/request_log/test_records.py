"""records.py against the messages of tensorflow-serving-api."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from hotgraph_server.observability.request_log.records import METHODS, model_name, prediction_log, stamp_of
from hotgraph_server.transport.message_fields import MalformedMessage

Messages = tuple[Any, Any]


def predict(name: str, version: int, payload: bytes) -> Messages:
    request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
    request.model_spec.name = response.model_spec.name = name
    response.model_spec.version.value = version
    request.inputs["x"].tensor_content = payload
    response.outputs["y"].tensor_content = payload
    return request, response


def classify(name: str, version: int, payload: bytes) -> Messages:
    request = classification_pb2.ClassificationRequest()
    response = classification_pb2.ClassificationResponse()
    request.model_spec.name = response.model_spec.name = name
    response.model_spec.version.value = version
    request.input.example_list.examples.add().features.feature["a"].bytes_list.value.append(payload)
    response.result.classifications.add().classes.add(label="l", score=0.5)
    return request, response


def regress(name: str, version: int, payload: bytes) -> Messages:
    request, response = regression_pb2.RegressionRequest(), regression_pb2.RegressionResponse()
    request.model_spec.name = response.model_spec.name = name
    response.model_spec.version.value = version
    request.input.example_list.examples.add().features.feature["a"].bytes_list.value.append(payload)
    response.result.regressions.add(value=0.5)
    return request, response


def multi_inference(name: str, version: int, payload: bytes) -> Messages:
    request, response = inference_pb2.MultiInferenceRequest(), inference_pb2.MultiInferenceResponse()
    for _ in range(2):
        request.tasks.add().model_spec.name = name
        spec = response.results.add().model_spec
        spec.name, spec.version.value = name, version
    request.input.example_list.examples.add().features.feature["a"].bytes_list.value.append(payload)
    return request, response


MAKE = {"Predict": predict, "Classify": classify, "Regress": regress, "MultiInference": multi_inference}
FIELD = {
    "Predict": "predict_log",
    "Classify": "classify_log",
    "Regress": "regress_log",
    "MultiInference": "multi_inference_log",
}


def test_every_method_of_the_service_that_has_a_record_is_tested() -> None:
    assert set(MAKE) == METHODS


@pytest.mark.parametrize("method", MAKE)
@given(
    name=st.text(min_size=1, max_size=200),
    version=st.integers(0, 2**63 - 1),
    payload=st.binary(max_size=300),
    rate=st.floats(0, 1),
    timestamp_s=st.integers(0, 2**40),
)
def test_record_is_what_the_prediction_log_says(
    method: str, name: str, version: int, payload: bytes, rate: float, timestamp_s: int
) -> None:
    request, response = MAKE[method](name, version, payload)
    bytes_in, bytes_out = request.SerializeToString(), response.SerializeToString()
    record = prediction_log_pb2.PredictionLog.FromString(
        prediction_log(method, bytes_in, bytes_out, rate, timestamp_s)
    )
    assert record.WhichOneof("log_type") == FIELD[method]
    log = getattr(record, FIELD[method])
    assert (log.request, log.response) == (request, response)
    metadata = record.log_metadata
    assert (metadata.model_spec.name, metadata.model_spec.version.value) == (name, version)
    assert metadata.sampling_config.sampling_rate == rate
    assert metadata.timestamp_secs == timestamp_s
    assert model_name(method, memoryview(bytes_in)) == name
    assert stamp_of(record.SerializeToString()) == (timestamp_s, rate or 1.0)


def test_a_record_without_a_time_or_a_sampling_rate_says_so() -> None:
    assert stamp_of(prediction_log_pb2.PredictionLog().SerializeToString()) == (0, 1.0)


@given(st.binary(max_size=60))
def test_bytes_have_a_stamp_or_are_no_message(record: bytes) -> None:
    try:
        timestamp_s, rate = stamp_of(record)
    except MalformedMessage:
        return
    assert timestamp_s >= 0
    assert 0.0 < rate <= 1.0


@pytest.mark.parametrize("method", MAKE)
@given(message=st.binary(max_size=60))
def test_what_is_no_request_has_no_name_or_the_one_that_the_parser_finds(method: str, message: bytes) -> None:
    found = model_name(method, message)
    assert found is None or isinstance(found, str)


def test_of_a_name_that_is_there_twice_the_last_one_counts() -> None:
    first, _ = predict("first", 1, b"")
    last, _ = predict("last", 1, b"")
    both = first.SerializeToString() + last.SerializeToString()
    assert predict_pb2.PredictRequest.FromString(both).model_spec.name == "last"
    assert model_name("Predict", both) == "last"
