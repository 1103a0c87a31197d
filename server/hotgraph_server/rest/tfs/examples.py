"""Classify's and Regress' requests and responses as JSON. Pure.

An example is an object with a value or a list of values for each feature. What kind of feature it is, the
values say: numbers with a point or an exponent are floats, those without, true and false are integers,
strings and ``{"b64": "..."}`` are bytes; a list is of one kind. ``context`` is an example too, whose features
all the others share.

Requests are written as the bytes of TensorFlow Serving's messages, without their classes: those bring
TensorFlow with them, and very large JSON is read in a process that has none. Results come in as messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.json.tensors import is_b64, read_b64, read_string
from hotgraph_server.rest.json.text import Text, kind_of, read, shown, signature_name, write
from hotgraph_server.transport.message_fields import header, varint

# Field numbers: of a request's input; of Input, ExampleList and ExampleListWithContext; of Example, Features
# and an entry of its map; of Feature, and of the list that it is.
_INPUT = 2
_LIST, _LIST_WITH_CONTEXT, _EXAMPLE, _CONTEXT = 1, 2, 1, 2
_FEATURES, _ENTRY, _KEY, _VALUE = 1, 1, 1, 2
_BYTES, _FLOATS, _INTEGERS, _ITEM = 1, 2, 3, 1

_LARGEST_FLOAT = float(np.finfo(np.float32).max)
_INT64 = range(-(2**63), 2**63)


def read_request(body: Text) -> tuple[str, bytes]:
    """A Classify or Regress request from its body.

    Returns:
        The signature that it names, and the bytes of a ClassificationRequest or RegressionRequest that has
        its examples alone.

    Raises:
        InvalidCall: it is no JSON, or there are no examples, or one is none.
    """
    request = read(body)
    name = signature_name(request)
    read_string(name)  # what no protobuf string can hold must not get into one
    return name, _field(_INPUT, _input(request))


def write_classes(result: Any) -> bytes:
    """A ClassificationResult's JSON: for each example a list of ``[label, score]``.

    Raises:
        InvalidCall: it is empty.
    """
    if not result.classifications:
        raise InvalidCall("Cannot convert empty ClassificationResults to JSON")
    scores = [[one.score for one in row.classes] for row in result.classifications]
    results = [[[one.label, np.float32(one.score)] for one in row.classes] for row in result.classifications]
    return write({"results": results}, finite=all(bool(np.isfinite(row).all()) for row in scores))


def write_values(result: Any) -> bytes:
    """A RegressionResult's JSON: a number for each example.

    Raises:
        InvalidCall: it is empty.
    """
    if not result.regressions:
        raise InvalidCall("Cannot convert empty RegressionResults to JSON")
    values = np.array([one.value for one in result.regressions], np.float32)
    return write({"results": values}, finite=bool(np.isfinite(values).all()))


def _input(body: Mapping[str, Any]) -> bytes:
    """A tensorflow.serving.Input."""
    context = _field(_CONTEXT, _example(body["context"])) if "context" in body else b""
    if "examples" not in body:
        raise InvalidCall(
            f"JSON Value: {shown(body)} When method is classify, key 'examples' is expected and was not found"
        )
    examples = body["examples"]
    if not isinstance(examples, list):
        raise InvalidCall(f"JSON Value: {shown(body)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise InvalidCall(f"JSON Value: {shown(body)} 'examples' value is an empty array")
    listed = b"".join([_field(_EXAMPLE, _example(example)) for example in examples])
    return _field(_LIST_WITH_CONTEXT if context else _LIST, listed + context)


def _example(value: Any) -> bytes:
    """A tensorflow.Example."""
    if not isinstance(value, dict):
        raise InvalidCall(f"Example must be JSON object but got JSON {kind_of(value)}")
    features = []
    for name, content in value.items():
        key = _field(_KEY, read_string(name))
        # Also a feature without values is there.
        feature = _feature(name, content if isinstance(content, list) else [content])
        features.append(_field(_ENTRY, key + _field(_VALUE, feature)))
    return _field(_FEATURES, b"".join(features))


def _feature(name: str, values: Sequence[Any]) -> bytes:
    """A tensorflow.Feature."""
    found: list[Any] = []
    kind = ""
    for value in values:
        before, kind = kind, _kind_of_feature(name, value)
        if before and kind != before:
            raise InvalidCall(f"Unexpected element type in feature: {name} expecting type: {before}")
        if kind == "bytes":
            found.append(read_b64(value) if isinstance(value, dict) else read_string(value))
        elif kind == "float":
            if _LARGEST_FLOAT < abs(value) < float("inf"):
                raise InvalidCall(
                    f"Cannot convert JSON value: {shown(value)} to float without loss of precision."
                )
            found.append(value)
        else:
            if value not in _INT64:
                raise InvalidCall(f"Feature: {name} has uint64 element. Only int64 is supported.")
            found.append(int(value))
    if kind == "bytes":
        return _field(_BYTES, b"".join([_field(_ITEM, one) for one in found]))
    if kind == "float":
        return _field(_FLOATS, _field(_ITEM, np.array(found, "<f4").tobytes()))
    if kind == "int64":
        # Negative ones as the 64 bits that they are.
        return _field(_INTEGERS, _field(_ITEM, b"".join([varint(one % 2**64) for one in found])))
    return b""


def _field(number: int, value: bytes) -> bytes:
    return header(number, len(value)) + value


def _kind_of_feature(name: str, value: Any) -> str:
    """``bytes``, ``float`` or ``int64``."""
    if isinstance(value, str) or is_b64(value):
        return "bytes"
    if isinstance(value, float):
        return "float"
    if isinstance(value, int):
        return "int64"
    raise InvalidCall(f"Feature: {name} has element with unexpected JSON type: {kind_of(value)}")
