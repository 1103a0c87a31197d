"""The page's sockets: http.server on 127.0.0.1, guarded as __init__.py says.

Owner: the command, which starts it and stops it; `stop` ends its threads. A request waits for nothing but its
own bytes, and for those `TIMEOUT_S` at most.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .control import Control
from .feed import Feed
from .page import page, policy

MAX_REQUESTS = 16
TIMEOUT_S = 10.0
_MAX_BODY = 4096


class LivePage:
    """The server of one load's page.

    Attributes:
        url: of the page, token and all.
    """

    def __init__(self, feed: Feed, control: Control, title: str, port: int = 0) -> None:
        """
        Raises:
            OSError: the port cannot be listened on.
        """
        self._token = secrets.token_urlsafe(24)
        self._server = _Server(port, _Shown(feed, control, title, self._token))
        self._thread: threading.Thread | None = None
        self.url = f"http://127.0.0.1:{self._server.server_port}/{self._token}/"

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="loadtest-live", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(TIMEOUT_S)
            self._thread = None
        self._server.server_close()


class _Shown:
    def __init__(self, feed: Feed, control: Control, title: str, token: str) -> None:
        self.feed, self.control, self.title, self.token = feed, control, title, token


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Threads end by their time limits; nobody waits for them.
    block_on_close = False
    request_queue_size = MAX_REQUESTS

    def __init__(self, port: int, shown: _Shown) -> None:
        self.shown = shown
        self._free = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no matter of the terminal's, on which a load is shown."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """The page, or what is new."""
        path = self._path_of_ours()
        if path is None:
            return
        shown = self.server.shown
        if path == "":
            self._send(200, "text/html; charset=utf-8", page(shown.title).encode())
        elif path == "state":
            asked = parse_qs(urlsplit(self.path).query).get("since", ["0"])[0]
            since = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0
            self._send_json(200, {**shown.feed.since(since), "load": shown.control.state()})
        else:
            self._send_json(404, {"error": "there is nothing there"})

    def do_POST(self) -> None:
        """A change of the load."""
        path = self._path_of_ours()
        if path is None:
            return
        if path != "load":
            self._send_json(404, {"error": "there is nothing there"})
            return
        if self.headers.get_content_type() != "application/json":
            self._send_json(415, {"error": "a change is JSON"})
            return
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal()) or int(length[:9]) > _MAX_BODY:
            self._send_json(413, {"error": f"a change has a length, {_MAX_BODY} bytes at most"})
            return
        try:
            wanted = json.loads(self.rfile.read(int(length)))
            if not isinstance(wanted, dict):
                raise ValueError("a change is an object of JSON")
            self.server.shown.control.change(wanted)
        except (ValueError, RecursionError) as error:
            self._send_json(400, {"error": " ".join(str(error).split())})
            return
        self._send_json(200, {"load": self.server.shown.control.state()})

    def _path_of_ours(self) -> str | None:
        """What is asked for behind the token; None: it was refused."""
        port = self.server.server_port
        names = [f"127.0.0.1:{port}", f"localhost:{port}"]
        origin = self.headers.get("origin")
        # by name, another site could have this address as its own (DNS rebinding)
        if self.headers.get("host") not in names or origin not in (
            None,
            *(f"http://{name}" for name in names),
        ):
            self._send_json(403, {"error": "this page is for this machine alone"})
            return None
        token, slash, rest = urlsplit(self.path).path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.shown.token.encode()) or not slash:
            self._send_json(404, {"error": "the page's address has a token, which the terminal shows"})
            return None
        return rest

    def _send_json(self, status: int, value: Any) -> None:
        self._send(status, "application/json", json.dumps(value).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.send_header("content-security-policy", policy())
        self.send_header("referrer-policy", "no-referrer")
        self.send_header("x-content-type-options", "nosniff")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nowhere: the terminal shows the load."""
