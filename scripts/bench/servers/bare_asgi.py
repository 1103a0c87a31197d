"""An application that reads a body and answers with bytes that never change: the rest is the server's cost.

`app` is ASGI's; run as a program it is a server of asyncio and httptools with nothing around them, on PORT.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

ANSWER = b'{"model_name":"softmax","model_version":"1","outputs":[]}' + bytes(40)
KIND = b"application/octet-stream"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """See ASGI."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", KIND), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


class _Bare(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        import httptools

        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """See httptools."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (KIND, len(ANSWER))
        self._transport.write(head + ANSWER)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
