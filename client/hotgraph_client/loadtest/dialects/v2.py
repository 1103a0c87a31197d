"""The Open Inference Protocol (KServe v2), over gRPC and over HTTP with its binary tensors. Pure.

A signature other than the default one is hotgraph's own: the request parameter `signature_name`.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import DecodeError

from hotgraph_protos import open_inference as oip
from hotgraph_protos.tensors import Array

from ... import protocol
from ...descriptions import ModelMetadata
from ...errors import HotgraphError, NotFound
from ...http.answers import read_response
from ...http.requests import http_request
from ...protocol import MODEL_INFER, InferRequest
from ...signatures import inputs_of
from ..load import Answer, Payload
from .description import V2_GRPC, V2_HTTP, Description, TargetError

_OK = 200


def describe(
    metadata: ModelMetadata,
    *,
    model: str,
    over_http: bool,
    version: str,
    signature: str,
    server: str = "",
    server_version: str = "",
    max_batch_rows: int | None = None,
) -> Description:
    """A model by its metadata.

    Args:
        version: that is asked for; empty: the server's choice.
        signature: empty: the default one.
        max_batch_rows: None: the server sets no limit, or does not tell.

    Raises:
        TargetError: there is no such signature, or the server does not describe it.
    """
    try:
        inputs = inputs_of(metadata, signature or None, model)
    except NotFound as error:
        raise TargetError(f"{error.details}: say which with --signature") from None
    if inputs is None:
        raise TargetError(
            f"the server does not say what signature '{signature}' of '{model}' takes, and may know none: "
            "leave --signature away, or call it as TensorFlow Serving (--protocol tensorflow-serving)"
        )
    default = metadata.properties.get("default_signature", "")
    by_default = not signature or signature == default
    return Description(
        V2_HTTP if over_http else V2_GRPC,
        model,
        version or (metadata.versions[-1] if metadata.versions else ""),
        signature or default,
        inputs,
        metadata.outputs if by_default else (),
        server,
        server_version,
        max_batch_rows,
    )


class V2:
    """Calls over gRPC, or over HTTP.

    Args:
        version: that calls ask for; empty: the server's choice.
        signature: that calls ask for; empty: the default one.
    """

    def __init__(self, description: Description, *, version: str, signature: str) -> None:
        self.description = description
        self._version = version
        self._signature = signature
        self._over_http = description.protocol == V2_HTTP

    def payload(self, inputs: Mapping[str, Array]) -> Payload:
        """See Dialect."""
        try:
            request = protocol.infer_request(
                self.description.model,
                inputs,
                metadata=None,
                version=self._version,
                signature=self._signature or None,
            )
        except HotgraphError as error:
            raise TargetError(str(error)) from None
        rows = self.description.rows_of(inputs)
        if self._over_http:
            return _over_http(request, rows)
        return Payload(MODEL_INFER.path, (), request.whole().SerializeToString(), rows)

    def read(self, answer: Answer) -> dict[str, Array]:
        """See Dialect."""
        try:
            response = self._response(answer)
            outputs: dict[str, Array] = protocol.read_answer(response, single=False, address="")
        except (HotgraphError, DecodeError) as error:
            raise ValueError(getattr(error, "details", None) or str(error)) from error
        return outputs

    def _response(self, answer: Answer) -> oip.ModelInferResponse | protocol.InferAnswer:
        if not self._over_http:
            return oip.ModelInferResponse.FromString(answer.body)
        headers = {name.lower(): value for name, value in answer.headers}
        read: protocol.InferAnswer = read_response(
            MODEL_INFER, _OK, headers, answer.body, address="", model=self.description.model
        )
        return read


def _over_http(request: InferRequest, rows: int) -> Payload:
    sent = http_request(MODEL_INFER, request)
    return Payload(sent.path, sent.headers, b"".join(sent.body), rows)
