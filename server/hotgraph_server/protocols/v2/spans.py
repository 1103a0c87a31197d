"""Where the tensors' bytes lie in a ModelInfer message, for a template (protocols/template.py). Pure."""

from __future__ import annotations

from hotgraph_protos.open_inference import InferTensorContents, ModelInferRequest
from hotgraph_server.transport.message_fields import Message, Span, values_of

_INPUTS = ModelInferRequest.INPUTS_FIELD_NUMBER
_RAW = ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER
_ID = ModelInferRequest.ID_FIELD_NUMBER
_CONTENTS = ModelInferRequest.InferInputTensor.CONTENTS_FIELD_NUMBER

# Typed fields whose packed form is the array's memory; booleans and integers are numbers of any length.
_PACKED = {
    "FP32": InferTensorContents.FP32_CONTENTS_FIELD_NUMBER,
    "FP64": InferTensorContents.FP64_CONTENTS_FIELD_NUMBER,
}


def tensor_spans(message: Message, request: ModelInferRequest) -> dict[str, Span]:
    """By input, where the one value lies that holds its tensor; inputs without such a value are left out.

    Args:
        request: what `message` was found to say; without the raw contents where these were cut out.

    Raises:
        MalformedMessage: `message` is none that this module can walk through.
    """
    view = memoryview(message)
    raw = values_of(view, _RAW)
    if raw:
        # Surplus values are ignored when the message is read, and not worth the thought here.
        named = len(raw) == len(request.inputs)
        return {tensor.name: span for tensor, span in zip(request.inputs, raw, strict=True)} if named else {}
    spans: dict[str, Span] = {}
    inputs = values_of(view, _INPUTS)
    for tensor, place in zip(request.inputs, inputs, strict=False):
        contents = values_of(view, _CONTENTS, place)
        # In several pieces a message is merged from them, and a packed field goes on in the next one.
        if len(contents) == 1 and tensor.datatype in _PACKED:
            values = values_of(view, _PACKED[tensor.datatype], contents[0])
            if len(values) == 1:
                spans[tensor.name] = values[0]
    return spans


def id_span(message: Message) -> Span | None:
    """Where the request's id lies: the last one counts; None if it has none.

    Raises:
        MalformedMessage: `message` is none that this module can walk through.
    """
    ids = values_of(memoryview(message), _ID)
    return ids[-1] if ids else None
