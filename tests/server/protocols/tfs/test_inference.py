"""Classify, Regress and MultiInference over models without TensorFlow: answers, and refusals in TensorFlow
Serving's words."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, Cancelled, InvalidCall, NotFound, QueueFull, RunFailed
from hotgraph_server.protocols.tfs import prediction
from hotgraph_server.settings import PredictionSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array

from ..fakes import FakeGraph, FakeReply, Models, RecordingVersion, spec
from .test_examples import example, listed

_INVALID = 3  # TensorFlow's code

CLASSIFY = Signature(
    "serving_default",
    (spec("inputs", STRING, None),),
    (spec("classes", STRING, None, None), spec("scores", np.float32, None, None)),
    method_name="tensorflow/serving/classify",
)
REGRESS = Signature(
    "regress",
    (spec("inputs", STRING, None),),
    (spec("outputs", np.float32, None, 1),),
    method_name="tensorflow/serving/regress",
)
NUMBERS = Signature("numbers", (spec("inputs", np.float32, None),), (spec("outputs", np.float32, None),))
THREE = [example(x=[1.0]), example(x=[2.0]), example(x=[3.0])]


def classified(inputs: Array) -> Mapping[str, Array]:
    """A class for whether the example is long, and its number of bytes for a score."""
    if b"refuse" in b"".join(inputs):
        raise RunFailed(_INVALID, "Could not parse example input")
    sizes = np.array([[len(one)] for one in inputs], np.float32)
    classes = np.empty((len(inputs), 1), STRING)
    classes[:, 0] = [b"long" if size > 20 else b"short" for size in sizes]
    return {"classes": classes, "scores": sizes}


def regressed(inputs: Array) -> Mapping[str, Array]:
    """Half its number of bytes."""
    return {"outputs": np.array([[len(one) / 2] for one in inputs], np.float32)}


def graph() -> FakeGraph:
    return FakeGraph(
        (CLASSIFY, classified),
        (REGRESS, regressed),
        (NUMBERS, lambda inputs: {"outputs": inputs}),
        unusable={"broken": "it has no outputs"},
    )


def classification(
    *examples: Any, model: str = "m", signature: str = "", context: Any = None, input_: Any = None
) -> Any:
    """A ClassificationRequest."""
    built = classification_pb2.ClassificationRequest(input=input_ or listed(*examples, context=context))
    built.model_spec.name = model
    built.model_spec.signature_name = signature
    return built


def regression(*examples: Any, signature: str = "regress") -> Any:
    """A RegressionRequest."""
    built = regression_pb2.RegressionRequest(input=listed(*examples))
    built.model_spec.name = "m"
    built.model_spec.signature_name = signature
    return built


def hand_in(
    models: Models, method: str, message: Any, deadline: float = math.inf, **settings: bool
) -> FakeReply:
    reply = FakeReply(deadline)
    service = prediction.service(models.registry, PredictionSettings(**settings))
    service.hot[method](message.SerializeToString(), reply)
    return reply


def classify(models: Models, message: Any, **settings: bool) -> Any:
    reply = hand_in(models, "Classify", message, **settings)
    return classification_pb2.ClassificationResponse.FromString(reply.answer())


def regress(models: Models, message: Any, **settings: bool) -> Any:
    reply = hand_in(models, "Regress", message, **settings)
    return regression_pb2.RegressionResponse.FromString(reply.answer())


@pytest.fixture
def served(models: Models) -> Models:
    """Version 3 of model "m"."""
    models.add("m", 3, graph())
    return models


def test_classify_answers_for_each_example_and_names_what_answered(served: Models) -> None:
    response = classify(served, classification(*THREE))
    spec_ = response.model_spec
    assert (spec_.name, spec_.version.value, spec_.signature_name) == ("m", 3, "serving_default")
    size = len(THREE[0].SerializeToString())
    assert [[(one.label, one.score) for one in row.classes] for row in response.result.classifications] == [
        [("short", size)]
    ] * 3


def test_context_reaches_the_graph_with_every_example(served: Models) -> None:
    context = example(long=[b"a" * 30])
    response = classify(served, classification(*THREE, context=context))
    size = len(context.SerializeToString() + THREE[0].SerializeToString())
    assert [row.classes[0].score for row in response.result.classifications] == [size] * 3
    assert response.result.classifications[0].classes[0].label == "long"


def test_regress_answers_for_each_example_and_names_what_answered(served: Models) -> None:
    response = regress(served, regression(*THREE))
    spec_ = response.model_spec
    assert (spec_.name, spec_.version.value, spec_.signature_name) == ("m", 3, "regress")
    half = len(THREE[0].SerializeToString()) / 2
    assert [one.value for one in response.result.regressions] == [half] * 3


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        (classification_pb2.ClassificationRequest(), InvalidCall, "Missing ModelSpec"),
        (classification(*THREE, model=""), InvalidCall, "ModelSpec has no name specified."),
        (classification(*THREE, model="x"), NotFound, "Servable not found for request: Latest(x)"),
        (
            classification(*THREE, signature="x"),
            InvalidCall,
            "No signature was found with the name: x",
        ),
        (
            classification(*THREE, signature="broken"),
            InvalidCall,
            "No signature was found with the name: broken It cannot be called: it has no outputs.",
        ),
        (classification(), InvalidCall, "Input is empty."),
        # What the signature is comes before what was sent.
        (
            classification(signature="regress"),
            InvalidCall,
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            "Signature was: regress with outputs",
        ),
    ],
)
def test_classify_is_refused_in_tensorflow_servings_words(
    served: Models, message: Any, error: type[CallError], words: str
) -> None:
    with pytest.raises(error) as raised:
        classify(served, message)
    assert str(raised.value) == words


def test_graph_that_takes_no_strings_is_not_given_examples(served: Models) -> None:
    with pytest.raises(InvalidCall, match=r"actual string vs\. expect float"):
        regress(served, regression(*THREE, signature="numbers"))


def test_signature_is_judged_by_its_method_name_only_where_the_settings_say_so(models: Models) -> None:
    plain = Signature("serving_default", CLASSIFY.inputs, CLASSIFY.outputs, "tensorflow/serving/predict")
    models.add("m", 3, FakeGraph((plain, classified)))
    assert len(classify(models, classification(*THREE)).result.classifications) == 3
    with pytest.raises(InvalidCall) as raised:
        classify(models, classification(*THREE), check_method_names=True)
    assert str(raised.value) == (
        "Expected classification signature method_name to be tensorflow/serving/classify. "
        "Was: tensorflow/serving/predict"
    )


def test_right_method_names_pass_the_check(served: Models) -> None:
    assert classify(served, classification(*THREE), check_method_names=True).HasField("result")
    assert regress(served, regression(*THREE), check_method_names=True).HasField("result")
    with pytest.raises(InvalidCall, match="Expected regression signature method_name to be"):
        regress(served, regression(*THREE, signature=""), check_method_names=True)


def test_error_of_the_graph_is_the_answer(served: Models) -> None:
    with pytest.raises(RunFailed, match="Could not parse example input"):
        classify(served, classification(example(refuse=[b"a"])))


def test_answer_that_is_no_classification_is_refused(models: Models) -> None:
    models.add("m", 3, FakeGraph((CLASSIFY, lambda inputs: classified(inputs[:1]))))
    with pytest.raises(InvalidCall, match=r"Expected classes output batch size of 3\. Got: 1"):
        classify(models, classification(*THREE))


def recording(models: Models, *, alone: str | None = None) -> RecordingVersion:
    version = RecordingVersion("m", 3, CLASSIFY, REGRESS, alone=alone)
    models.registry.publish([version])
    return version


def test_calls_may_share_batches_with_each_other_and_with_predict(models: Models) -> None:
    version = recording(models)
    message = classification(*THREE)
    hand_in(models, "Classify", message)
    hand_in(models, "Classify", classification(THREE[0]))
    first, second = version.calls
    # The queue's edge in bytes is to know of the examples, not of the pointers to them.
    assert first.nbytes == message.ByteSize()
    assert (first.rows, second.rows) == (3, 1)
    assert first.lane is not None
    assert first.lane == second.lane


def test_calls_run_alone_where_the_trial_said_so(models: Models) -> None:
    version = recording(models, alone="the graph refuses generated inputs")
    hand_in(models, "Classify", classification(*THREE))
    assert version.calls[0].lane is None


def test_deadline_goes_with_the_call_and_the_caller_may_leave(models: Models) -> None:
    version = recording(models)
    reply = hand_in(models, "Classify", classification(*THREE), deadline=12345.0)
    assert version.calls[0].deadline == 12345.0
    assert reply.cancel is not None
    reply.cancel()
    with pytest.raises(CallError):
        reply.answer()


def test_refusal_of_the_queue_is_raised(models: Models) -> None:
    version = recording(models)
    version.refusal = QueueFull("m", 1, 1)
    with pytest.raises(QueueFull):
        hand_in(models, "Regress", regression(*THREE))


def tasks(*signatures: str, model: str = "m", examples: list[Any] | None = None) -> Any:
    """A MultiInferenceRequest: `NAME` classifies, `NAME/METHOD` does what it says."""
    built = inference_pb2.MultiInferenceRequest(input=listed(*(THREE if examples is None else examples)))
    for each in signatures:
        name, _, method = each.partition("/")
        task = built.tasks.add(method_name=f"tensorflow/serving/{method or 'classify'}")
        task.model_spec.name, task.model_spec.signature_name = model, name
    return built


def infer(models: Models, message: Any, **settings: bool) -> Any:
    reply = hand_in(models, "MultiInference", message, **settings)
    return inference_pb2.MultiInferenceResponse.FromString(reply.answer())


class TestMultiInference:
    def test_each_task_has_its_result_in_the_order_of_the_request(self, served: Models) -> None:
        response = infer(served, tasks("regress/regress", ""))
        first, second = response.results
        assert first.model_spec.signature_name == "regress"
        assert second.model_spec.signature_name == "serving_default"
        assert {result.model_spec.version.value for result in response.results} == {3}
        single = regress(served, regression(*THREE)), classify(served, classification(*THREE))
        assert first.regression_result == single[0].result
        assert second.classification_result == single[1].result

    def test_version_is_the_first_task_s(self, served: Models) -> None:
        served.add("m", 5, graph())
        message = tasks("regress/regress", "")
        message.tasks[0].model_spec.version.value = 3
        message.tasks[1].model_spec.version.value = 5
        assert {result.model_spec.version.value for result in infer(served, message).results} == {3}

    @pytest.mark.parametrize(
        ("message", "code", "words"),
        [
            (inference_pb2.MultiInferenceRequest(), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
            (tasks("", model=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
            (tasks("", model="x"), "NOT_FOUND", "Servable not found for request: Latest(x)"),
            (
                tasks("", "serving_default"),
                "INVALID_ARGUMENT",
                "Duplicate evaluation of signature: serving_default",
            ),
            (tasks("", "x"), "INVALID_ARGUMENT", "Requested signature not found in model graph: x"),
            (
                tasks("/predict"),
                "UNIMPLEMENTED",
                "Unsupported signature method_name: tensorflow/serving/predict",
            ),
            (tasks("regress"), "INVALID_ARGUMENT", "Expected classification signature outputs to contain"),
            (tasks("", examples=[]), "INVALID_ARGUMENT", "Input is empty."),
        ],
    )
    def test_is_refused_in_tensorflow_servings_words(
        self, served: Models, message: Any, code: str, words: str
    ) -> None:
        with pytest.raises(CallError) as raised:
            infer(served, message)
        assert raised.value.status.name == code
        assert str(raised.value).startswith(words)

    def test_tasks_of_different_models_are_refused(self, served: Models) -> None:
        message = tasks("", "regress/regress")
        message.tasks[1].model_spec.name = "other"
        with pytest.raises(InvalidCall, match="All ModelSpecs in a MultiInferenceRequest"):
            infer(served, message)
        message.tasks[1].model_spec.name = ""
        with pytest.raises(InvalidCall, match="Found ModelSpec with an empty model name"):
            infer(served, message)

    def test_method_names_count_where_the_settings_say_so(self, served: Models) -> None:
        assert len(infer(served, tasks("regress/regress", ""), check_method_names=True).results) == 2
        with pytest.raises(InvalidCall, match="Expected classification signature method_name to be"):
            infer(served, tasks("regress"), check_method_names=True)

    def test_first_error_is_the_answer_and_the_other_calls_are_left(self, models: Models) -> None:
        version = recording(models)
        reply = hand_in(models, "MultiInference", tasks("", "regress/regress"))
        classifying, regressing = version.calls
        assert not regressing.completion.taken
        assert classifying.completion.finish(RunFailed(_INVALID, "no such id"))
        assert regressing.completion.taken
        with pytest.raises(RunFailed, match="no such id"):
            reply.answer()

    def test_nothing_is_answered_before_all_tasks_are(self, models: Models) -> None:
        version = recording(models)
        reply = hand_in(models, "MultiInference", tasks("", "regress/regress"))
        inputs = version.calls[0].inputs[0]
        found = regressed(inputs)
        assert version.calls[1].completion.finish([found["outputs"]])
        assert not reply.finished
        found = classified(inputs)
        assert version.calls[0].completion.finish([found["classes"], found["scores"]])
        assert reply.finished

    def test_queue_that_takes_one_call_and_not_the_next_leaves_the_first(self, models: Models) -> None:
        version = recording(models)

        def refuse_second(request: Request) -> Call:
            version.refusal = QueueFull("m", 1, 1) if version.calls else None
            return version.record(request)

        version.submit = refuse_second
        with pytest.raises(QueueFull):
            hand_in(models, "MultiInference", tasks("", "regress/regress"))
        assert version.calls[0].completion.taken

    def test_call_that_fails_at_once_is_answered_though_the_next_is_refused(self, models: Models) -> None:
        version = recording(models)

        def fail_then_refuse(request: Request) -> Call:
            if version.calls:
                raise QueueFull("m", 1, 1)
            call = version.record(request)
            call.completion.finish(RunFailed(_INVALID, "no such id"))
            return call

        version.submit = fail_then_refuse
        reply = hand_in(models, "MultiInference", tasks("", "regress/regress"))
        with pytest.raises(RunFailed, match="no such id"):
            reply.answer()

    def test_caller_who_leaves_takes_all_calls_along(self, models: Models) -> None:
        version = recording(models)
        reply = hand_in(models, "MultiInference", tasks("", "regress/regress"), deadline=12345.0)
        assert {call.deadline for call in version.calls} == {12345.0}
        assert reply.cancel is not None
        reply.cancel()
        assert all(call.completion.taken for call in version.calls)
        with pytest.raises(CallError) as raised:
            reply.answer()
        assert isinstance(raised.value, Cancelled) or raised.value.status.name == "DEADLINE_EXCEEDED"

    def test_answered_calls_leave_no_cycle_behind(self, models: Models) -> None:
        """What only a collection can free stays for long at these rates."""
        version = recording(models)
        gc.disable()
        try:
            reply = hand_in(models, "MultiInference", tasks("", "regress/regress"))
            examples = weakref.ref(version.calls[0].inputs[0])
            for call, compute in zip(version.calls, (classified, regressed), strict=True):
                found = compute(call.inputs[0])
                call.completion.finish([found[alias] for alias in call.outputs])
            reply.answer()
            version.calls.clear()
            del call, reply
            assert examples() is None
        finally:
            gc.enable()
