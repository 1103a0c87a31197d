"""The few questions that come before a load, each with an end. These block.

What comes back is the answer or one of the client's own errors, so that whoever asks can tell a server that
does not know a method from one that is not there.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from ...channel import service_config
from ...errors import from_status
from ...http.route import HttpServer
from ...http.tls import tls_context
from ...http.wire import connect
from ..load import Destination

Answered = TypeVar("Answered", bound=Message)

TIMEOUT_S = 10.0
"""Of one question."""

# Of an answer over HTTP: metadata, and no tensors.
_MAX_BYTES = 64 * 2**20


class GrpcQuestions:
    """A connection for questions over gRPC."""

    def __init__(self, destination: Destination, timeout_s: float = TIMEOUT_S) -> None:
        self.address = destination.authority
        self._headers = destination.headers
        self._timeout_s = timeout_s
        tls = destination.tls
        options: list[tuple[str, Any]] = [
            ("grpc.service_config", service_config(0)),
            ("grpc.max_receive_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.default_authority", destination.authority),
        ]
        if tls is not None and tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        target = _target(destination)
        self._channel = (
            grpc.insecure_channel(target, options)
            if tls is None
            else grpc.secure_channel(target, tls.credentials(), options)
        )

    def ask(self, path: str, request: Message, response: type[Answered], model: str = "") -> Answered:
        """The answer to one call.

        Args:
            path: of the method, `/package.Service/Method`.

        Raises:
            HotgraphError: there is none, or it is an error; UNIMPLEMENTED is an InvalidCall with that code.
        """
        call: Any = self._channel.unary_unary(path, type(request).SerializeToString)
        try:
            answer = call(request, timeout=self._timeout_s, metadata=self._headers)
            return response.FromString(answer)
        except grpc.RpcError as error:
            raise from_status(
                error.code(), error.details(), error.trailing_metadata(), address=self.address, model=model
            ) from None
        except DecodeError:
            raise from_status(
                grpc.StatusCode.INTERNAL,
                f"what it says to {path} makes no sense",
                None,
                address=self.address,
                model=model,
            ) from None

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()


class HttpQuestions:
    """Questions over HTTP/1.1, each on a connection of its own."""

    def __init__(self, destination: Destination, timeout_s: float = TIMEOUT_S) -> None:
        self.address = destination.authority
        self._destination = destination
        self._timeout_s = timeout_s

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body.

        Raises:
            Unreachable, TooLate: there is no answer.
            ServerFault: what answers is no HTTP.
        """
        destination = self._destination
        tls = destination.tls
        deadline = time.monotonic() + self._timeout_s
        server = HttpServer(destination.host, destination.port, "", destination.authority)
        name = destination.host if tls is None or tls.server_name is None else tls.server_name
        try:
            wire = connect(server, None if tls is None else tls_context(tls), name, deadline)
            try:
                connection = http.client.HTTPConnection(destination.host, destination.port)
                connection.sock = wire
                connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
                for key, value in (("host", destination.authority), *destination.headers):
                    connection.putheader(key, value)
                connection.putheader("connection", "close")
                connection.endheaders()
                wire.flush()
                with connection.getresponse() as response:
                    return response.status, response.read(_MAX_BYTES)
            finally:
                wire.end()
        except TimeoutError:
            raise self._error(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer within {self._timeout_s:g} s"
            ) from None
        except OSError as error:
            raise self._error(
                grpc.StatusCode.UNAVAILABLE, f"no connection: {error.strerror or error}"
            ) from None
        except http.client.HTTPException as error:
            raise self._error(
                grpc.StatusCode.INTERNAL, f"what answers does not speak HTTP/1.1: {type(error).__name__}"
            ) from None

    def get_object(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status, and the JSON object that the body is; an empty one where it is none.

        Raises:
            As `get`.
        """
        status, body = self.get(path)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return status, {}
        return status, found if isinstance(found, dict) else {}

    def _error(self, code: grpc.StatusCode, text: str) -> Exception:
        return from_status(code, text, None, address=self.address, model="")


def _target(destination: Destination) -> str:
    if not destination.port:
        return f"unix:{destination.host}"
    host = f"[{destination.host}]" if ":" in destination.host else destination.host
    return f"dns:///{host}:{destination.port}"
