"""What does this server speak, and what does its model take? These calls block, see asking.py.

In order: the Open Inference Protocol (ModelMetadata; over HTTP its server metadata, which a server that does
not speak it has not), then TensorFlow Serving's GetModelMetadata. A server that speaks both is called by the
first, which tells more of itself; `protocol` asks for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from hotgraph_protos import open_inference as oip
from hotgraph_protos import tensorflow_serving_calls as tfs

from ... import protocol as v2_methods
from ...descriptions import read_model_metadata
from ...errors import AccessDenied, HotgraphError, InvalidCall, NotFound, TooLate, Unreachable
from ...http.requests import http_request
from ..load import Destination
from . import tensorflow_serving, v2
from .asking import TIMEOUT_S, GrpcQuestions, HttpQuestions
from .description import SERVING_GRPC, SERVING_HTTP, Dialect, TargetError
from .tensorflow_serving import GET_MODEL_METADATA, SIGNATURE_FIELD, Serving
from .tensorflow_serving_json import ServingJson
from .v2 import V2

AUTO, V2_NAME, SERVING_NAME = "auto", "v2", "tensorflow-serving"
PROTOCOLS = (AUTO, V2_NAME, SERVING_NAME)
"""What --protocol takes."""

# Of models that an error lists.
_LISTED = 20

Response = TypeVar("Response", bound=Message)


def open_dialect(
    destination: Destination,
    model: str,
    version: str = "",
    signature: str = "",
    protocol: str = AUTO,
    timeout_s: float = TIMEOUT_S,
) -> Dialect:
    """Ask the server what it speaks, and what the model takes.

    Args:
        version: empty: the server's choice. TensorFlow Serving takes a label as well.
        signature: empty: the model's default one.
        protocol: one of PROTOCOLS.
        timeout_s: of each of at most five questions.

    Raises:
        TargetError: it cannot be called so.
        ValueError: `protocol` is none, or TLS settings cannot be read.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"--protocol {protocol}: expected one of {', '.join(PROTOCOLS)}")
    wanted = _Wanted(model, version, signature, protocol)
    try:
        if destination.http:
            return _over_http(HttpQuestions(destination, timeout_s), wanted)
        questions = GrpcQuestions(destination, timeout_s)
        try:
            return _over_grpc(questions, wanted)
        finally:
            questions.close()
    except HotgraphError as error:
        raise TargetError(f"{error}{_advice(error, http=destination.http)}") from None


class _Wanted:
    """What the user asks for; empty words leave it to the server."""

    def __init__(self, model: str, version: str, signature: str, protocol: str) -> None:
        self.model, self.version, self.signature, self.protocol = model, version, signature, protocol

    def tried(self) -> str:
        """What a server that does none of it does not speak."""
        return {
            AUTO: "neither the Open Inference Protocol (v2) nor TensorFlow Serving's",
            V2_NAME: "no Open Inference Protocol (v2)",
            SERVING_NAME: "no TensorFlow Serving",
        }[self.protocol]


def _over_grpc(questions: GrpcQuestions, wanted: _Wanted) -> Dialect:
    """Raises HotgraphError, TargetError."""
    tries = [_v2_over_grpc] if wanted.protocol != SERVING_NAME else []
    tries += [_serving_over_grpc] if wanted.protocol != V2_NAME else []
    for one in tries:
        try:
            return one(questions, wanted)
        except InvalidCall as error:
            if error.code is not grpc.StatusCode.UNIMPLEMENTED:
                raise
    raise _silent(questions.address, wanted)


def _v2_over_grpc(questions: GrpcQuestions, wanted: _Wanted) -> Dialect:
    model, version = wanted.model, wanted.version
    asked = oip.ModelMetadataRequest(name=model, version=version)
    try:
        metadata = _ask_v2(questions, "ModelMetadata", asked, oip.ModelMetadataResponse, model)
    except NotFound as error:
        index = _told(questions, "RepositoryIndex", oip.RepositoryIndexRequest(), oip.RepositoryIndexResponse)
        raise _unknown(error, [found.name for found in index.models]) from None
    server = _told(questions, "ServerMetadata", oip.ServerMetadataRequest(), oip.ServerMetadataResponse)
    config_of = oip.ModelConfigRequest(name=model, version=version)
    config = _told(questions, "ModelConfig", config_of, oip.ModelConfigResponse)
    return _v2(metadata, server, config.config.max_batch_size, wanted, over_http=False)


def _serving_over_grpc(questions: GrpcQuestions, wanted: _Wanted) -> Dialect:
    spec = tensorflow_serving.model_spec(wanted.model, wanted.version, "")
    asked = tfs.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_FIELD])
    try:
        told = questions.ask(GET_MODEL_METADATA, asked, tfs.GetModelMetadataResponse, wanted.model)
    except NotFound as error:
        raise _unknown(error, []) from None
    signatures = tfs.SignatureDefMap()
    try:
        told.metadata[SIGNATURE_FIELD].Unpack(signatures)
    except DecodeError as error:
        raise TargetError(f"the metadata of '{wanted.model}' makes no sense: {error}") from None
    answered = told.model_spec.version.value
    description = tensorflow_serving.describe(
        signatures,
        SERVING_GRPC,
        model=wanted.model,
        version=str(answered) if answered else wanted.version,
        signature=wanted.signature,
    )
    return Serving(description, version=wanted.version)


def _over_http(questions: HttpQuestions, wanted: _Wanted) -> Dialect:
    """Raises HotgraphError, TargetError."""
    if wanted.protocol != SERVING_NAME:
        status, server = questions.get_object("/v2")
        _check_access(status, server, questions.address)
        # others answer with a page, or with an error
        if status == 200 and "name" in server:
            return _v2_over_http(questions, wanted, server)
        if wanted.protocol == V2_NAME:
            raise _silent(questions.address, wanted)
    return _serving_over_http(questions, wanted)


def _v2_over_http(questions: HttpQuestions, wanted: _Wanted, server: Mapping[str, Any]) -> Dialect:
    asked = oip.ModelMetadataRequest(name=wanted.model, version=wanted.version)
    path = http_request(v2_methods.MODEL_METADATA, asked).path
    status, metadata = questions.get_object(path)
    if status != 200:
        _, served = questions.get_object("/v2/models")
        raise _refused(status, metadata, _names(served.get("models")), questions.address, wanted)
    config: Mapping[str, Any] = questions.get_object(f"{path}/config")[1]
    rows = config.get("max_batch_size")
    if not isinstance(metadata.get("inputs"), list):
        raise TargetError(f"the metadata of '{wanted.model}' makes no sense: it has no inputs")
    try:
        read = json_format.ParseDict(metadata, oip.ModelMetadataResponse(), ignore_unknown_fields=True)
    except (json_format.ParseError, RecursionError) as error:
        raise TargetError(f"the metadata of '{wanted.model}' makes no sense: {error}") from None
    about = oip.ServerMetadataResponse(
        name=str(server.get("name", "")), version=str(server.get("version", ""))
    )
    return _v2(read, about, rows if type(rows) is int else 0, wanted, over_http=True)


def _serving_over_http(questions: HttpQuestions, wanted: _Wanted) -> Dialect:
    path = tensorflow_serving.model_path(wanted.model, wanted.version)
    status, metadata = questions.get_object(f"{path}/metadata")
    _check_access(status, metadata, questions.address)
    # TensorFlow Serving's own errors are objects
    if status != 200 and not isinstance(metadata.get("error"), str):
        raise _silent(questions.address, wanted)
    if status != 200:
        # hotgraph's; TensorFlow Serving tells of one model at a time
        _, served = questions.get_object("/v1/models")
        raise _refused(status, metadata, _names(served.get("models")), questions.address, wanted)
    spec = metadata.get("model_spec")
    answered = spec.get("version") if isinstance(spec, dict) else None
    description = tensorflow_serving.describe(
        tensorflow_serving.signatures_of_json(metadata),
        SERVING_HTTP,
        model=wanted.model,
        version=str(answered or wanted.version),
        signature=wanted.signature,
    )
    return ServingJson(description, version=wanted.version)


def _v2(
    metadata: oip.ModelMetadataResponse,
    server: oip.ServerMetadataResponse,
    max_batch_rows: int,
    wanted: _Wanted,
    *,
    over_http: bool,
) -> Dialect:
    description = v2.describe(
        read_model_metadata(metadata),
        model=wanted.model,
        over_http=over_http,
        version=wanted.version,
        signature=wanted.signature,
        server=server.name,
        server_version=server.version,
        max_batch_rows=max_batch_rows or None,
    )
    return V2(description, version=wanted.version, signature=wanted.signature)


def _ask_v2(
    questions: GrpcQuestions, method: str, request: Message, response: type[Response], model: str
) -> Response:
    return questions.ask(f"/inference.GRPCInferenceService/{method}", request, response, model)


def _told(questions: GrpcQuestions, method: str, request: Message, response: type[Response]) -> Response:
    """What a server tells where it can; empty where it has no such method, or says no."""
    try:
        return _ask_v2(questions, method, request, response, "")
    except HotgraphError:
        return response()


def _names(models: Any) -> list[str]:
    found = models if isinstance(models, list) else []
    return [one["name"] for one in found if isinstance(one, dict) and isinstance(one.get("name"), str)]


def _refused(
    status: int, told: Mapping[str, Any], served: Sequence[str], address: str, wanted: _Wanted
) -> TargetError:
    text = told.get("error")
    details = text if isinstance(text, str) else f"HTTP {status} for model '{wanted.model}'"
    return TargetError(f"{details} (at {address}){_choice(served)}")


def _unknown(error: HotgraphError, served: Sequence[str]) -> TargetError:
    return TargetError(f"{error}{_choice(served)}")


def _choice(served: Sequence[str]) -> str:
    names = sorted(set(served))
    if not names:
        return "; check MODEL, --version and --signature"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"; it serves {', '.join(names[:_LISTED])}{more}"


def _check_access(status: int, told: Mapping[str, Any], address: str) -> None:
    if status in (401, 403):
        text = told.get("error")
        raise TargetError(
            f"{text if isinstance(text, str) else f'HTTP {status}'} (at {address}); check --key-file, and the"
            " certificates"
        )


def _silent(address: str, wanted: _Wanted) -> TargetError:
    return TargetError(
        f"what answers at {address} speaks {wanted.tried()}: check the address, and --protocol if given"
    )


def _advice(error: HotgraphError, *, http: bool) -> str:
    if isinstance(error, Unreachable):
        if http:
            return "; is the server up? https:// is for TLS, HOST:PORT without http:// for gRPC"
        return "; is the server up? --tls is for TLS, http://HOST:PORT for HTTP"
    if isinstance(error, TooLate):
        return "; is the server up, and is this its port?"
    if isinstance(error, AccessDenied):
        return "; check --key-file, and the certificates"
    return ""
