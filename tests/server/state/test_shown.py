"""Where people and clients see what a signature writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.commands.inspect import report
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.observability.admin.http import Request, Response
from hotgraph_server.observability.admin.pages import Pages
from hotgraph_server.protocols.v2 import metadata
from hotgraph_server.settings import ModelSettings
from hotgraph_server.transport.service import PlainMethod

from .simulated import Adding


@pytest.fixture
def version() -> Iterator[Version]:
    version = open_version(ModelSettings("m", Path("/m")), 1, Adding().open)
    yield version
    version.stop(10)


@pytest.fixture
def registry(version: Version) -> Registry:
    registry = Registry()
    registry.replace("m", [version], {})
    return registry


def test_inspect_names_the_variables(version: Version) -> None:
    lines = list(report(version, Path("/m"), []))
    assert lines.count("  writes again, total") == 1


def test_metadata_names_the_variables(registry: Registry) -> None:
    found = metadata.methods(registry, "hotgraph")["ModelMetadata"]
    assert isinstance(found, PlainMethod)
    response = found.answer(pb.ModelMetadataRequest(name="m"))
    assert response.properties["writes.add"] == "again,total"
    assert "writes.read" not in response.properties


def answer(registry: Registry, method: str, path: str) -> Response:
    found = Pages(registry, lambda: ["m"], lambda: State.LIVE).answer(Request(method, path))
    return found.result(10) if isinstance(found, Future) else found


def test_admin_port_tells_what_is_kept(registry: Registry) -> None:
    (told,) = json.loads(answer(registry, "GET", "/api/state").body)
    assert told == {
        "model": "m",
        "version": 1,
        "variables": {"add": ["again", "total"]},
        "writes": 0,
        "saved": 0,
        "folder": None,
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/state", HTTPStatus.METHOD_NOT_ALLOWED),
        ("GET", "/api/state/m/1/save", HTTPStatus.METHOD_NOT_ALLOWED),
        ("POST", "/api/state/m/1/save", HTTPStatus.CONFLICT),
        ("POST", "/api/state/m/2/save", HTTPStatus.NOT_FOUND),
        ("POST", "/api/state/m/²/save", HTTPStatus.NOT_FOUND),
        ("POST", "/api/state/m/1", HTTPStatus.NOT_FOUND),
        ("POST", "/api/stately", HTTPStatus.NOT_FOUND),
    ],
)
def test_admin_port_refuses_what_it_does_not_know(
    registry: Registry, method: str, path: str, status: HTTPStatus
) -> None:
    assert answer(registry, method, path).status is status
