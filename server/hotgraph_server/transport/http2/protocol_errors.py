"""What ends a connection."""

from __future__ import annotations

from hotgraph_server.transport.http2.frames import Code


class ConnectionBroken(Exception):
    """The peer broke the protocol; nothing more can be received.

    Attributes:
        code: what the GOAWAY says.
    """

    def __init__(self, code: Code, why: str) -> None:
        self.code = code
        super().__init__(why)
