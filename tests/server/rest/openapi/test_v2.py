from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.protocols.v2 import codec
from hotgraph_server.rest.openapi import v2
from hotgraph_server.rest.openapi.description import Form, SignatureDescription, Tensor
from hotgraph_server.rest.v2 import infer_request
from hotgraph_server.rest.v2.infer_answer import Head, write_answer

from .known import ODD, answer_schema, examples, validator, written

EVERYTHING = written(*ODD.values())
X = Tensor("x", "FP32", "float32", (None, 2))
ONE = np.ones((1, 2), np.float32)


def answer(outputs: Any, **more: Any) -> Any:
    return {"model_name": "plain", "model_version": "1", "outputs": outputs, **more}


def is_answer(body: Any) -> bool:
    schema = answer_schema(EVERYTHING, "/v2/models/plain/infer")
    return bool(validator(EVERYTHING, schema).is_valid(body))


@pytest.mark.parametrize(
    "output",
    [
        {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1, 2.5, "NaN", "-Infinity"]},
        {"name": "y", "datatype": "FP32", "shape": [0, 2], "data": []},
        {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
        {"name": "y", "datatype": "BYTES", "shape": [1, 1], "data": ["0.500000:1:cat"]},
    ],
    ids=["values", "nothing", "binary", "classes"],
)
def test_answers_in_every_form_match(output: Any) -> None:
    assert is_answer(answer([output]))
    assert is_answer(answer([output], id="1"))


@pytest.mark.parametrize(
    "output",
    [
        {"name": "z", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]},
        {"name": "y", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]},
        {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]},
        {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": ["a", "b"]},
        {"name": "y", "datatype": "FP32", "shape": [1, 2]},
    ],
)
def test_other_answers_do_not(output: Any) -> None:
    assert not is_answer(answer([output]))


@pytest.mark.parametrize("name", ODD)
def test_every_example_is_read_as_the_inputs_of_its_signature(name: str) -> None:
    version = ODD[name]
    bodies = [body for path, _, body, _ in examples(written(version)) if path.startswith("/v2/")]
    assert bodies or name in ("complex", "large")
    for body in bodies:
        described = infer_request.read_json(json.dumps(body).encode(), with_length=False)
        request = ModelInferRequest.FromString(described.request)
        named = request.parameters["signature_name"].string_param
        signature = version.signatures[named] if named else version.default_signature
        assert signature is not None
        raw = [bytes(one) if isinstance(one, bytes) else one.tobytes() for one in described.contents]  # type: ignore[union-attr]
        inputs = codec.decode_inputs(request, signature, name, batched=False, raw=raw)
        assert [array.dtype for array in inputs] == [spec.dtype for spec in signature.inputs]


@pytest.mark.parametrize("name", sorted(ODD.keys() - {"complex"}))
def test_every_answer_is_what_its_schema_says(name: str) -> None:
    version = ODD[name]
    signature = next(iter(version.signatures.values()))
    specs = [spec for spec in signature.outputs if spec.dtype.kind != "c"]
    arrays = [
        np.zeros([2 if size is None else size for size in spec.shape or ()], spec.dtype) for spec in specs
    ]
    for array in arrays:
        array.fill({"O": b"a", "f": np.nan}.get(array.dtype.kind, 1))
    content = write_answer(Head(version.name, version.number, "an id"), specs, arrays, [False] * len(specs))
    schema = answer_schema(EVERYTHING, f"/v2/models/{quote(name, safe='')}/infer")
    validator(EVERYTHING, schema).validate(json.loads(b"".join(content)))


def test_data_may_be_nested() -> None:
    schemas = {path: schema for path, _, _, schema in examples(EVERYTHING)}
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3.5, 4]]}
    assert validator(EVERYTHING, schemas["/v2/models/plain/infer"]).is_valid({"inputs": [tensor]})


def test_a_call_of_a_sequence_begins_and_ends_one() -> None:
    body = v2.example("", [X], [X], {"x": ONE}, sequence=True)
    assert body["parameters"] == {"sequence_id": 1, "sequence_start": True, "sequence_end": True}
    form = Form((X,), (X,))
    one = SignatureDescription("serving_default", form, form, True, True)
    schema = validator(EVERYTHING, v2.request(one, sequences=True))
    assert schema.is_valid(body)
    assert not schema.is_valid({"inputs": body["inputs"]})


def test_an_input_that_json_cannot_carry_matters_only_where_it_must_be_sent() -> None:
    odd = Tensor("z", None, "complex64", ())
    assert "'z' is complex64" in v2.why_not([X, odd], [X])
    assert not v2.why_not([X, odd._replace(optional=True)], [X])
    assert not v2.why_not([X], [X, odd])
    assert v2.why_not([X], [odd])
