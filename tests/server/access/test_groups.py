"""The tables against what a server really has: no method is in no group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotgraph_server import server as server_module
from hotgraph_server.access.groups import ADMIN, GRPC, PROTOCOLS, REST, Group
from hotgraph_server.errors import StartError
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.admin.guard import group_of
from hotgraph_server.observability.admin.http import Request, Response
from hotgraph_server.observability.admin.pages import Pages
from hotgraph_server.rest.tfs.paths import What
from hotgraph_server.server import Server
from hotgraph_server.settings import (
    AdminSettings,
    ListenSettings,
    ModelSettings,
    ServerSettings,
    SharedMemorySettings,
)
from hotgraph_server.transport.health import Health
from hotgraph_server.transport.reflection import reflection_services
from hotgraph_server.transport.service import Service

V2 = "/inference.GRPCInferenceService"


def paths_of(service: Service) -> set[str]:
    methods = service.hot.keys() | service.plain.keys() | service.streaming.keys()
    return {f"/{service.name}/{method}" for method in methods}


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> list[Service]:
    """All that a server with everything on gives to its transport, and what that adds."""
    given: list[Service] = []

    def bind(settings: ListenSettings, services: list[Service], *_: Any) -> None:
        given.extend(services)
        raise StartError("that is all")

    monkeypatch.setattr(server_module, "CallServer", bind)
    settings = ServerSettings(
        (ModelSettings("m", Path("/unused")),),
        admin=AdminSettings(0),
        shared_memory=SharedMemorySettings(allow_client_shm=True),
    )
    with pytest.raises(StartError, match="that is all"):
        Server(settings, make=lambda name, path, _: ModelSettings(name, path)).start()
    given.append(Health().service)
    return [*given, *reflection_services(given)]


def test_every_method_is_in_the_table_and_nothing_else_is(services: list[Service]) -> None:
    assert set[str]().union(*map(paths_of, services)) == set(GRPC)


def test_everything_that_can_be_asked_over_rest_is_in_a_group() -> None:
    assert set(REST) == {what.value for what in What}
    assert {what: method.group for what, method in REST.items()} == {
        **dict.fromkeys(("predict", "classify", "regress"), Group.INFER),
        **dict.fromkeys(("models", "status", "metadata"), Group.METADATA),
    }
    assert REST["predict"].protocol == "inference"


def test_every_page_of_the_admin_port_is_in_the_table() -> None:
    pages = Pages(Registry(), list, lambda: State.LIVE)
    missing = pages.answer(Request("GET", "/nothing"))
    assert isinstance(missing, Response)
    listed = missing.body.decode().partition("there is ")[2].split()
    assert set(listed) == set(ADMIN)


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("/healthz", None),
        ("/readyz", None),
        ("/metrics", Group.ADMIN),
        ("/nothing", Group.ADMIN),
        ("/api/state", Group.STATE),
        ("/api/state/m/latest/save", Group.STATE),
        ("/api/stateful", Group.ADMIN),
    ],
)
def test_pages_that_are_not_there_are_no_way_around(path: str, group: Group | None) -> None:
    assert group_of(path) is group


def test_health_alone_needs_no_key() -> None:
    free = {path.rpartition("/")[2] for path, method in GRPC.items() if method.group is None}
    assert free == {"ServerLive", "ServerReady", "ModelReady", "Check", "Watch"}


def test_what_changes_something_is_control() -> None:
    control = {path.rpartition("/")[2] for path, method in GRPC.items() if method.group is Group.CONTROL}
    assert control == {
        *("RepositoryModelLoad", "RepositoryModelUnload", "TraceSetting", "LogSettings"),
        *("SystemSharedMemoryRegister", "SystemSharedMemoryUnregister"),
        *("CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"),
        "HandleReloadConfigRequest",
    }


def test_protocols_are_tritons() -> None:
    """The lists that its server registers its methods with."""
    of = {
        protocol: {path.rpartition("/")[2] for path, one in GRPC.items() if one.protocol == protocol}
        for protocol in PROTOCOLS
    }
    tritons = {path.rpartition("/")[2] for path in GRPC if path.startswith(V2)}
    assert {protocol: methods & tritons for protocol, methods in of.items()} == {
        "health": {"ServerLive", "ServerReady", "ModelReady"},
        "metadata": {"ServerMetadata", "ModelMetadata"},
        "inference": {"ModelInfer", "ModelStreamInfer"},
        "shared-memory": {
            *("SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister"),
            *("CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"),
        },
        "model-config": {"ModelConfig"},
        "model-repository": {"RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"},
        "statistics": {"ModelStatistics"},
        "trace": {"TraceSetting"},
        "logging": {"LogSettings"},
    }
