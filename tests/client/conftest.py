"""Both clients under one face, and a fake server with a few models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from hotgraph_client import AsyncClient, Client

from ..ports import free_port
from .fake_http_server import FakeHttpServer
from .fake_inference_server import FakeModel, FakeServer


class Awaited:
    """An AsyncClient whose methods wait for their results, on an event loop of its own."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.loop = asyncio.new_event_loop()
        try:
            self.client = AsyncClient(*arguments, **settings)
        except BaseException:
            self.loop.close()
            raise

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return lambda *arguments, **settings: self.loop.run_until_complete(method(*arguments, **settings))

    def end(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture(params=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes clients with the constructor's arguments; each test runs over both kinds."""
    ends: list[Callable[[], None]] = []

    def make(*arguments: Any, **settings: Any) -> Any:
        if request.param == "Client":
            client = Client(*arguments, **settings)
            ends.append(client.close)
            return client
        awaited = Awaited(*arguments, **settings)
        ends.append(awaited.end)
        return awaited

    yield make
    for end in ends:
        end()


def fake_models() -> dict[str, FakeModel]:
    return {
        # one input, one output
        "double": FakeModel(
            lambda arrays: {"y": arrays["x"] * 2}, [("x", "FP32", [-1, 2])], [("y", "FP32", [-1, 2])]
        ),
        # two of each
        "sum_and_difference": FakeModel(
            lambda arrays: {"sum": arrays["a"] + arrays["b"], "difference": arrays["a"] - arrays["b"]},
            [("a", "INT64", [-1]), ("b", "INT64", [-1])],
            [("sum", "INT64", [-1]), ("difference", "INT64", [-1])],
        ),
        # one input, two outputs
        "extremes": FakeModel(
            lambda arrays: {"low": arrays["x"].min(), "high": arrays["x"].max()}, [("x", "INT32", [-1])]
        ),
        "shout": FakeModel(
            lambda arrays: {
                "loud": np.array([text.upper() for text in arrays["text"].ravel()], object).reshape(
                    arrays["text"].shape
                )
            },
            [("text", "BYTES", [-1])],
            [("loud", "BYTES", [-1])],
        ),
        # answers with what it was sent, whatever that is
        "echo": FakeModel(lambda arrays: arrays, [("x", "FP32", [-1])], [("x", "FP32", [-1])]),
    }


@pytest.fixture(params=[FakeServer, FakeHttpServer], ids=["gRPC", "HTTP"])
def kind_of_server(request: pytest.FixtureRequest) -> type[FakeServer]:
    """Each test that asks for a server runs over both ways."""
    kind: type[FakeServer] = request.param
    return kind


@pytest.fixture
def server(kind_of_server: type[FakeServer]) -> Iterator[FakeServer]:
    with kind_of_server(models=fake_models()) as running:
        yield running


@pytest.fixture
def http_server() -> Iterator[FakeHttpServer]:
    with FakeHttpServer(models=fake_models()) as running:
        yield running


@pytest.fixture
def nobody(kind_of_server: type[FakeServer]) -> str:
    """The address of a server that is not there."""
    return kind_of_server(port=free_port()).address
