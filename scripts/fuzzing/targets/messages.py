"""Requests of both protocols, with the templates that are learned from them: a message that fits a template
must mean what it means when it is read by the full path."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import classification_pb2, predict_pb2

from fuzzing.mutation import Mutator
from fuzzing.targets import Target
from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError
from hotgraph_server.protocols.template import learn
from hotgraph_server.protocols.tfs import decode, examples, predict_rules
from hotgraph_server.protocols.tfs import spans as tfs_spans
from hotgraph_server.protocols.v2 import codec, outputs, spans
from hotgraph_server.protocols.v2.parameters import read_parameters
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.message_fields import WORTH_CUTTING, MalformedMessage, Span

# Large values are cut out of a message before it is parsed.
_LARGE_BYTES = 2 * WORTH_CUTTING
_WORDS = ("numbers", "flags", "texts", "x", "n", "flag", "text", "FP32", "INT32", "BOOL", "classification")
_F32, _I32, _BOOL = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)


def _signature(**dtypes: Any) -> Signature:
    specs = tuple(TensorSpec(alias, f"{alias}:0", np.dtype(dtype), None) for alias, dtype in dtypes.items())
    return Signature("serving_default", specs, specs)


_SIGNATURES = {
    "numbers": _signature(x=_F32, n=_I32),
    "flags": _signature(x=_F32, flag=_BOOL),
    "texts": _signature(text=STRING),
}

Read = Callable[[bytes], tuple[Signature, Sequence[Array], Mapping[str, Span], Span | None]]
"""The full path: a message's signature, its tensors, and where they and its one string lie. Raises CallError
and MalformedMessage."""


def _check(message: bytes, read: Read) -> None:
    try:
        signature, arrays, places, text = read(message)
    except (CallError, MalformedMessage):
        return
    cuts = [places.get(spec.alias) for spec in signature.inputs]
    template = learn(message, None, arrays, cuts, text)
    if template is None:
        return
    assert template.fits(message)
    _same(template.inputs(message), arrays)
    # Another of the same form: its tensors have other bytes.
    other = bytearray(message)
    for span in filter(None, cuts):
        for at in range(span.at, span.end):
            other[at] ^= 0xA5
    if not template.fits(bytes(other)):
        # Strings and the like are no spans, and were changed all the same.
        return
    _, others, _, _ = read(bytes(other))
    _same(template.inputs(bytes(other)), others)


def _same(found: Sequence[Array], wanted: Sequence[Array]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        # Bits but for NaNs: protobuf makes signalling ones quiet.
        floats = one.dtype.kind == "f"
        assert one.tolist() == other.tolist() or (floats and np.array_equal(one, other, equal_nan=True))


def _changing(requests: Sequence[Any]) -> Callable[[bytes, random.Random], bytes]:
    """Changes of fields; what is no message any more gives way to a valid one."""

    def change(data: bytes, chance: random.Random) -> bytes:
        try:
            message = type(requests[0]).FromString(data)
        except DecodeError:
            message = chance.choice(requests)
        return Mutator([message], _WORDS).case(chance)

    return change


def _infer() -> Target:
    x, n = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(2, dtype=np.int32)
    raw = pb.ModelInferRequest(model_name="numbers", id="one")
    raw.inputs.add(name="x", datatype="FP32", shape=[2, 3])
    raw.inputs.add(name="n", datatype="INT32", shape=[2])
    typed = pb.ModelInferRequest.FromString(raw.SerializeToString())
    raw.raw_input_contents.extend([x.tobytes(), n.tobytes()])
    typed.inputs[0].contents.fp32_contents.extend(x.ravel().tolist())
    typed.inputs[1].contents.int_contents.extend(n.tolist())
    typed.outputs.add(name="x").parameters["classification"].int64_param = 2
    flags = pb.ModelInferRequest(model_name="flags", id="two")
    flags.inputs.add(name="x", datatype="FP32", shape=[1])
    flags.inputs.add(name="flag", datatype="BOOL", shape=[3])
    flags.raw_input_contents.extend([b"abcd", b"\0\1\2"])
    flags.parameters["sequence_id"].int64_param = 7
    texts = pb.ModelInferRequest(model_name="texts")
    texts.inputs.add(name="text", datatype="BYTES", shape=[2])
    texts.raw_input_contents.append(b"\1\0\0\0a\0\0\0\0")
    large = pb.ModelInferRequest(model_name="numbers")
    large.inputs.add(name="x", datatype="FP32", shape=[1])
    large.inputs.add(name="n", datatype="INT32", shape=[4500])
    large.raw_input_contents.extend([b"abcd", bytes(18_000)])
    requests = (raw, typed, flags, texts, large)
    seeds = [one.SerializeToString() for one in requests]
    return Target(lambda data: _check(data, _read_infer), seeds, _LARGE_BYTES, _changing(requests))


def _read_infer(message: bytes) -> tuple[Signature, Sequence[Array], Mapping[str, Span], Span | None]:
    request, raw = codec.read_request(message)
    read_parameters(request)
    signature = _SIGNATURES.get(request.model_name) or _SIGNATURES["numbers"]
    arrays = codec.decode_inputs(request, signature, "m", batched=len(request.id) % 2 == 0, raw=raw)
    outputs.wanted_outputs(request, signature, "m", None, None)
    return signature, arrays, spans.tensor_spans(message, request), spans.id_span(message)


def _predict() -> Target:
    content = predict_pb2.PredictRequest()
    content.model_spec.name = "numbers"
    for alias, dtype, sizes in (("x", 1, (2, 3)), ("n", 3, (2,))):
        tensor = content.inputs[alias]
        tensor.dtype = dtype
        for size in sizes:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = bytes(range(4 * int(np.prod(sizes))))
    typed = predict_pb2.PredictRequest.FromString(content.SerializeToString())
    for alias in typed.inputs:
        typed.inputs[alias].ClearField("tensor_content")
    typed.inputs["x"].float_val.extend([0.5] * 6)
    typed.inputs["n"].int_val.append(7)
    flags = predict_pb2.PredictRequest.FromString(content.SerializeToString())
    flags.model_spec.name = "flags"
    del flags.inputs["n"]
    flags.inputs["flag"].dtype = 10
    flags.inputs["flag"].bool_val.append(True)
    texts = predict_pb2.PredictRequest()
    texts.model_spec.name = "texts"
    texts.inputs["text"].dtype = 7
    texts.inputs["text"].string_val.extend([b"a"])
    texts.output_filter.append("text")
    large = predict_pb2.PredictRequest.FromString(content.SerializeToString())
    large.inputs["x"].tensor_shape.dim[0].size = 2000
    large.inputs["x"].tensor_content = bytes(24_000)
    requests = (content, typed, flags, texts, large)
    seeds = [one.SerializeToString() for one in requests]
    return Target(lambda data: _check(data, _read_predict), seeds, _LARGE_BYTES, _changing(requests))


def _read_predict(message: bytes) -> tuple[Signature, Sequence[Array], Mapping[str, Span], Span | None]:
    request, large = decode.read_request(message)
    signature = _SIGNATURES.get(request.model_spec.name) or _SIGNATURES["numbers"]
    arrays = predict_rules.inputs_of(request, large, signature, strict_shapes=True)
    predict_rules.outputs_of(request.output_filter, signature)
    return signature, arrays, tfs_spans.tensor_spans(message, request), None


def _examples() -> Target:
    listed, with_context = (classification_pb2.ClassificationRequest() for _ in range(2))
    for request, examples_ in (
        (listed, listed.input.example_list.examples),
        (with_context, with_context.input.example_list_with_context.examples),
    ):
        request.model_spec.name = "m"
        for _ in range(2):
            examples_.add().features.feature["x"].float_list.value.extend([1, 2])
    context = with_context.input.example_list_with_context.context
    context.features.feature["c"].bytes_list.value.append(b"all")
    seeds = [request.SerializeToString() for request in (listed, with_context)]
    return Target(_run_examples, seeds, change=_changing((listed, with_context)))


def _run_examples(data: bytes) -> None:
    with contextlib.suppress(CallError):
        assert examples.examples_of(examples.read_request(data, "R").input).ndim == 1
    with contextlib.suppress(CallError):
        assert examples.examples_of(examples.read_multi_inference(data).input).ndim == 1


TARGETS = {"infer": _infer, "predict": _predict, "examples": _examples}
