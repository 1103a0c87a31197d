"""The ways to peers, with real ones: who is not there is known before anything is sent."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from hotgraph_server.forwarding.links import Links, NobodyThere, PeersError

from ...ports import free_port


class Echo(grpc.GenericRpcHandler):
    """`/e/Say` answers what it is told; others fail as their method is called."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, Any]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        name = details.method.rpartition("/")[2]
        self.metadata.append(dict(details.invocation_metadata or ()))

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if name != "Say":
                context.set_trailing_metadata((("grpc-retry-pushback-ms", "70"),))
                context.abort(grpc.StatusCode[name], "as it is")
            return request

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def peer() -> Iterator[tuple[str, Echo]]:
    echo = Echo()
    server = grpc.server(
        ThreadPoolExecutor(2, "fake peer"), [echo], options=[("grpc.max_receive_message_length", -1)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", echo
    server.stop(0).wait()


def with_links(work: Callable[[Links], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        links = Links()
        try:
            return await work(links)
        finally:
            await links.close()

    return asyncio.run(run())


def test_bytes_go_and_come_as_they_are(peer: tuple[str, Echo]) -> None:
    address, echo = peer
    said = (("authorization", "Bearer key"), ("x-bin", b"\0"))

    async def work(links: Links) -> Any:
        await links.call(address, "/e/Say", b"one", said, math.inf)
        return await links.call(address, "/e/Say", b"\xff" * 5_000_000, (), time.monotonic() + 60)

    assert with_links(work) == b"\xff" * 5_000_000
    assert echo.metadata[0].items() >= dict(said).items()


def test_an_error_is_the_peers_with_its_pushback(peer: tuple[str, Echo]) -> None:
    async def work(links: Links) -> None:
        await links.call(peer[0], "/e/RESOURCE_EXHAUSTED", b"", (), math.inf)

    with pytest.raises(PeersError, match="as it is") as caught:
        with_links(work)
    assert (caught.value.status, caught.value.retry_after_ms) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 70)


def test_unavailable_that_a_peer_says_is_an_answer(peer: tuple[str, Echo]) -> None:
    async def work(links: Links) -> None:
        await links.call(peer[0], "/e/UNAVAILABLE", b"", (), math.inf)

    with pytest.raises(PeersError):
        with_links(work)


@pytest.mark.parametrize("http", [False, True])
def test_who_is_not_there_is_nobody(http: bool) -> None:
    address = f"127.0.0.1:{free_port()}"

    async def work(links: Links) -> None:
        if http:
            await links.request(address, "GET", "/v2", [], b"", math.inf)
        else:
            await links.call(address, "/e/Say", b"", (), math.inf)

    with pytest.raises(NobodyThere):
        with_links(work)


def test_who_is_no_peer_any_more_is_let_go_of_and_found_again(peer: tuple[str, Echo]) -> None:
    async def work(links: Links) -> Any:
        await links.call(peer[0], "/e/Say", b"1", (), math.inf)
        await links.keep(())
        return await links.call(peer[0], "/e/Say", b"2", (), math.inf)

    assert with_links(work) == b"2"
