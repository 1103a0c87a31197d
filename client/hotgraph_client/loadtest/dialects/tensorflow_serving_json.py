"""TensorFlow Serving over HTTP: `:predict` with JSON in rows or in columns. Pure.

Rows (`instances`, `predictions`) are what most callers send, and need all tensors to have their rows along
dimension 0; columns (`inputs`, `outputs`) take any. JSON knows no datatypes: answers take those of the
signature, and from it the name of an output that stands alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hotgraph_protos.tensors import BYTES, Array

from ...descriptions import TensorMetadata
from ..load import Answer, Payload
from .datatypes import COMPLEX, datatype_of, dtype_of
from .description import Description, TargetError, is_free
from .tensorflow_serving import model_path

_JSON = (("content-type", "application/json"),)


class ServingJson:
    """Predict over HTTP.

    Args:
        version: that calls ask for, a number or a label; empty: the server's choice.
        rows: send rows; None: where all tensors of the signature have them.
    """

    def __init__(self, description: Description, *, version: str, rows: bool | None = None) -> None:
        self.description = description
        self._path = f"{model_path(description.model, version)}:predict"
        tensors = (*description.inputs, *description.outputs)
        self._rows = all(map(is_free, tensors)) if rows is None else rows

    def payload(self, inputs: Mapping[str, Array]) -> Payload:
        """See Dialect."""
        values = {name: _plain(name, array) for name, array in inputs.items()}
        body: dict[str, Any] = {"signature_name": self.description.signature}
        if (
            self._rows
            and values
            and len({len(array) for array in inputs.values()}) == 1
            and len(next(iter(inputs.values())))
        ):
            body["instances"] = _in_rows(values, len(self.description.inputs))
        else:
            body["inputs"] = values
        return Payload(self._path, _JSON, _written(body), self.description.rows_of(inputs))

    def read(self, answer: Answer) -> dict[str, Array]:
        """See Dialect."""
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is no JSON: {error}") from None
        if not isinstance(body, dict):
            raise ValueError(f"expected an object of JSON, got a {type(body).__name__}")
        if "outputs" in body:
            return self._columns(body["outputs"])
        if "predictions" in body:
            return self._from_rows(body["predictions"])
        raise ValueError("it has neither 'outputs' nor 'predictions'")

    def _columns(self, outputs: Any) -> dict[str, Array]:
        described = self.description.outputs
        if len(described) == 1 or not isinstance(outputs, dict):
            return {self._only().name: _array(outputs, self._only())}
        return {name: _array(value, self._tensor(name)) for name, value in outputs.items()}

    def _from_rows(self, predictions: Any) -> dict[str, Array]:
        if not isinstance(predictions, list):
            raise ValueError(f"predictions are a {type(predictions).__name__}, not a list")
        if len(self.description.outputs) == 1:
            return {self._only().name: _array(predictions, self._only())}
        if not all(isinstance(row, dict) and row.keys() == predictions[0].keys() for row in predictions):
            raise ValueError("predictions are no objects with the same names")
        names = predictions[0] if predictions else {}
        return {name: _array([row[name] for row in predictions], self._tensor(name)) for name in names}

    def _only(self) -> TensorMetadata:
        described = self.description.outputs
        if len(described) != 1:
            raise ValueError(f"one output without a name, of {len(described)}")
        return described[0]

    def _tensor(self, name: str) -> TensorMetadata:
        tensor = self.description.output(name)
        if tensor is None:
            raise ValueError(f"output '{name}' is none of the signature's")
        return tensor


def _in_rows(values: Mapping[str, list[Any]], inputs: int) -> list[Any]:
    if inputs == 1:
        (column,) = values.values()
        return column
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _plain(name: str, array: Array) -> Any:
    """Lists, or a bare value; bytes that are no text are {"b64": ...}."""
    datatype = datatype_of(array.dtype)
    if datatype is None or datatype in COMPLEX:
        raise TargetError(f"input '{name}': JSON has no form for {datatype or array.dtype}: call over gRPC")
    if datatype == BYTES:
        texts = np.empty(array.size, object)
        texts[:] = [_text(element) for element in array.ravel()]
        return texts.reshape(array.shape).tolist()
    if array.dtype.kind in "biu":
        return array.tolist()
    return _shortest(array)


def _shortest(array: Array) -> Any:
    """Floats with as few digits as give the same ones back: 0.1, and not 0.10000000149011612."""
    if array.dtype == np.float64:
        return array.tolist()
    texts = array.astype(np.float32).ravel().astype(np.str_)
    return texts.astype(np.float64).reshape(array.shape).tolist()


def _text(element: Any) -> Any:
    if isinstance(element, str):
        return element
    try:
        return element.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(element).decode()}


def _written(body: Mapping[str, Any]) -> bytes:
    # NaN and Infinity as TensorFlow Serving has them too
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _array(value: Any, tensor: TensorMetadata) -> Array:
    try:
        return _converted(value, tensor)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"output '{tensor.name}': {error}") from None


def _converted(value: Any, tensor: TensorMetadata) -> Array:
    shape = _shape(value)
    flat = _flat(value, shape)
    if tensor.datatype == BYTES:
        strings = np.empty(len(flat), object)
        strings[:] = [_bytes(element) for element in flat]
        return strings.reshape(shape)
    dtype = dtype_of(tensor.datatype)
    if not all(type(element) in (bool, int, float) for element in flat):
        raise ValueError("an element is no number")
    if dtype.kind in "biu":
        return np.array(flat, dtype).reshape(shape)
    return np.array(flat, np.float64).astype(dtype).reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _flat(value: Any, shape: Sequence[int]) -> list[Any]:
    level = [value]
    for size in shape:
        if not all(isinstance(one, list) and len(one) == size for one in level):
            raise ValueError("lists of unequal length")
        level = [element for one in level for element in one]
    return level


def _bytes(element: Any) -> bytes:
    if isinstance(element, str):
        return element.encode()
    if isinstance(element, dict) and isinstance(element.get("b64"), str):
        return base64.b64decode(element["b64"], validate=True)
    raise ValueError(f"a string is a {type(element).__name__}")
