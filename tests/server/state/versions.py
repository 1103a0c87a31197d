"""Versions of a model that adds up, and callers that let them add and read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hotgraph_server.batching.request import Request
from hotgraph_server.models.admission import Submitted
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.version import Version
from hotgraph_server.settings import BatchSettings, ModelSettings, StateSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.state.restore import StateRestore

from ..fakes import Caller
from .simulated import Adding

Start = Callable[..., tuple[Version, Adding]]


@contextmanager
def starting() -> Iterator[Start]:
    """Starts versions of it, and stops them at the end."""
    versions: list[Version] = []

    def start(number: int = 1, *signatures: Signature, **state: object) -> tuple[Version, Adding]:
        settings = StateSettings(**state)  # type: ignore[arg-type]
        graph = Adding(*signatures)
        model = ModelSettings("m", Path("/m"), BatchSettings(), state=settings)
        version = open_version(
            model, number, graph.open, restore=StateRestore(settings, "m", number, "0" * 32)
        )
        versions.append(version)
        return version, graph

    yield start
    for version in versions:
        version.stop(10)


def add(version: Version, by: int, deadline: float = math.inf) -> tuple[Caller, Submitted]:
    caller = Caller()
    signature = version.signatures["add"]
    call = version.submit(
        Request(signature, [np.array(by)], ("total",), caller.completion, deadline=deadline)
    )
    return caller, call


def read(version: Version) -> list[int]:
    caller = Caller()
    version.submit(Request(version.signatures["read"], [], ("total", "again"), caller.completion))
    return [int(one) for one in caller.answer()]
