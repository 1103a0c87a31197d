"""ModelInfer with its templates: a message never means anything else because of what came before it."""

from __future__ import annotations

import gc
import math
import time
import weakref
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos import open_inference as pb
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.protocols.v2 import codec
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.message_fields import WORTH_CUTTING, Message

from ..fakes import FakeReply, RecordingVersion, float_signature, spec
from ..mutations import held, mutated

DEFAULT_Y = np.array([[7, 8]], np.float32)
MIXED = Signature(
    "mixed",
    (
        spec("flags", np.bool_, None, 2),
        spec("doubles", np.float64, None),
        spec("bytes", np.int8, None, 3),
        spec("halves", ml_dtypes.bfloat16, None),
        spec("words", STRING, None),
    ),
    (spec("words", STRING, None), spec("count", np.int64)),
)
SCALED = Signature(
    "scaled", (spec("x", np.float32, None), spec("by", np.float32)), (spec("y", np.float32, None),)
)


def version(number: int = 3, **more: Any) -> RecordingVersion:
    """Model "m": floats with a default by default, `mixed` and `scaled` for the rest."""
    floats = float_signature(defaults={"y": DEFAULT_Y})
    return RecordingVersion("m", number, floats, MIXED, SCALED, **more)


def registry_of(*versions: RecordingVersion) -> Registry:
    registry = Registry()
    registry.publish(versions)
    return registry


def floats(
    x: float = 1, *, rows: int = 1, y: float | None = 2, typed: bool = False, **fields: Any
) -> pb.ModelInferRequest:
    """A good call of the floats."""
    built = pb.ModelInferRequest(**{"model_name": "m", **fields})
    for name, value in (("x", x), ("y", y)):
        if value is not None:
            tensor = built.inputs.add(name=name, datatype="FP32", shape=[rows, 2])
            array = np.full((rows, 2), value, np.float32)
            if typed:
                tensor.contents.fp32_contents.extend(array.ravel().tolist())
            else:
                built.raw_input_contents.append(array.tobytes())
    return built


def mixed(*, typed: bool = False) -> pb.ModelInferRequest:
    """A good call of `mixed`, two rows."""
    built = pb.ModelInferRequest(model_name="m", id="mix")
    built.parameters["signature_name"].string_param = "mixed"
    for name, datatype, shape, contents in (
        ("doubles", "FP64", [2], np.array([1, 2], np.float64).tobytes()),
        ("flags", "BOOL", [2, 2], b"\0\1\2\0"),
        ("bytes", "INT8", [2, 3], b"\0\1\2\3\4\5"),
        ("halves", "BF16", [2], b"\0\1\2\3"),
        ("words", "BYTES", [2], b"\1\0\0\0a\2\0\0\0bc"),
    ):
        built.inputs.add(name=name, datatype=datatype, shape=shape)
        built.raw_input_contents.append(contents)
    if typed:
        # BF16 travels raw only, so this one is refused; what it says shall not depend on what came before.
        del built.raw_input_contents[:]
        built.inputs[0].contents.fp64_contents.extend([1, 2])
        built.inputs[1].contents.bool_contents.extend([True, False, True, True])
    return built


def scaled() -> pb.ModelInferRequest:
    """A good call of `scaled`: only those with an equal scalar may share a batch with it."""
    built = pb.ModelInferRequest(model_name="m")
    built.parameters["signature_name"].string_param = "scaled"
    for name, shape, contents in (("x", [2], b"\0\0\x80\x3f" * 2), ("by", [], b"\0\0\0\x40")):
        built.inputs.add(name=name, datatype="FP32", shape=shape)
        built.raw_input_contents.append(contents)
    return built


def good_messages() -> dict[str, bytes]:
    """One of each form that callers send."""
    timed = floats(id="t")
    timed.parameters["timeout"].int64_param = 10**9
    chosen = floats(model_version="3")
    for alias in ("difference", "sum"):
        chosen.outputs.add(name=alias)
    classes = floats()
    classes.outputs.add(name="sum").parameters["classification"].int64_param = 1
    custom = floats()
    custom.parameters["priority"].uint64_param = 2**64 - 1
    custom.parameters["sequence_id"].string_param = "of no meaning here"
    custom.parameters["mine"].double_param = 0.5
    requests = {
        "raw": floats(),
        "classes": classes,
        "custom": custom,
        "raw with id": floats(id="call-1é"),
        "raw with default": floats(y=None),
        "typed": floats(typed=True, id="typed"),
        "timed": timed,
        "chosen": chosen,
        "mixed": mixed(),
        "mixed typed": mixed(typed=True),
        "many rows": floats(rows=8),
        "scaled": scaled(),
    }
    return {name: request.SerializeToString() for name, request in requests.items()}


GOOD = good_messages()


def answer_for(output: TensorSpec) -> Array:
    """An array that the output may have."""
    shape = [2] * len(output.shape or ())
    return np.full(shape, b"w" if output.dtype == STRING else 0, output.dtype)


def outcome(hot: Infer, message: Message, *versions: RecordingVersion) -> tuple[object, ...]:
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
    outputs = [call.signature.outputs_by_alias[alias] for alias in call.outputs]
    call.completion.finish(
        [
            np.full([2] * len(one.shape or ()), b"w" if one.dtype == STRING else 0, one.dtype)
            for one in outputs
        ]
    )
    ends = (call.deadline < math.inf, (reply.expires or math.inf) < math.inf)
    return (number, call.signature.name, call.outputs, inputs, place, ends, reply.answer())


@pytest.fixture
def never_parsed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call of this on, whatever is parsed fails the test."""

    def parse(message: Message) -> Any:
        raise AssertionError("parsed")

    return lambda: monkeypatch.setattr(codec, "parse_request", parse)


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_form_that_is_known_is_not_parsed_again_and_means_the_same(
    name: str, kind: Callable[[bytes], Message], never_parsed: Callable[[], None]
) -> None:
    model = version()
    hot = Infer(registry_of(model))
    once = outcome(hot, kind(GOOD[name]), model)
    if name != "mixed typed":
        never_parsed()
    assert outcome(hot, kind(GOOD[name]), model) == once


def test_large_message_of_a_known_form_is_not_parsed_and_its_array_is_a_view(
    never_parsed: Callable[[], None],
) -> None:
    # The default has one row.
    model = version(alone="reason")
    hot = Infer(registry_of(model))
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


def test_ids_of_one_length_are_of_one_form(never_parsed: Callable[[], None]) -> None:
    model = version()
    hot = Infer(registry_of(model))
    outcome(hot, floats(id="call-1").SerializeToString(), model)
    never_parsed()
    answer = outcome(hot, floats(3, id="call-2").SerializeToString(), model)[-1]
    assert isinstance(answer, bytes)
    assert pb.ModelInferResponse.FromString(answer).id == "call-2"
    model.refusal = InvalidCall("no room")
    with pytest.raises(CallError, match=r"^\[request id: call-3\] no room$"):
        hot(floats(3, id="call-3").SerializeToString(), FakeReply())


@given(st.data())
def test_any_message_means_what_it_means_to_a_server_that_knows_no_form(data: st.DataObject) -> None:
    base = GOOD[data.draw(st.sampled_from(sorted(GOOD)))]
    model = version(alone=data.draw(st.sampled_from([None, "reason"])))
    registry = registry_of(model)
    warm = Infer(registry)
    outcome(warm, base, model)
    message = data.draw(mutated(base))
    kind = data.draw(st.sampled_from([bytes, bytearray, memoryview]))
    cold = outcome(Infer(registry), message, model)
    assert outcome(warm, kind(message), model) == cold
    # Now that it may have been learned itself.
    assert outcome(warm, kind(message), model) == cold
    assert outcome(warm, base, model) == outcome(Infer(registry), base, model)


@given(st.data())
def test_whatever_is_published_and_drained_a_call_reaches_the_version_that_is_live(
    data: st.DataObject,
) -> None:
    """Signatures differ between versions, too: what one takes another may refuse."""
    registry = Registry()
    warm = Infer(registry)
    versions: list[RecordingVersion] = []
    asked = [floats(model_version=number).SerializeToString() for number in ("", "1", "2")]
    for _ in range(data.draw(st.integers(1, 6))):
        step = data.draw(st.sampled_from(["publish", "publish", "drain", "share"]))
        if step == "publish":
            shape = data.draw(st.sampled_from([(None, 2), (1, 2), (None, 3)]))
            signature = Signature(
                "serving_default",
                (spec("x", np.float32, *shape), spec("y", np.float32, *shape)),
                (spec("sum", np.float32, *shape),),
            )
            versions.append(RecordingVersion("m", data.draw(st.integers(1, 2)), signature))
            registry.publish(versions[-1:])
        elif versions and step == "drain":
            data.draw(st.sampled_from(versions)).state = State.DRAINING
        elif versions:
            data.draw(st.sampled_from(versions)).unbatched_reasons = {
                "serving_default": data.draw(st.sampled_from([None, "reason"]))
            }
        for message in asked:
            cold = outcome(Infer(registry), message, *versions)
            assert outcome(warm, message, *versions) == cold
            assert outcome(warm, message, *versions) == cold


def test_version_that_was_replaced_is_let_go() -> None:
    registry = registry_of(version())
    hot = Infer(registry)
    hot(GOOD["raw"], FakeReply())
    gone = weakref.ref(registry.table["m"][3])
    registry.publish([version()])
    gc.collect()
    assert gone() is None


def test_rows_are_checked_as_soon_as_calls_share_batches() -> None:
    """A form that was learned while they ran alone says nothing about it."""
    model = version(alone="reason")
    hot = Infer(registry_of(model))
    built = floats(rows=2)
    built.inputs[1].shape[0] = 1
    built.raw_input_contents[1] = DEFAULT_Y.tobytes()
    message = built.SerializeToString()
    outcome(hot, message, model)
    model.unbatched_reasons = dict.fromkeys(model.unbatched_reasons)
    with pytest.raises(InvalidCall, match="batch size does not match"):
        hot(message, FakeReply())


def test_timeout_parameter_is_a_deadline_and_the_sooner_one_counts() -> None:
    model = version()
    hot = Infer(registry_of(model))
    built = floats()
    built.parameters["timeout"].int64_param = 2_000_000
    message = built.SerializeToString()
    for _ in range(2):
        before = time.monotonic()
        for own in (math.inf, before + 1):
            reply = FakeReply(own)
            hot(message, reply)
            deadline = model.calls[-1].deadline
            if own < math.inf:
                assert deadline == own
                assert reply.expires is None
            else:
                assert before + 2 <= deadline <= time.monotonic() + 2
                assert reply.expires == deadline


def test_deadline_that_the_model_sets_is_told_to_the_transport() -> None:
    class Impatient(RecordingVersion):
        def record(self, request: Request) -> Call:
            request.deadline = 5.0
            return super().record(request)

    hot = Infer(registry_of(Impatient("m", 3, float_signature())))
    for _ in range(2):
        reply = FakeReply()
        hot(GOOD["raw"], reply)
        assert reply.expires == 5.0


def test_priority_parameter_is_the_calls() -> None:
    model = version()
    hot = Infer(registry_of(model))
    built = floats()
    built.parameters["priority"].uint64_param = 7
    for _ in range(2):
        hot(built.SerializeToString(), FakeReply())
        assert model.calls[-1].level == 7


def test_calls_of_a_known_form_wait_in_the_lane_of_those_that_were_read() -> None:
    model = version()
    hot = Infer(registry_of(model))
    for rows in (1, 8):
        hot(floats(rows=rows).SerializeToString(), FakeReply())
        read = model.calls[-1]
        hot(floats(3, rows=rows).SerializeToString(), FakeReply())
        known = model.calls[-1]
        assert known.lane is not None
        assert (known.lane, known.rows, known.nbytes) == (read.lane, rows, read.nbytes)
