"""Calls of a model that nothing is known of, as components of the document. Pure."""

from __future__ import annotations

from hotgraph_server.rest.openapi.schemas import (
    DATATYPES,
    Schema,
    an_object,
    any_of,
    any_value,
    flat,
    ref,
    shape_schema,
)

_NAMED: Schema = {"signature_name": {"type": "string"}}
_EXAMPLES: Schema = {"type": "array", "minItems": 1, "items": {"type": "object"}}


def generic() -> dict[str, Schema]:
    """Requests and answers of all kinds of calls, by their names."""
    return {
        "InferRequest": _infer_request(),
        "InferResponse": _infer_response(),
        "PredictRequest": {
            "anyOf": [
                an_object({**_NAMED, "instances": {"type": "array", "minItems": 1}}, ["instances"]),
                an_object({**_NAMED, "inputs": {}}, ["inputs"]),
            ]
        },
        "PredictResponse": {
            "anyOf": [
                an_object({"predictions": {"type": "array"}}, ["predictions"]),
                an_object({"outputs": {}}, ["outputs"]),
            ]
        },
        **{
            f"{what}Request": an_object(
                {**_NAMED, "examples": _EXAMPLES, "context": {"type": "object"}}, ["examples"]
            )
            for what in ("Classify", "Regress")
        },
        "ClassifyResponse": an_object(
            {"results": flat(flat({"type": "array", "minItems": 2, "maxItems": 2}))}, ["results"]
        ),
        "RegressResponse": an_object({"results": flat({"type": "number"})}, ["results"]),
    }


def _infer_request() -> Schema:
    tensor = an_object(
        {
            "name": {"type": "string"},
            "datatype": {"enum": list(DATATYPES)},
            "shape": shape_schema(None),
            "data": {"type": "array"},
            "parameters": ref("InputParameters"),
        },
        ["name", "datatype", "shape"],
    )
    output = an_object({"name": {"type": "string"}, "parameters": ref("OutputParameters")}, ["name"])
    return an_object(
        {
            "id": {"type": "string"},
            "parameters": ref("RequestParameters"),
            "inputs": flat(tensor),
            "outputs": flat(output),
        },
        ["inputs"],
    )


def _infer_response() -> Schema:
    outputs = [
        an_object(
            {
                "name": {"type": "string"},
                "datatype": {"const": datatype},
                "shape": shape_schema(None),
                "data": flat(any_value(datatype)),
            },
            ["name", "datatype", "shape", "data"],
        )
        for datatype in DATATYPES
    ]
    return an_object(
        {
            "id": {"type": "string"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": flat(any_of([*outputs, ref("ElsewhereOutput")])),
        },
        ["model_name", "model_version", "outputs"],
    )
