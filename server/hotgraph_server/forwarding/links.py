"""The ways to peers: a channel of gRPC for each, and one session for HTTP. Of the loop's thread alone.

A call is put on a channel only when that is connected, so that it is known of one that finds nobody that
nothing of it was sent: it may go to another peer. A channel that is not connected within `CONNECT_S`, or
fails to, is one that finds nobody; gRPC goes on trying in the background, every second at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import grpc.aio

from hotgraph_server.errors import CallError

if TYPE_CHECKING:
    import aiohttp

CONNECT_S = 1.0

_OPTIONS = [
    # What is received was let in by the peer's own limits and ours.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A machine that is gone ends the calls that it had.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A peer's connection is not shared with others in this process: each ends by itself.
    ("grpc.use_local_subchannel_pool", 1),
]
_PUSHBACK = "grpc-retry-pushback-ms"


class NobodyThere(Exception):
    """No connection could be had; nothing was sent."""


class PeersError(CallError):
    """What a peer has answered, or what became of the connection to it."""

    def __init__(self, status: grpc.StatusCode, text: str, retry_after_ms: int | None = None) -> None:
        self.status = status
        self.retry_after_ms = retry_after_ms
        super().__init__(text)


class HttpAnswer(NamedTuple):
    """Whatever its status."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Links:
    """Ways to any number of peers."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._methods: dict[tuple[str, str], Any] = {}
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self,
        address: str,
        path: str,
        message: bytes,
        metadata: tuple[tuple[str, str | bytes], ...],
        deadline: float,
    ) -> bytes:
        """The bytes of a peer's answer.

        Raises:
            NobodyThere: it cannot be reached.
            PeersError: it answers with an error, or the connection is lost.
        """
        method = self._methods.get((address, path))
        if method is None:
            # No (de)serialiser: bytes in, bytes out.
            method = self._channel(address).unary_unary(path)
            self._methods[address, path] = method
        await self._connected(self._channels[address], min(deadline, time.monotonic() + CONNECT_S))
        left_s = None if deadline == float("inf") else max(deadline - time.monotonic(), 0.0)
        try:
            answer: bytes = await method(message, timeout=left_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise PeersError(error.code(), error.details() or "", _pushback(error)) from None
        return answer

    async def request(
        self,
        address: str,
        verb: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        deadline: float,
    ) -> HttpAnswer:
        """A peer's answer over HTTP.

        Raises:
            NobodyThere: it cannot be reached.
            PeersError: the connection is lost.
        """
        import aiohttp
        from yarl import URL

        left_s = None if deadline == float("inf") else max(deadline - time.monotonic(), 0.001)
        try:
            async with self._http().request(
                verb,
                # As it was sent: a name with a slash in it stays one segment.
                URL(f"http://{address}{target}", encoded=True),
                data=body or None,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=left_s, sock_connect=CONNECT_S),
            ) as response:
                raw = await response.read()
                told = [
                    (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers
                ]
                return HttpAnswer(response.status, told, raw)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NobodyThere(str(error)) from None
        except asyncio.TimeoutError:
            raise PeersError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "deadline passed before the call was answered"
            ) from None
        except aiohttp.ClientError as error:
            raise PeersError(
                grpc.StatusCode.UNAVAILABLE, f"the connection to {address} is lost: {error}"
            ) from None

    async def keep(self, addresses: Iterable[str]) -> None:
        """Let go of the channels to all others; their calls have ended."""
        kept = set(addresses)
        gone = {address: channel for address, channel in self._channels.items() if address not in kept}
        for address in gone:
            del self._channels[address]
        self._methods = {key: method for key, method in self._methods.items() if key[0] in self._channels}
        for channel in gone.values():
            await channel.close()

    async def close(self) -> None:
        """Let go of all."""
        await self.keep(())
        if self._session is not None:
            await self._session.close()

    async def _connected(self, channel: grpc.aio.Channel, until: float) -> None:
        """Raises NobodyThere."""
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                raise NobodyThere("no connection")
            try:
                await asyncio.wait_for(
                    channel.wait_for_state_change(state), max(until - time.monotonic(), 0.0)
                )
            except asyncio.TimeoutError:
                raise NobodyThere("no connection in time") from None
            state = channel.get_state(try_to_connect=True)

    def _channel(self, address: str) -> grpc.aio.Channel:
        found = self._channels.get(address)
        if found is None:
            found = self._channels[address] = grpc.aio.insecure_channel(address, options=_OPTIONS)
        return found

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                # How many there are is bounded by whoever asks.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("user-agent", "content-type", "accept", "accept-encoding"),
                trust_env=False,
            )
        return self._session


def _pushback(error: grpc.aio.AioRpcError) -> int | None:
    for name, value in error.trailing_metadata() or ():
        if name == _PUSHBACK and str(value).isdecimal() and len(str(value)) < 10:
            return int(value)
    return None
