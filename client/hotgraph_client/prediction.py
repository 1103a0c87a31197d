"""One prediction as a conversation: what to ask the server, in which order, and what to make of its answers.

No channel and no clock, like protocol.py: each step is a method and its request, the answer is sent back in
or the error is thrown in, and the last answer is returned. So both clients do the same.

A call needs one step, and two where names or datatypes have to be looked up first, which is remembered. One
that is refused is looked at once more: the model may take another dtype than the array's, which can perhaps
be had without loss, or it may have been replaced since its metadata were read. It is sent again if by what
the server says now it would be another request, and an error says how to cast where a cast would lose, what
the inputs are called, and that a value lacks its rows.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, MutableMapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message

from hotgraph_protos import open_inference as oip

from .arrays import has_dtype
from .descriptions import ModelMetadata, TensorMetadata, read_model_metadata
from .errors import HotgraphError, InvalidCall, NotFound
from .protocol import MODEL_INFER, MODEL_METADATA, InferRequest, Method, infer_request, version_text
from .signatures import inputs_of, listed

Known = MutableMapping[tuple[str, str], ModelMetadata]
"""What is known of models, by name and version as the wire has them."""

Step = tuple[Method[Any, Any], Message | InferRequest]


def needs_metadata(inputs: Any) -> bool:
    """Whether the model must be asked for names or datatypes before `inputs` can be sent."""
    return not (isinstance(inputs, Mapping) and all(has_dtype(value) for value in inputs.values()))


def steps(
    known: Known, model: str, inputs: Any, *, version: int | str | None = None, **named: Any
) -> Generator[Step, Any, oip.ModelInferResponse]:
    """The conversation; arguments as for `infer_request`.

    Args:
        known: is looked at, and kept up to date.

    Raises:
        HotgraphError: what the server, or `infer_request`, says against the call.
    """
    key = (model, version_text(version))
    asking = (MODEL_METADATA, MODEL_METADATA.request(name=model, version=key[1]))
    metadata = known.get(key)
    asked = metadata is None and needs_metadata(inputs)
    if asked:
        metadata = known[key] = read_model_metadata((yield asking))
    request = None
    try:
        request = infer_request(model, inputs, metadata=metadata, version=version, **named)
        return (yield MODEL_INFER, request)  # type: ignore[no-any-return]
    except (InvalidCall, NotFound) as error:
        # the model may have been replaced by one with other inputs: ask again next time
        known.pop(key, None)
        if asked or not _may_want_another(error, metadata):
            raise _told(error, request, metadata, named.get("signature")) from None
        refusal = error
    try:
        metadata = known[key] = read_model_metadata((yield asking))
    except HotgraphError:
        raise refusal from None
    again = infer_request(model, inputs, metadata=metadata, version=version, **named)
    if request is not None and _tensors(again) == _tensors(request):
        raise _told(refusal, request, metadata, named.get("signature")) from None
    return (yield MODEL_INFER, again)  # type: ignore[no-any-return]


def _may_want_another(error: HotgraphError, metadata: ModelMetadata | None) -> bool:
    """Could a request that is made by newer metadata do better than the one that has ended so?"""
    if error.code is None:
        # found out here, by the metadata if there are any
        return metadata is not None
    return error.code is grpc.StatusCode.INVALID_ARGUMENT


def _told(
    refusal: HotgraphError,
    request: InferRequest | None,
    metadata: ModelMetadata | None,
    signature: str | None,
) -> HotgraphError:
    """A server's refusal of inputs, with what they have to be where that is plain to see."""
    if refusal.code is not grpc.StatusCode.INVALID_ARGUMENT or request is None or metadata is None:
        return refusal
    try:
        known = inputs_of(metadata, signature, refusal.model)
    except NotFound:
        return refusal
    way_out = "" if known is None else _way_out(request, known, refusal.model)
    if not way_out:
        return refusal
    return InvalidCall(
        f"{refusal.details.rstrip('.')}; {way_out}",
        code=refusal.code,
        address=refusal.address,
        model=refusal.model,
    )


def _way_out(request: InferRequest, known: Sequence[TensorMetadata], model: str) -> str:
    sent = {tensor.name: tuple(tensor.shape) for tensor in request.message.inputs}
    if sent.keys() - {tensor.name for tensor in known} or (known and not sent):
        return f"the inputs of '{model}': {listed(known)}"
    for tensor in known:
        shape, stated = sent.get(tensor.name), tensor.shape
        if shape is not None and len(shape) == len(stated) - 1 and stated[0] == -1:
            way_out = "for one row send [x], or x[np.newaxis] of an array"
            return f"'{tensor.name}' lacks the dimension of rows: {way_out}"
    return ""


def _tensors(request: InferRequest) -> list[tuple[str, str]]:
    return [(tensor.name, tensor.datatype) for tensor in request.message.inputs]
