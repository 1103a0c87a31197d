"""The server's own sockets and HTTP/1.1, with an API that answers with bytes that never change, on PORT."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from bench.servers.bare_asgi import ANSWER, KIND
from hotgraph_server.errors import CallError
from hotgraph_server.settings import ListenSettings, RestSettings
from hotgraph_server.transport.http import Content, Endpoint, Request
from hotgraph_server.transport.server import CallServer, HttpPort

_CONTENT = Content([ANSWER], KIND.decode())


class _Bare:
    """See transport.http.Api."""

    def endpoint(self, request: Request) -> Endpoint:
        return Endpoint(_answer, 2**30, 0, limited=True)

    def error(self, request: Request, error: CallError) -> Content:
        return Content([str(error).encode()], status=500)

    def headers(self, request: Request) -> Sequence[tuple[str, str]]:
        return ()

    def apart(self, *_: Any) -> Callable[[], object] | None:
        return None


def _answer(_: Any, reply: Any) -> None:
    reply.finish(lambda: _CONTENT)


if __name__ == "__main__":
    server = CallServer(
        ListenSettings(port=0), [], http=HttpPort(RestSettings(rest_port=int(sys.argv[1])), _Bare())
    )
    server.start()
    threading.Event().wait()
