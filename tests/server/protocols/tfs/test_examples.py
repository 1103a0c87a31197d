"""Lists of tf.Example: what goes to the graph is what the messages of TensorFlow Serving's clients say."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, regression_pb2

from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.tfs.examples import examples_of, read_multi_inference, read_request
from hotgraph_server.tensors import STRING


def example(**features: list[float] | list[bytes] | list[int]) -> Any:
    """A tf.Example."""
    built = tf.train.Example()
    for name, values in features.items():
        feature = built.features.feature[name]
        if isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return built


def listed(*examples: Any, context: Any = None) -> Any:
    """An Input of `examples`, with or without a context."""
    built = input_pb2.Input()
    if context is None:
        built.example_list.examples.extend(examples)
    else:
        built.example_list_with_context.examples.extend(examples)
        built.example_list_with_context.context.CopyFrom(context)
    return built


def read(input_: Any) -> list[Any]:
    """The examples that the graph would get, parsed."""
    message = classification_pb2.ClassificationRequest(input=input_).SerializeToString()
    array = examples_of(read_request(message, "ClassificationRequest").input)
    assert (array.dtype, array.ndim) == (STRING, 1)
    return [tf.train.Example.FromString(one) for one in array]


FEATURES = st.dictionaries(
    st.text(max_size=4),
    st.one_of(
        st.lists(st.binary(max_size=5), min_size=1, max_size=3),
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
        st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3),
    ),
    max_size=3,
)
EXAMPLES = FEATURES.map(lambda features: example(**features))


@given(st.lists(EXAMPLES, min_size=1, max_size=4))
def test_examples_of_a_list_come_as_they_were_sent(examples: list[Any]) -> None:
    assert read(listed(*examples)) == examples


@given(st.lists(EXAMPLES, min_size=1, max_size=4), EXAMPLES)
def test_context_is_merged_into_every_example(examples: list[Any], context: Any) -> None:
    merged = []
    for one in examples:
        both = tf.train.Example()
        both.ParseFromString(context.SerializeToString() + one.SerializeToString())
        merged.append(both)
    assert read(listed(*examples, context=context)) == merged


def test_feature_of_the_example_wins_over_the_context_s() -> None:
    (found,) = read(listed(example(x=[2.0]), context=example(x=[1.0], y=[3.0])))
    assert found == example(x=[2.0], y=[3.0])


@pytest.mark.parametrize(
    "input_",
    [
        input_pb2.Input(),
        input_pb2.Input(example_list=input_pb2.ExampleList()),
        input_pb2.Input(example_list_with_context=input_pb2.ExampleListWithContext()),
        listed(context=example(x=[1.0])),
    ],
    ids=["nothing", "empty list", "empty list with context", "context alone"],
)
def test_no_example_is_refused(input_: Any) -> None:
    with pytest.raises(InvalidCall, match=r"^Input is empty\.$"):
        read(input_)


def test_context_that_would_take_much_memory_is_refused() -> None:
    # As bytes: the message of one example is empty, two bytes on the wire.
    input_ = input_pb2.Input()
    input_.example_list_with_context.context.features.feature["x"].bytes_list.value.append(bytes(2**20))
    for _ in range(300):
        input_.example_list_with_context.examples.add()
    request = classification_pb2.ClassificationRequest(input=input_).SerializeToString()
    with pytest.raises(InvalidCall, match=r"a context of .* bytes for 300 examples is too large"):
        examples_of(read_request(request, "ClassificationRequest").input)


def test_of_two_kinds_of_list_the_last_one_counts() -> None:
    one, other = listed(example(x=[1.0])), listed(example(x=[2.0]), context=example(y=[3.0]))
    message = b"".join(
        classification_pb2.ClassificationRequest(input=input_).SerializeToString() for input_ in (other, one)
    )
    array = examples_of(read_request(message, "ClassificationRequest").input)
    assert [tf.train.Example.FromString(each) for each in array] == [example(x=[1.0])]


def test_model_spec_is_read_beside_the_examples() -> None:
    sent = regression_pb2.RegressionRequest(input=listed(example(x=[1.0])))
    sent.model_spec.name = "m"
    sent.model_spec.version_label = "stable"
    spec = read_request(sent.SerializeToString(), "RegressionRequest").model_spec
    assert (spec.name, spec.WhichOneof("version_choice"), spec.version_label) == (
        "m",
        "version_label",
        "stable",
    )


def test_tasks_of_multi_inference_are_read() -> None:
    sent = inference_pb2.MultiInferenceRequest(input=listed(example(x=[1.0]), example(x=[2.0])))
    for signature, method in (("a", "tensorflow/serving/classify"), ("b", "tensorflow/serving/regress")):
        task = sent.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "m", signature
    request = read_multi_inference(sent.SerializeToString())
    assert [(task.model_spec.signature_name, task.method_name) for task in request.tasks] == [
        ("a", "tensorflow/serving/classify"),
        ("b", "tensorflow/serving/regress"),
    ]
    assert len(examples_of(request.input)) == 2


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    for reading in (functools.partial(read_request, kind="ClassificationRequest"), read_multi_inference):
        try:
            examples_of(reading(message).input)
        except InvalidCall:
            continue


@given(st.data())
def test_a_message_cut_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    whole = classification_pb2.ClassificationRequest(
        input=listed(example(x=[1.0]), example(y=[b"a"]), context=example(z=[1]))
    ).SerializeToString()
    end = data.draw(st.integers(0, len(whole) - 1))
    try:
        array = examples_of(read_request(whole[:end], "ClassificationRequest").input)
    except InvalidCall:
        return
    assert 1 <= len(array) <= 2


def test_bytes_that_are_no_request_are_called_by_their_name() -> None:
    with pytest.raises(InvalidCall, match="the message is no RegressionRequest"):
        read_request(b"\xff", "RegressionRequest")
    with pytest.raises(InvalidCall, match="the message is no MultiInferenceRequest"):
        read_multi_inference(memoryview(b"\xff"))
