"""Where the tensors' bytes lie in a Predict message, for a template (protocols/template.py). Pure."""

from __future__ import annotations

from typing import Any

from tensorflow_serving.apis import predict_pb2

from hotgraph_server.transport.message_fields import Message, Span, values_of

_INPUTS = predict_pb2.PredictRequest.INPUTS_FIELD_NUMBER
# Every map on the wire is a row of entries with these two fields.
_KEY, _VALUE = 1, 2
# Fields of TensorProto: of any dtype's bytes, and, by dtype number, those whose packed form is the array's
# memory; the other typed fields hold numbers of any length.
_CONTENT = 4
_PACKED = {1: 5, 2: 6}


def tensor_spans(message: Message, request: Any) -> dict[str, Span]:
    """By alias, where the one value lies that holds its tensor; inputs without such a value are left out.

    Args:
        request: the PredictRequest that `message` was found to hold, with or without its large values.

    Raises:
        MalformedMessage: `message` is none that this module can walk through.
    """
    view = memoryview(message)
    entries = values_of(view, _INPUTS)
    if len(entries) != len(request.inputs):
        # An alias twice: which one counts is not worth the thought here.
        return {}
    spans: dict[str, Span] = {}
    for entry in entries:
        keys, tensors = values_of(view, _KEY, entry), values_of(view, _VALUE, entry)
        if len(keys) == len(tensors) == 1:
            alias = str(view[keys[0].at : keys[0].end], "utf-8")
            # Of a field that is there twice the last one counts, or both do; whatever holds, no template.
            values = values_of(view, _CONTENT, tensors[0])
            packed = _PACKED.get(request.inputs[alias].dtype)
            if not values and packed is not None:
                values = values_of(view, packed, tensors[0])
            if len(values) == 1:
                spans[alias] = values[0]
    return spans
