"""What Classify asks of a signature, and how its answer is made. Pure.

A signature is judged by its tensors and not by its `method_name`: every signature that TensorFlow 2 exports
calls itself a prediction.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.tfs.tensor_proto import dtype_name
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.message_fields import header

METHOD_NAME = "tensorflow/serving/classify"

INPUT = "inputs"
_LABELS, _SCORES = "classes", "scores"

# classification.proto: ClassificationResult.classifications, Classifications.classes, Class.label and .score.
_ROW, _CLASS, _LABEL = 1, 1, 1
_SCORE_TAG = b"\x15"


class Classes(NamedTuple):
    """What an answer holds, checked; of the two one may be missing.

    Attributes:
        labels: bytes [examples, classes].
        scores: float32 [examples, classes].
    """

    labels: Array | None
    scores: Array | None


def outputs_of(signature: Signature) -> tuple[str, ...]:
    """The outputs that make a classification.

    Raises:
        InvalidCall: `signature` cannot classify.
    """
    if len(signature.inputs) != 1:
        raise InvalidCall("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise InvalidCall(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUT not in signature.inputs_by_alias:
        raise InvalidCall(
            f"No classification inputs found in SignatureDef: {signature.name} has "
            f"the input {signature.inputs[0].alias!r}, expected {INPUT!r}"
        )
    wanted = tuple(alias for alias in (_LABELS, _SCORES) if alias in signature.outputs_by_alias)
    if not wanted:
        raise InvalidCall(
            f'Expected classification signature outputs to contain at least one of "{_LABELS}" or '
            f'"{_SCORES}". Signature was: {signature.name} with {", ".join(signature.output_aliases)}'
        )
    return wanted


def classes_of(outputs: Sequence[str], arrays: Sequence[Array], examples: int) -> Classes:
    """What a run of `outputs_of` gave for that many examples.

    Raises:
        InvalidCall: it is no classification of them.
    """
    found = dict(zip(outputs, arrays, strict=True))
    labels, scores = found.get(_LABELS), found.get(_SCORES)
    if labels is not None:
        _check(_LABELS, labels, STRING, examples)
    if scores is not None:
        _check(_SCORES, scores, np.dtype(np.float32), examples)
    if labels is not None and scores is not None and labels.shape[1] != scores.shape[1]:
        raise InvalidCall(
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    return Classes(labels, scores)


def encode_result(outputs: Sequence[str], arrays: Sequence[Array], examples: int) -> bytes:
    """A ClassificationResult's bytes; see `classes_of`.

    A label is sent as the bytes that it is, UTF-8 or not, as TensorFlow Serving does.
    """
    labels, scores = classes_of(outputs, arrays, examples)
    if labels is None:
        assert scores is not None
        return b"".join(header(_ROW, len(row)) + row for row in _rows_of_scores(scores))
    parts: list[bytes] = []
    for index, row in enumerate(labels):
        if scores is None:
            classes = [_class_with(label, False) for label in row]
        else:
            memory = scores[index].astype("<f4", copy=False).tobytes()
            classes = [
                _class_with(label, True) + memory[at : at + 4]
                for label, at in zip(row, range(0, len(memory), 4), strict=True)
            ]
        length = sum(map(len, classes))
        parts += (header(_ROW, length), *classes)
    return b"".join(parts)


def _check(kind: str, array: Array, dtype: np.dtype[Any], examples: int) -> None:
    if array.ndim != 2:
        shape = ",".join(map(str, array.shape))
        raise InvalidCall(f"Expected Tensor shape: [batch_size num_classes] but got [{shape}]")
    if array.dtype != dtype:
        raise InvalidCall(f"Expected {kind} Tensor of {dtype_name(dtype)}. Got: {dtype_name(array.dtype)}")
    if len(array) != examples:
        raise InvalidCall(f"Expected {kind} output batch size of {examples}. Got: {len(array)}")


def _rows_of_scores(scores: Array) -> list[bytes]:
    """Classifications whose classes are scores alone, each of which takes the same number of bytes."""
    head = np.frombuffer(header(_CLASS, len(_SCORE_TAG) + 4) + _SCORE_TAG, np.uint8)
    rows = np.empty((*scores.shape, len(head) + 4), np.uint8)
    rows[..., : len(head)] = head
    rows[..., len(head) :] = np.ascontiguousarray(scores, "<f4").view(np.uint8).reshape(*scores.shape, 4)
    return [row.tobytes() for row in rows]


# The labels of a model are few, and come with every answer.
@functools.lru_cache(maxsize=4096)
def _class_with(label: bytes, scored: bool) -> bytes:
    """A Class as far as its label goes; if it is `scored` the four bytes of its score follow."""
    text = header(_LABEL, len(label)) + label
    if not scored:
        return header(_CLASS, len(text)) + text
    return header(_CLASS, len(text) + len(_SCORE_TAG) + 4) + text + _SCORE_TAG
