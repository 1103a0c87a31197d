"""The best classes of an answer, with their names. Pure, but for `read_labels`.

Names are a file's, one a line, or the server's: where it knows the protocol's classification extension, it is
asked for the best classes itself, and sends ``value:index:label`` for each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hotgraph_protos.tensors import BYTES, Array

from ..descriptions import TensorMetadata

EXTENSION = "classification"
"""The server's name for it, and its parameter of an output."""


class Best(NamedTuple):
    """The best classes of each row: objects with "label" (where it is known), "index" and "value"."""

    rows: list[list[dict[str, Any]]]


def read_labels(path: Path) -> list[str]:
    """The names of classes that a file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: there are none in it.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: {error}") from None
    return labels_of(text, str(path))


def labels_of(text: str, where: str) -> list[str]:
    """Names of classes: a line for each; or JSON, a list or an object by index, whose last texts are taken.

    Raises:
        ValueError: there are none.
    """
    if where.endswith(".json"):
        try:
            return _from_json(json.loads(text))
        except (ValueError, KeyError, IndexError, RecursionError):
            raise ValueError(
                f'{where}: expected labels as ["cat", "dog"], {{"0": "cat"}} or {{"0": ["id", "cat"]}}'
            ) from None
    labels = [line.strip() for line in text.splitlines()]
    while labels and not labels[-1]:
        labels.pop()
    if not labels:
        raise ValueError(f"{where} holds no labels")
    return labels


def askable(outputs: Sequence[TensorMetadata]) -> list[str]:
    """Outputs whose best classes a server can be asked for: numbers, by row and class."""
    return [
        tensor.name
        for tensor in outputs
        if tensor.datatype != BYTES and len(tensor.shape) == 2 and tensor.shape[1] != 1
    ]


def best_of(array: Array, count: int, labels: Sequence[str] | None, name: str) -> Best | None:
    """The `count` largest values of each row along the last dimension; None: it has no classes, which are
    numbers of rank 1 or 2.

    Raises:
        ValueError: there are not as many labels as classes.
    """
    if (
        array.dtype == object
        or array.ndim not in (1, 2)
        or array.shape[-1] < 2
        or array.dtype.kind not in "fiub"
    ):
        return None
    classes = array.shape[-1]
    if labels is not None and len(labels) != classes:
        raise ValueError(f"there are {len(labels)} labels, and output '{name}' has {classes} classes")
    rows = array.reshape(-1, classes)
    if rows.dtype.kind == "f" and np.isnan(rows).any():
        rows = np.where(np.isnan(rows), -np.inf, rows)
    found = []
    for row in rows:
        order = np.argsort(-row.astype(np.float64), kind="stable")[:count]
        found.append(
            [_one(row[index], int(index), None if labels is None else labels[index]) for index in order]
        )
    return Best(found)


def best_as_told(array: Array) -> Best | None:
    """What a server has answered as classes; None: it is something else."""
    if array.dtype != object or not array.ndim:
        return None
    rows = array.reshape(-1, array.shape[-1]) if array.shape[-1] else array.reshape(len(array), 0)
    try:
        return Best([[_told(bytes(text)) for text in row] for row in rows])
    except (ValueError, TypeError):
        return None


def _told(text: bytes) -> dict[str, Any]:
    value, index, *label = text.decode().split(":", 2)
    number = float(value)
    return {**({"label": label[0]} if label else {}), "index": int(index), "value": number}


def _one(value: Any, index: int, label: str | None) -> dict[str, Any]:
    number = value.item() if value.dtype.kind in "iub" else float(str(value))
    return {**({} if label is None else {"label": label}), "index": index, "value": number}


def _from_json(value: Any) -> list[str]:
    rows = [value[str(index)] for index in range(len(value))] if isinstance(value, Mapping) else value
    if not isinstance(rows, list) or not rows:
        raise ValueError
    labels = [row[-1] if isinstance(row, list) else row for row in rows]
    if not all(isinstance(label, str) for label in labels):
        raise ValueError
    return labels
