"""Predict with its templates: a message never means anything else because of what came before it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.protocols.tfs import decode
from hotgraph_server.protocols.tfs.predict import Predict
from hotgraph_server.settings import PredictionSettings
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.message_fields import WORTH_CUTTING, Message

from ..fakes import FakeReply, RecordingVersion, float_signature, spec, strings
from ..mutations import held, mutated
from .test_spans import typed

DEFAULT_Y = np.array([[7, 8]], np.float32)
MIXED = Signature(
    "mixed",
    (
        spec("flags", np.bool_, None, 2),
        spec("training", np.bool_),
        spec("doubles", np.float64, None),
        spec("longs", np.int64, None),
        spec("words", STRING, None),
    ),
    (spec("words", STRING, None), spec("count", np.int64)),
)


def version(number: int = 3) -> RecordingVersion:
    """Model "m": floats with a default by default, `mixed` for the rest."""
    return RecordingVersion("m", number, float_signature(defaults={"y": DEFAULT_Y}), MIXED)


def registry_of(*versions: RecordingVersion) -> Registry:
    registry = Registry()
    registry.publish(versions)
    return registry


def request(inputs: Mapping[str, Any], *, signature: str = "", model: str = "m") -> Any:
    """A call with these arrays, or TensorProtos."""
    built = predict_pb2.PredictRequest()
    built.model_spec.name = model
    built.model_spec.signature_name = signature
    for alias, value in inputs.items():
        is_array = isinstance(value, np.ndarray)
        built.inputs[alias].CopyFrom(tf.make_tensor_proto(value) if is_array else value)
    return built


def floats(x: float = 1, *, rows: int = 1, y: float | None = 2, model: str = "m") -> Any:
    """A good call of the floats."""
    values = {"x": x} if y is None else {"x": x, "y": y}
    arrays = {alias: np.full((rows, 2), value, np.float32) for alias, value in values.items()}
    return request(arrays, model=model)


def mixed(words: Array) -> Any:
    """A good call of `mixed`: booleans, a typed flag, typed doubles, integers, strings."""
    return request(
        {
            "flags": np.array([[True, False], [False, True]]),
            "training": np.array(True),
            "doubles": typed(np.array([1, 2], np.float64)),
            "longs": np.array([-1, 2]),
            "words": words,
        },
        signature="mixed",
    )


def good_messages() -> dict[str, bytes]:
    """One of each form that callers send."""
    chosen = floats()
    chosen.model_spec.version.value = 3
    chosen.output_filter.extend(["difference", "sum"])
    latest = floats()
    latest.model_spec.version.value = 0
    repeated = floats()
    repeated.inputs["y"].ClearField("tensor_content")
    repeated.inputs["y"].float_val.append(5)
    empty = floats()
    empty.inputs["y"].ClearField("tensor_content")
    requests = {
        "content": floats(),
        "default": floats(y=None),
        "typed": request({name: typed(np.full((1, 2), 3, np.float32)) for name in "xy"}),
        "typed double": request({name: typed(np.full((1, 2), 3, np.float64)) for name in "xy"}),
        "chosen": chosen,
        "version 0": latest,
        "last value repeated": repeated,
        "zeros": empty,
        "mixed": mixed(strings(b"a", b"bcd")),
        "many rows": floats(rows=8),
        "any shape": request({name: np.zeros((3, 1), np.float32) for name in "xy"}),
    }
    return {name: built.SerializeToString(deterministic=True) for name, built in requests.items()}


GOOD = good_messages()


def answer_for(output: TensorSpec) -> Array:
    """An array that the output may have."""
    shape = [2] * len(output.shape or ())
    return np.full(shape, b"w" if output.dtype == STRING else 0, output.dtype)


def outcome(hot: Predict, message: Message, *versions: RecordingVersion) -> tuple[object, ...]:
    """All that comes of a message: the call and its answer, or the error."""
    for one in versions:
        one.calls.clear()
    reply = FakeReply()
    try:
        hot(message, reply)
    except CallError as error:
        assert not any(one.calls for one in versions)
        return (error.status, str(error), error.retry_after_ms)
    ((number, call),) = [(index, call) for index, one in enumerate(versions) for call in one.calls]
    inputs = [held(array) for array in call.inputs]
    place = (call.lane, call.rows, call.nbytes, call.level)
    call.completion.finish([answer_for(call.signature.outputs_by_alias[alias]) for alias in call.outputs])
    return (number, call.signature.name, call.outputs, inputs, place, reply.expires, reply.answer())


@pytest.fixture
def never_parsed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call of this on, whatever is parsed fails the test."""

    def parse(message: Message) -> Any:
        raise AssertionError("parsed")

    return lambda: monkeypatch.setattr(decode, "parse_request", parse)


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_form_that_is_known_is_not_parsed_again_and_means_the_same(
    name: str, kind: Callable[[bytes], Message], never_parsed: Callable[[], None]
) -> None:
    model = version()
    hot = Predict(registry_of(model))
    once = outcome(hot, kind(GOOD[name]), model)
    # Doubles are refused, each time anew.
    if name != "typed double":
        never_parsed()
    assert outcome(hot, kind(GOOD[name]), model) == once


def test_large_message_of_a_known_form_is_not_parsed_and_its_array_is_a_view(
    never_parsed: Callable[[], None],
) -> None:
    model = version()
    hot = Predict(registry_of(model))
    rows = WORTH_CUTTING // 8
    outcome(hot, floats(rows=rows, y=None).SerializeToString(), model)
    never_parsed()
    message = bytearray(floats(5, rows=rows, y=None).SerializeToString())
    model.calls.clear()
    hot(message, FakeReply())
    x, y = model.calls[0].inputs
    assert (x == 5).all()
    assert np.shares_memory(x, np.frombuffer(message, np.uint8))
    assert np.shares_memory(y, DEFAULT_Y)


def test_strings_tell_forms_apart() -> None:
    model = version()
    hot = Predict(registry_of(model))
    for words in (strings(b"a", b"bcd"), strings(b"ab", b"cd"), strings(b"a", b"bcd")):
        hot(mixed(words).SerializeToString(deterministic=True), FakeReply())
        assert model.calls[-1].inputs[-1].tolist() == words.tolist()


def test_shapes_are_held_against_the_signature_only_if_the_settings_say_so() -> None:
    message = request({name: np.ones((1, 1), np.float32) for name in "xy"}).SerializeToString()
    ours = version()
    for settings in (None, PredictionSettings(), PredictionSettings(strict_shapes=False)):
        assert outcome(Predict(registry_of(ours), settings), message, ours)[0] == 0
    strict = Predict(registry_of(ours), PredictionSettings(strict_shapes=True))
    told = "input 'x' has shape [1,1], the signature says [-1,2]"
    # Twice: nothing that was refused is remembered as a form.
    for _ in range(2):
        assert outcome(strict, message, ours)[:2] == (InvalidCall.status, told)
    assert outcome(strict, floats().SerializeToString(), ours)[0] == 0


@given(st.data())
def test_any_message_means_what_it_means_to_a_server_that_knows_no_form(data: st.DataObject) -> None:
    base = GOOD[data.draw(st.sampled_from(sorted(GOOD)))]
    model = version()
    registry = registry_of(model)
    warm = Predict(registry)
    outcome(warm, base, model)
    message = data.draw(mutated(base))
    kind = data.draw(st.sampled_from([bytes, bytearray, memoryview]))
    cold = outcome(Predict(registry), message, model)
    assert outcome(warm, kind(message), model) == cold
    # Now that it may have been learned itself.
    assert outcome(warm, kind(message), model) == cold
    assert outcome(warm, base, model) == outcome(Predict(registry), base, model)


@given(st.data())
def test_whatever_is_published_and_drained_a_call_reaches_the_version_that_is_live(
    data: st.DataObject,
) -> None:
    """Signatures differ between versions, too: what one takes another may refuse."""
    registry = Registry()
    warm = Predict(registry)
    versions: list[RecordingVersion] = []
    asked = []
    for number in (None, 0, 1, 2):
        built = floats()
        if number is not None:
            built.model_spec.version.value = number
        asked.append(built.SerializeToString(deterministic=True))
    for _ in range(data.draw(st.integers(1, 6))):
        step = data.draw(st.sampled_from(["publish", "drain"]))
        if versions and step == "drain":
            data.draw(st.sampled_from(versions)).state = State.DRAINING
        else:
            dtype = data.draw(st.sampled_from([np.float32, np.float64]))
            signature = Signature(
                "serving_default",
                (spec("x", np.float32, None, 2), spec("y", dtype, None, 2)),
                (spec("sum", np.float32, None, 2),),
            )
            versions.append(RecordingVersion("m", data.draw(st.integers(0, 2)), signature))
            registry.publish(versions[-1:])
        for message in asked:
            cold = outcome(Predict(registry), message, *versions)
            assert outcome(warm, message, *versions) == cold
            assert outcome(warm, message, *versions) == cold


def test_version_that_was_replaced_is_let_go() -> None:
    registry = registry_of(version())
    hot = Predict(registry)
    hot(GOOD["content"], FakeReply())
    gone = weakref.ref(registry.table["m"][3])
    registry.publish([version()])
    gc.collect()
    assert gone() is None
