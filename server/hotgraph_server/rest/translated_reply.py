"""A Reply to a method of gRPC, which hands its response on as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from hotgraph_server.errors import InvalidCall
from hotgraph_server.transport.forwarding import ForwardingReply
from hotgraph_server.transport.service import Answered, Reply, joined


class TranslatedReply(ForwardingReply):
    """
    Args:
        reply: that gets the JSON.
        response: class of the method's response.
        write: makes the answer of one; it runs where the reply's `encode` does.
    """

    def __init__(self, reply: Reply, response: Any, write: Callable[[Any], Any]) -> None:
        super().__init__(reply)
        self._response = response
        self._write = write

    def finish(self, encode: Callable[[], Answered]) -> None:
        """See Reply."""
        response, write = self._response, self._write

        def translate() -> Any:
            try:
                read = response.FromString(joined(encode()))
            except DecodeError as error:
                # Our own messages are whole; only a graph's bytes can be where text belongs.
                raise InvalidCall("a label of the result is no UTF-8, which JSON needs") from error
            return write(read)

        self._reply.finish(translate)
