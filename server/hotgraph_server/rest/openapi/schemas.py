"""What tensors look like in JSON, as JSON Schema 2020-12, which OpenAPI 3.1 takes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hotgraph_server.signatures import Shape

Schema = dict[str, Any]

MAX_DIMENSION = 2**31 - 1
MAX_RANK = 32

_FLOATS = {"FP16": 65504.0, "BF16": 3.3895313892515355e38, "FP32": 3.4028234663852886e38, "FP64": None}
_INTEGERS = {f"{sign}INT{bits}": (sign, bits) for sign in ("", "U") for bits in (8, 16, 32, 64)}

DATATYPES = ("BOOL", *_INTEGERS, *_FLOATS, "BYTES")
"""Those that a call in JSON can carry."""

B64: Schema = {
    "type": "object",
    "required": ["b64"],
    "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    "additionalProperties": False,
}


def ref(name: str, kind: str = "schemas") -> Schema:
    """What stands for one of the document's components."""
    return {"$ref": f"#/components/{kind}/{name}"}


def components() -> dict[str, Schema]:
    """The schemas of single values, by their names."""
    found: dict[str, Schema] = {"Bytes": {"title": "bytes in base64", **B64}}
    for datatype in DATATYPES:
        found[f"{datatype}.value"] = _value(datatype)
    for datatype in _FLOATS:
        found[f"{datatype}.any"] = {
            "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
            "title": datatype,
            # What is shown where an answer is; made from the above it would be odd.
            "examples": [0.5],
        }
    return found


def value(datatype: str) -> Schema:
    """A single value of a request under /v1."""
    return ref(f"{datatype}.value")


def answered_value(datatype: str) -> Schema:
    """A single value of an answer under /v1."""
    return {"type": "number"} if datatype in _FLOATS else value(datatype)


def any_value(datatype: str) -> Schema:
    """A single value under /v2, where floats may be none."""
    return ref(f"{datatype}.any") if datatype in _FLOATS else value(datatype)


def flat(item: Schema, count: int | None = None) -> Schema:
    """A list; of so many, if that is known."""
    found: Schema = {"type": "array", "items": item}
    if count is not None:
        found |= {"minItems": count, "maxItems": count}
    return found


def nested(item: Schema, shape: Sequence[int | None]) -> Schema:
    """Lists of lists, or a bare value for a scalar."""
    for size in reversed(shape):
        item = flat(item, size)
    return item


def nested_loosely(item: Schema, shape: Sequence[int | None]) -> Schema:
    """Lists of lists, where dimensions of size 1 at the end may be missing."""
    found, trailing = item, True
    for size in reversed(shape):
        listed = flat(found, size)
        trailing = trailing and size == 1
        found = {"anyOf": [item, listed]} if trailing else listed
    return found


def shape_schema(shape: Shape | None) -> Schema:
    """Of the list that says a tensor's shape."""
    if shape is None:
        return {"type": "array", "items": _dimension(None), "maxItems": MAX_RANK, "examples": [[1]]}
    example = [1 if size is None else size for size in shape]
    found: Schema = {
        "type": "array",
        "minItems": len(shape),
        "maxItems": len(shape),
        "examples": [example],
    }
    if shape:
        found["prefixItems"] = [_dimension(size) for size in shape]
    return found


def shape_text(shape: Shape | None) -> str:
    """For people: -1 where a dimension is free."""
    if shape is None:
        return "of any rank"
    return f"[{', '.join('-1' if size is None else str(size) for size in shape)}]"


def an_object(
    properties: Mapping[str, Any], required: Sequence[str] = (), *, closed: bool = False, **more: Any
) -> Schema:
    """An object that may have other members too, unless it is `closed`."""
    found: Schema = {"type": "object", "properties": dict(properties), **more}
    if required:
        found["required"] = list(required)
    if closed:
        found["additionalProperties"] = False
    return found


def any_of(schemas: Sequence[Schema]) -> Schema:
    """One of these; without any: anything."""
    if len(schemas) == 1:
        return schemas[0]
    return {"anyOf": list(schemas)} if schemas else {}


def _dimension(size: int | None) -> Schema:
    if size is None:
        return {"type": "integer", "minimum": 0, "maximum": MAX_DIMENSION}
    return {"type": "integer", "const": size}


def _value(datatype: str) -> Schema:
    if datatype == "BOOL":
        return {"type": "boolean", "title": datatype}
    if datatype == "BYTES":
        return {"anyOf": [{"type": "string"}, ref("Bytes")], "title": datatype}
    if datatype in _INTEGERS:
        sign, bits = _INTEGERS[datatype]
        lowest, highest = (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return {"type": "integer", "minimum": lowest, "maximum": highest, "title": datatype, "examples": [1]}
    most = _FLOATS[datatype]
    limits = {} if most is None else {"minimum": -most, "maximum": most}
    return {"type": "number", **limits, "title": datatype}
