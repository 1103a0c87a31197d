"""The fake server over HTTP: the same models, records and failures behind the protocol's REST face.

Written from the protocol's text and not from the client, with the standard library's own server. What it
records are gRPC's messages, so that a test reads the same whichever way a call has come.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
import numpy as np
from google.protobuf import json_format

from hotgraph_protos import open_inference as oip
from hotgraph_protos.tensors import decode_raw

from .fake_inference_server import FakeServer

STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 520,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}

NAMED = r"/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?"
PATHS: dict[str, list[tuple[str, str, Any]]] = {
    "GET": [
        (r"/v2/health/live", "ServerLive", oip.ServerLiveRequest),
        (r"/v2/health/ready", "ServerReady", oip.ServerReadyRequest),
        (r"/v2", "ServerMetadata", oip.ServerMetadataRequest),
        (NAMED + "/ready", "ModelReady", oip.ModelReadyRequest),
        (r"/v2/models/((?P<name>[^/]+)(/versions/(?P<version>[^/]+))?/)?stats", "ModelStatistics",
         oip.ModelStatisticsRequest),
        (NAMED, "ModelMetadata", oip.ModelMetadataRequest),
    ],
    "POST": [
        (r"/v2/models/(?P<model_name>[^/]+)(/versions/(?P<model_version>[^/]+))?/infer", "ModelInfer",
         oip.ModelInferRequest),
        (r"/v2/repository/index", "RepositoryIndex", oip.RepositoryIndexRequest),
    ],
}  # fmt: skip


class Refused(Exception):
    """A call is over, as grpc's own context ends one."""


class Context:
    """What `FakeServer` asks of grpc's context."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.trailers: tuple[tuple[str, str], ...] = ()

    def invocation_metadata(self) -> dict[str, str]:
        return self.headers

    def time_remaining(self) -> None:
        """Nothing: HTTP does not tell."""

    def set_trailing_metadata(self, trailers: tuple[tuple[str, str], ...]) -> None:
        self.trailers = trailers

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise Refused(code, details)


@dataclass
class FakeHttpServer(FakeServer):
    """`FakeServer` over HTTP.

    Attributes:
        tls: what its connections are encrypted by; None for plain text.
        in_json: whether outputs stand in the JSON, as of a server that knows no binary tensors.
        page: what everything is answered with instead: (status, headers, body).
        paths: that were asked for, as sent.
        connections: how many were made.
    """

    tls: ssl.SSLContext | None = None
    in_json: bool = False
    page: tuple[int, dict[str, str], bytes] | None = None
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def address(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    def start(self) -> FakeHttpServer:
        self.gate.set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def setup(self) -> None:
                fake.connections += 1
                super().setup()

            def do_GET(self) -> None:
                fake.answer(self)

            do_POST = do_GET

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        class Listening(ThreadingHTTPServer):
            daemon_threads = False

            def get_request(self) -> tuple[Any, Any]:
                sock, address = super().get_request()
                sock.settimeout(20)
                return sock, address

            def finish_request(self, request: Any, client_address: Any) -> None:
                # in the connection's own thread
                if fake.tls is not None:
                    try:
                        request = fake.tls.wrap_socket(request, server_side=True)
                    except (OSError, ssl.SSLError):
                        return
                fake.sockets.append(request)
                super().finish_request(request, client_address)
                request.close()

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Nothing: callers leave, and that is what is tried."""

        self.sockets: list[Any] = []
        self.http = Listening(("127.0.0.1", self.port), Handler)
        self.port = self.http.server_port
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __enter__(self) -> FakeHttpServer:
        return self.start()

    def stop(self) -> None:
        self.gate.set()
        self.http.shutdown()
        self.thread.join()
        self.hang_up()
        self.http.server_close()

    def hang_up(self) -> None:
        """End every connection."""
        for sock in self.sockets:
            # a caller may have left by itself
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self.sockets.clear()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        self.paths.append(handler.path)
        self.bodies.append(body)
        if self.page is not None:
            status, headers, page = self.page
            respond(handler, status, headers, page)
            return
        context = Context({name.lower(): value for name, value in handler.headers.items()})
        try:
            method, request = read_request(handler.command, handler.path, context.headers, body)
            response = self._recorded(method, self.answers()[method])(request, context)  # type: ignore[arg-type]
        except Refused as refused:
            code, details = refused.args
            headers = dict(context.trailers)
            respond(handler, STATUSES[code], headers, json.dumps({"error": details}).encode())
            return
        if method == "ModelInfer":
            wants_json = self.in_json or not wants_binary(body, context.headers)
            headers, answer = write_answer(response, wants_json)
            respond(handler, 200, headers, answer)
        elif isinstance(response, (oip.ServerReadyResponse, oip.ModelReadyResponse)) and not response.ready:
            respond(handler, 503, {}, b'{"ready":false}')
        else:
            message = json_format.MessageToDict(response, preserving_proto_field_name=True)
            said: Any = with_whole_numbers(message)
            if method == "RepositoryIndex":
                # the only answer that is a list
                said = said.get("models", [])
            respond(handler, 200, {}, json.dumps(said).encode())


def respond(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response_only(status)
    for name, value in {"content-type": "application/json", **headers}.items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def read_request(verb: str, path: str, headers: dict[str, str], body: bytes) -> tuple[str, Any]:
    for pattern, method, message in PATHS.get(verb, []):
        found = re.fullmatch(pattern, path)
        if found is not None:
            named = {key: unquote(text) for key, text in found.groupdict().items() if text is not None}
            request = message(**named)
            if method == "ModelInfer":
                read_inputs(request, headers, body)
            return method, request
    raise Refused(grpc.StatusCode.NOT_FOUND, "Not Found")


def read_inputs(request: oip.ModelInferRequest, headers: dict[str, str], body: bytes) -> None:
    length = int(headers.get("inference-header-content-length", len(body)))
    said, tail = json.loads(body[:length]), body[length:]
    request.id = said.get("id", "")
    for key, value in said.get("parameters", {}).items():
        if key == "binary_data_output":
            continue
        field = {bool: "bool_param", float: "double_param", str: "string_param"}.get(type(value))
        if field is None:
            field = "int64_param" if value < 2**63 else "uint64_param"
        setattr(request.parameters[key], field, value)
    for tensor in said["inputs"]:
        size = tensor["parameters"]["binary_data_size"]
        request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        request.raw_input_contents.append(tail[:size])
        tail = tail[size:]
    assert not tail
    for output in said.get("outputs", []):
        asked = request.outputs.add(name=output["name"])
        if "classification" in output["parameters"]:
            asked.parameters["classification"].int64_param = output["parameters"]["classification"]


def wants_binary(body: bytes, headers: dict[str, str]) -> bool:
    length = int(headers.get("inference-header-content-length", len(body)))
    said = json.loads(body[:length])
    if said.get("outputs"):
        return all(output["parameters"]["binary_data"] is True for output in said["outputs"])
    return said["parameters"]["binary_data_output"] is True


def write_answer(response: oip.ModelInferResponse, in_json: bool) -> tuple[dict[str, str], bytes]:
    outputs = []
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        said: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        if in_json:
            flat = np.asarray(decode_raw(output.datatype, output.shape, raw)).ravel().tolist()
            said["data"] = [one.decode() if isinstance(one, bytes) else one for one in flat]
        else:
            said["parameters"] = {"binary_data_size": len(raw)}
        outputs.append(said)
    text = json.dumps(
        {"model_name": response.model_name, "model_version": response.model_version, "outputs": outputs}
    ).encode()
    if in_json:
        return {}, text
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(text))}
    return headers, text + b"".join(response.raw_output_contents)


def with_whole_numbers(value: Any) -> Any:
    """protobuf's JSON has 64-bit numbers as strings; the protocol's has numbers."""
    if isinstance(value, dict):
        return {
            key: one if key in ("name", "version", "versions", "properties") else with_whole_numbers(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [with_whole_numbers(one) for one in value]
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else value
