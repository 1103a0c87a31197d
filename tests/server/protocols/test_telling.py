"""What callers are told whose calls do not get as far as a version, door by door."""

from __future__ import annotations

import pytest
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError, InvalidCall, NotFound, QueueFull
from hotgraph_server.models.registry import Registry
from hotgraph_server.protocols.telling import telling
from hotgraph_server.protocols.tfs import prediction
from hotgraph_server.protocols.v2.inference import Infer

from .fakes import FakeReply, RecordingVersion, float_signature
from .hot_methods import registry_of


def told(registry: Registry) -> list[tuple[str, str, str]]:
    return [(one.model, one.status, one.text) for one in registry.last_errors.latest()]


def test_call_error_is_kept_and_goes_on() -> None:
    registry = Registry()
    with pytest.raises(InvalidCall), telling(registry, "m"):
        raise InvalidCall("no")
    with pytest.raises(KeyError), telling(registry, "m"):
        raise KeyError("a bug is told otherwise")
    with telling(registry, "m"):
        pass
    assert told(registry) == [("m", "INVALID_ARGUMENT", "no")]


def test_v2_keeps_it_without_the_request_s_id() -> None:
    version = RecordingVersion("m", 3, float_signature())
    registry = registry_of(version)
    for name in ("nobody", "m"):
        with pytest.raises(CallError, match=r"\[request id: 7\]"):
            Infer(registry)(pb.ModelInferRequest(model_name=name, id="7").SerializeToString(), FakeReply())
    # By its name where there is such a model: names that callers make up are no end of series.
    assert registry.last_errors.counts == {("", "NOT_FOUND"): 1, ("m", "INVALID_ARGUMENT"): 1}
    (first, second) = told(registry)
    assert first[:2] == ("m", "INVALID_ARGUMENT")
    assert second == ("nobody", "NOT_FOUND", "Request for unknown model: 'nobody' is not found")


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Predict", predict_pb2.PredictRequest()),
        ("Classify", classification_pb2.ClassificationRequest()),
        ("Regress", classification_pb2.ClassificationRequest()),
        ("MultiInference", inference_pb2.MultiInferenceRequest(tasks=[inference_pb2.InferenceTask()])),
    ],
)
def test_every_method_of_tensorflow_serving_keeps_it(method: str, request_: object) -> None:
    registry = Registry()
    message = type(request_).FromString(request_.SerializeToString())  # type: ignore[attr-defined]
    target = message.tasks[0] if method == "MultiInference" else message
    target.model_spec.name = "nobody"
    with pytest.raises(CallError):
        prediction.service(registry).hot[method](message.SerializeToString(), FakeReply())
    assert told(registry) == [
        ("nobody", "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
    ]


def test_what_a_version_refuses_is_the_versions_and_not_kept_twice() -> None:
    version = RecordingVersion("m", 3, float_signature())
    version.refusal = QueueFull("the queue", 1, 1)
    registry = registry_of(version)
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "m"
    for alias in ("x", "y"):
        message.inputs[alias].dtype = 1
        for size in (1, 2):
            message.inputs[alias].tensor_shape.dim.add(size=size)
        message.inputs[alias].float_val.append(1.0)
    with pytest.raises(QueueFull):
        prediction.service(registry).hot["Predict"](message.SerializeToString(), FakeReply())
    assert told(registry) == []


def test_error_knows_the_model_from_then_on_unless_more_is_known() -> None:
    registry = Registry()
    with pytest.raises(NotFound) as told, telling(registry, "m"):
        raise NotFound("no")
    assert told.value.about == ("m", 0, "")
    more = NotFound("no")
    more.about = ("m", 3, "f")
    with pytest.raises(NotFound), telling(registry, "m"):
        raise more
    assert more.about == ("m", 3, "f")
