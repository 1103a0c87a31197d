"""The schemas against the code that reads requests and writes answers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hotgraph_server.rest.tfs.predict import read_request, write_outputs
from hotgraph_server.tensors import STRING, Array

from .known import BFLOAT16, ODD, answer_schema, examples, validator, written

EVERYTHING = written(*ODD.values())


@pytest.mark.parametrize("name", ODD)
def test_every_example_is_read_as_the_inputs_of_its_signature(name: str) -> None:
    version = ODD[name]
    found = written(version)
    bodies = [body for path, _, body, _ in examples(found) if path.startswith("/v1/")]
    assert bodies or name in ("complex", "complex out", "nothing in", "large")
    for body in bodies:
        request = read_request(json.dumps(body).encode(), version.signatures)
        assert request.inputs is not None
        signature = version.signatures[request.signature]
        for spec, array in zip(signature.inputs, request.inputs, strict=True):
            assert array.dtype == spec.dtype


def test_rows_are_sent_as_rows_and_all_else_in_columns() -> None:
    found = {path: body for path, _, body, _ in examples(EVERYTHING)}
    assert "instances" in found["/v1/models/plain:predict"]
    assert "inputs" in found["/v1/models/scalars:predict"]
    assert "inputs" in found["/v1/models/fixed:predict"]
    assert found["/v1/models/two:predict"]["inputs"].keys() == {"x", "factor"}


def answers(name: str) -> list[Array]:
    """Two rows of zeros for each output."""
    (signature,) = ODD[name].signatures.values()
    return [
        np.full([2 if size is None else size for size in spec.shape or ()], b"a", object)
        if spec.dtype == STRING
        else np.zeros([2 if size is None else size for size in spec.shape or ()], spec.dtype)
        for spec in signature.outputs
    ]


ROWS = ("plain", "free", "fixed", "empty", "pictures", "of int8")


@pytest.mark.parametrize(
    ("name", "rows"),
    [*((name, True) for name in ROWS), *((name, False) for name in (*ROWS, "scalars", "two"))],
)
def test_every_answer_is_what_its_schema_says(name: str, rows: bool) -> None:
    (signature,) = ODD[name].signatures.values()
    body = json.loads(write_outputs(signature.output_aliases, answers(name), rows=rows))
    schema = answer_schema(EVERYTHING, f"/v1/models/{name.replace(' ', '%20')}:predict")
    validator(EVERYTHING, schema).validate(body)


@pytest.mark.parametrize(
    "body",
    [{}, {"predictions": [[1]]}, {"predictions": [["a", "b"]]}, {"outputs": 1}, {"error": "no"}],
    ids=str,
)
def test_no_other_answer_is(body: Any) -> None:
    assert not validator(EVERYTHING, answer_schema(EVERYTHING, "/v1/models/plain:predict")).is_valid(body)


def test_dimensions_of_one_at_the_end_may_be_missing_as_the_server_has_it() -> None:
    found = {path: schema for path, _, _, schema in examples(EVERYTHING)}
    schema = validator(EVERYTHING, found["/v1/models/fixed:predict"])
    for value in ([[1.0], [1], [2], [3]], [1.0, 1, 2, 3]):
        assert schema.is_valid({"inputs": value})
        read_request(json.dumps({"inputs": value}).encode(), ODD["fixed"].signatures)
    assert not schema.is_valid({"inputs": [1.0, 1, 2]})


def test_bfloat16_has_a_form() -> None:
    schema = answer_schema(EVERYTHING, f"/v1/models/of%20{BFLOAT16.name}:predict")
    validator(EVERYTHING, schema).validate({"predictions": [[0.5, 1]]})
