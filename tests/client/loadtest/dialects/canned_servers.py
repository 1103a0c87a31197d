"""Servers that answer what a test gives them, by path, and say that they do not know the rest."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.message import Message

from hotgraph_client.loadtest.load import Destination


@contextlib.contextmanager
def over_grpc(
    answers: Mapping[str, Message | bytes | tuple[grpc.StatusCode, str]], heard: list[Any] | None = None
) -> Iterator[Destination]:
    """Methods by path; what is heard are pairs of path and headers."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            if heard is not None:
                heard.append((details.method, dict(details.invocation_metadata)))
            answer = answers.get(details.method)
            if answer is None:
                return None

            def method(_: bytes, context: grpc.ServicerContext) -> bytes:
                if isinstance(answer, tuple):
                    context.abort(*answer)
                return answer.SerializeToString() if isinstance(answer, Message) else answer

            return grpc.unary_unary_rpc_method_handler(method)

    server = grpc.server(futures.ThreadPoolExecutor(2, "canned server"))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Destination("127.0.0.1", port, f"127.0.0.1:{port}", headers=(("authorization", "Bearer k"),))
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def over_http(
    answers: Mapping[str, tuple[int, Any]], heard: list[Any] | None = None
) -> Iterator[Destination]:
    """Status and JSON (or bytes as they are) by path; the rest is not found."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if heard is not None:
                heard.append((self.path, dict(self.headers)))
            status, body = answers.get(self.path, (404, b"<html>nothing here</html>"))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="canned server"
    )
    thread.start()
    port = server.server_address[1]
    try:
        yield Destination(
            "127.0.0.1", port, f"127.0.0.1:{port}", http=True, headers=(("authorization", "Bearer k"),)
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
