"""Which calls may be sent on, and where their messages name the model. Pure.

The name is the first field of each of these messages, of the message itself or of the ModelSpec in it, and
every writer of protobuf puts it first. A message of another order is answered here, as one that names
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hotgraph_server.transport.message_fields import (
    LENGTH_DELIMITED,
    MalformedMessage,
    Message,
    fields,
    read_varint,
)

_TAG = 1 << 3 | LENGTH_DELIMITED

# So many fields are looked at: what comes before the name is little, or meant badly.
_MOST_FIELDS = 8
_MOST_BYTES = 4096


def model_named(message: Message) -> str:
    """Of messages that have the name as their field 1. Empty: there is none."""
    return _text(memoryview(message))


def model_specified(message: Message) -> str:
    """Of messages that have, as their field 1, a ModelSpec or what begins with one."""
    spec = _first(memoryview(message))
    return "" if spec is None else _text(spec)


def model_of_first_task(message: Message) -> str:
    """Of a MultiInferenceRequest, whose tasks are all for one model."""
    task = _first(memoryview(message))
    spec = None if task is None else _first(task)
    return "" if spec is None else _text(spec)


_V2, _TFS = "/inference.GRPCInferenceService", "/tensorflow.serving.PredictionService"

MODEL_IN: Mapping[str, Callable[[Message], str]] = {
    **{f"{_V2}/{name}": model_named for name in ("ModelInfer", "ModelMetadata", "ModelConfig", "ModelReady")},
    **{f"{_TFS}/{name}": model_specified for name in ("Predict", "Classify", "Regress", "GetModelMetadata")},
    f"{_TFS}/MultiInference": model_of_first_task,
    "/tensorflow.serving.ModelService/GetModelStatus": model_specified,
}
"""By path; other calls are not sent on."""


def _text(view: memoryview) -> str:
    found = _first(view)
    try:
        return "" if found is None or len(found) > _MOST_BYTES else bytes(found).decode()
    except UnicodeDecodeError:
        return ""


def _first(view: memoryview) -> memoryview | None:
    """The value of field 1, if it is one with a length."""
    try:
        if len(view) and view[0] == _TAG:
            length, at = read_varint(view, 1)
            return view[at : at + length] if at + length <= len(view) else None
        for count, (number, wire_type, _, value, end) in enumerate(fields(view)):
            if number == 1 and wire_type == LENGTH_DELIMITED:
                return view[value:end]
            if count == _MOST_FIELDS:
                break
    except MalformedMessage:
        pass
    return None
