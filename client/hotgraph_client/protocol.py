"""The client without its I/O: calls as messages, answers as arrays.

Values in, values out; no channel, clock or thread. client.py and aio.py are the two shells that send what
is built here and hand back what is read here, so that both behave alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import grpc
import numpy as np
from google.protobuf.message import Message

from hotgraph_protos import open_inference as oip
from hotgraph_protos.tensors import BYTES, Array, datatype_of, decode_raw, dtype_of, raw_view

from .arrays import converted, from_contents, from_python, has_dtype
from .descriptions import ModelMetadata, TensorMetadata
from .errors import HotgraphError, InvalidCall, NotFound, ServerFault, TooLate, Unreachable
from .signatures import inputs_of, listed, not_an_input, undescribed

Parameter = bool | int | float | str
Outputs = str | Sequence[str] | Mapping[str, Mapping[str, Parameter]]
"""A name, names, or parameters of the protocol by name."""
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

# protobuf's own limit on one message, less some room for names and shapes
_MAX_CONTENTS_BYTES = 2**31 - 2**20
_NUMERIC = {"BOOL", "FP16", "BF16", "FP32", "FP64"} | {
    f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}

_AUTHORIZATION = "authorization"
_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1

# A server that is starting answers in one of these ways; anything else will not go away by waiting.
PASSING = (Unreachable, NotFound, TooLate)


@dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """One unary method of the inference service."""

    name: str
    request: type[Request]
    response: type[Response]

    @property
    def path(self) -> str:
        """Its name on the wire."""
        return f"/inference.GRPCInferenceService/{self.name}"


SERVER_LIVE = Method("ServerLive", oip.ServerLiveRequest, oip.ServerLiveResponse)
SERVER_READY = Method("ServerReady", oip.ServerReadyRequest, oip.ServerReadyResponse)
MODEL_READY = Method("ModelReady", oip.ModelReadyRequest, oip.ModelReadyResponse)
SERVER_METADATA = Method("ServerMetadata", oip.ServerMetadataRequest, oip.ServerMetadataResponse)
MODEL_METADATA = Method("ModelMetadata", oip.ModelMetadataRequest, oip.ModelMetadataResponse)
MODEL_INFER = Method("ModelInfer", oip.ModelInferRequest, oip.ModelInferResponse)
MODEL_STATISTICS = Method("ModelStatistics", oip.ModelStatisticsRequest, oip.ModelStatisticsResponse)
REPOSITORY_INDEX = Method("RepositoryIndex", oip.RepositoryIndexRequest, oip.RepositoryIndexResponse)
METHODS: tuple[Method[Any, Any], ...] = (
    SERVER_LIVE,
    SERVER_READY,
    MODEL_READY,
    SERVER_METADATA,
    MODEL_METADATA,
    MODEL_INFER,
    MODEL_STATISTICS,
)
EXTENSIONS: tuple[Method[Any, Any], ...] = (REPOSITORY_INDEX,)
"""Methods that Triton has added to the protocol, and not every server of it knows."""


class InferRequest(NamedTuple):
    """A ModelInferRequest, and its raw contents beside it: views of the caller's arrays where those are what
    goes on the wire, which whoever does not block the caller copies first."""

    message: oip.ModelInferRequest
    contents: list[bytes | memoryview]

    def whole(self) -> oip.ModelInferRequest:
        """The message with the contents in it."""
        self.message.raw_input_contents[:] = map(bytes, self.contents)
        return self.message


class InferAnswer(NamedTuple):
    """A ModelInferResponse whose contents are all raw, and not copied into a message."""

    model_name: str
    outputs: Sequence[TensorMetadata]
    raw_output_contents: Sequence[bytes | memoryview]


def version_text(version: int | str | None) -> str:
    """A version as the wire has it; empty for the server's own choice."""
    return "" if version is None else str(version)


def checked_timeout_s(timeout_s: float) -> float:
    """`timeout_s` itself.

    Raises:
        ValueError: it is not a positive, finite number of seconds.
    """
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float, np.integer, np.floating)):
        raise ValueError(f"timeout_s must be a number of seconds, got {timeout_s!r}")
    if not (timeout_s > 0 and math.isfinite(timeout_s)):
        raise ValueError(f"timeout_s must be a positive number of seconds, got {timeout_s}")
    return float(timeout_s)


def call_timeout_s(timeout_s: float | None, default_s: float) -> float:
    """The seconds that one call may take; None means the client's own.

    Raises:
        InvalidCall: it is not a positive, finite number.
    """
    try:
        return default_s if timeout_s is None else checked_timeout_s(timeout_s)
    except ValueError as error:
        raise InvalidCall(str(error)) from None


def left_s(deadline: float, now: float) -> float:
    """Seconds from `now` to `deadline`, both of one clock; never zero or less, since a deadline that has
    passed is for gRPC to report, like any other."""
    return max(deadline - now, 0.001)


def checked_headers(headers: Mapping[str, str] | None, key: str | None = None) -> tuple[tuple[str, str], ...]:
    """Headers in gRPC's form, names in lower case as HTTP/2 wants them; a key as a bearer token among them.

    Raises:
        ValueError: a name or value that is no str; a key that no header can have, which the text does not
            show, or that a header gives as well.
    """
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"headers are str to str, got {name!r}: {value!r}")
    sent = tuple((name.lower(), value) for name, value in (headers or {}).items())
    if key is None:
        return sent
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise ValueError("a key is a str of letters, digits and - . _ ~ + /, and may end with =")
    if any(name == _AUTHORIZATION for name, _ in sent):
        raise ValueError("give a key, or an authorization header, but not both")
    return (*sent, (_AUTHORIZATION, f"Bearer {key}"))


def infer_request(
    model: str,
    inputs: Any,
    *,
    metadata: ModelMetadata | None,
    version: int | str | None = None,
    signature: str | None = None,
    outputs: Outputs | None = None,
    parameters: Mapping[str, Parameter] | None = None,
    request_id: str | None = None,
) -> InferRequest:
    """One call as a message; input tensors go raw, in the order of the dict.

    Args:
        inputs: dict of name to array-like, or one array-like for a model with exactly one input.
        metadata: the model's, if it is known: lists, and what has no name, need it; arrays take its datatypes
            if they lose nothing.

    Raises:
        InvalidCall: something that no server could make sense of, or that the model does not take.
        NotFound: by its metadata the model has no such signature.
    """
    request = oip.ModelInferRequest(
        model_name=model, model_version=version_text(version), id=request_id or ""
    )
    known = None if metadata is None else inputs_of(metadata, signature, model)
    contents: list[bytes | memoryview] = []
    contents_bytes = 0
    for name, value in _named(inputs, model, known).items():
        array = _array(value, name, model, known)
        datatype = datatype_of(array.dtype)
        # counted before they are copied, except strings, which are only known by their encoding
        contents_bytes += 0 if datatype == BYTES else array.nbytes
        _check_size(contents_bytes, model)
        try:
            raw = raw_view(array)
        except ValueError as error:
            raise InvalidCall(f"input '{name}': {error}", model=model) from None
        contents_bytes += len(raw) if datatype == BYTES else 0
        _check_size(contents_bytes, model)
        request.inputs.add(name=name, datatype=datatype or "", shape=array.shape)
        contents.append(raw)
    for name in (outputs,) if isinstance(outputs, str) else outputs or ():
        output = request.outputs.add(name=name)
        asked = outputs[name] if isinstance(outputs, Mapping) else {}
        if not isinstance(asked, Mapping):
            raise InvalidCall(
                f"output '{name}': its parameters are a dict, such as {{'classification': 5}}, got {asked!r}",
                model=model,
            )
        for key, parameter in asked.items():
            output.parameters[key].CopyFrom(_parameter(key, parameter, model))
    for key, parameter in (parameters or {}).items():
        request.parameters[key].CopyFrom(_parameter(key, parameter, model))
    if signature:
        request.parameters["signature_name"].string_param = signature
    return InferRequest(request, contents)


def read_answer(response: oip.ModelInferResponse | InferAnswer, *, single: bool, address: str) -> Any:
    """The outputs as a dict of name to array, or the array itself if `single` and there is exactly one.

    The arrays are the caller's own and writable; BYTES outputs are object arrays of bytes.

    Raises:
        ServerFault: the answer contradicts itself.
    """
    raw = response.raw_output_contents
    if raw and len(raw) != len(response.outputs):
        raise _senseless(response, address, f"{len(response.outputs)} outputs but {len(raw)} raw contents")
    arrays: dict[str, Array] = {}
    outputs: Iterable[Any] = response.outputs
    for index, output in enumerate(outputs):
        try:
            if raw:
                array = decode_raw(output.datatype, output.shape, raw[index])
                arrays[output.name] = array if array.flags.writeable else array.copy()
            else:
                arrays[output.name] = from_contents(output.datatype, list(output.shape), output.contents)
        except ValueError as error:
            raise _senseless(response, address, f"output '{output.name}': {error}") from error
    return next(iter(arrays.values())) if single and len(arrays) == 1 else arrays


def probe_pauses_s() -> Iterator[float]:
    """Seconds between two questions whether a server is ready: soon at first, then twice a second."""
    pause_s = 0.02
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, 0.5)


def never_ready(model: str, timeout_s: float, last_answer: str, address: str) -> TooLate:
    """The error of a wait that ended without a ready server or model."""
    what = f"model '{model}'" if model else "the server"
    return TooLate(
        f"{what} at {address} was not ready within {timeout_s:g} s; last answer: {last_answer}",
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
        address=address,
        model=model,
    )


def unlisted(error: HotgraphError) -> HotgraphError:
    """What to raise where a server does not list its models: with the way out, if it has no such method."""
    if error.code not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND):
        return error
    return InvalidCall(
        "the server does not list its models: it knows no repository index (TensorFlow Serving has none, and"
        " of v2 servers not all do); ask for a model by its name",
        code=error.code,
        address=error.address,
    )


def _check_size(contents_bytes: int, model: str) -> None:
    if contents_bytes > _MAX_CONTENTS_BYTES:
        raise InvalidCall(
            f"the inputs take {contents_bytes} bytes and one call holds 2 GiB: send fewer rows at once",
            model=model,
        )


def _named(inputs: Any, model: str, known: tuple[TensorMetadata, ...] | None) -> Mapping[str, Any]:
    if isinstance(inputs, Mapping):
        for name in inputs:
            if not isinstance(name, str):
                raise InvalidCall(f"input names are strings, got {name!r}", model=model)
        return inputs
    if known is None:
        raise undescribed(model)
    if len(known) != 1:
        raise InvalidCall(
            f"a single array fits only a model with one input; the inputs of '{model}': {listed(known)}",
            model=model,
        )
    return {known[0].name: inputs}


def _array(value: Any, name: str, model: str, known: tuple[TensorMetadata, ...] | None) -> Array:
    stated = {tensor.name: tensor for tensor in known or ()}.get(name)
    if has_dtype(value):
        array = np.asarray(value)
        return array if stated is None else _recast(array, stated, model)
    if known is None:
        raise undescribed(model)
    if stated is None:
        raise not_an_input(name, known, model)
    try:
        return from_python(value, stated.datatype)
    except ValueError as error:
        raise InvalidCall(f"input '{name}': {error}", model=model) from None


def _recast(array: Array, stated: TensorMetadata, model: str) -> Array:
    datatype = datatype_of(array.dtype)
    if datatype == stated.datatype or not {datatype, stated.datatype} <= _NUMERIC:
        # What is no number is the server's to refuse, in its own words.
        return array
    recast = converted(array, stated.datatype)
    if recast is None:
        cast = f"x.astype(np.{dtype_of(stated.datatype).name})".replace("np.bfloat16", "ml_dtypes.bfloat16")
        raise InvalidCall(
            f"input '{stated.name}' is {datatype}, '{model}' takes {stated.datatype}, and as such its values "
            f"would not be the same: send {cast} if that is meant",
            model=model,
        )
    return recast


def _parameter(key: str, value: Parameter, model: str) -> oip.InferParameter:
    # bool first: it is an int to Python
    if isinstance(value, bool):
        return oip.InferParameter(bool_param=value)
    if isinstance(value, str):
        return oip.InferParameter(string_param=value)
    if isinstance(value, float):
        return oip.InferParameter(double_param=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return oip.InferParameter(int64_param=value)
    if isinstance(value, int) and 0 <= value < 2**64:
        return oip.InferParameter(uint64_param=value)
    raise InvalidCall(
        f"parameter '{key}' must be a bool, a 64-bit int, a float or a str, got {value!r}", model=model
    )


def _senseless(response: oip.ModelInferResponse | InferAnswer, address: str, why: str) -> ServerFault:
    return ServerFault(
        f"the server's answer makes no sense: {why}", address=address, model=response.model_name
    )
