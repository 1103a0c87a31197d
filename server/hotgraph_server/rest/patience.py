"""Connections on which no request comes are closed.

uvicorn closes those that have had an answer and say nothing more; for one that has sent half a head, or
nothing at all, it waits for ever, and each costs the process a file.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 30.0
"""For the head of a request to come, from the opening of the connection or its first byte, seconds."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's, with an end to its patience."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._wait_for_head()

    def on_message_begin(self) -> None:
        """See httptools: the first byte of a request is there."""
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._no_longer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._no_longer()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.abort)

    def _no_longer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
