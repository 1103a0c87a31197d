"""One server in this process with every SavedModel of the tests and the built-in model.

TensorFlow takes seconds to start, so all acceptance tests share it. A model that keeps state is used by
one test file alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import InferenceServerClient, service_pb2_grpc

from ..saved_models import BUILDERS, SavedModels
from .envoy import binary
from .foreign_packages import NotToBeHad
from .http_server import HttpServer, of_repository, write_repository
from .triton_tensors import strings

# These load and then fail their first run, which a server refuses to start with.
UNFIT = ("uninitialized", "uninitialized_table")


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Callers may change what a server logs; the one of this process shares its log with all other tests."""
    ours, root = logging.getLogger("hotgraph_server"), logging.getLogger()
    level, handlers = ours.level, [(each, each.filters[:], each.formatter) for each in root.handlers]
    yield
    ours.setLevel(level)
    for handler, filters, formatter in handlers:
        handler.filters[:] = filters
        handler.setFormatter(formatter)


@pytest.fixture(scope="session")
def envoy_program() -> Path:
    """Envoy's program. What asks for it is skipped, and counted, where that cannot be had."""
    try:
        return binary()
    except NotToBeHad as error:
        pytest.skip(f"Envoy cannot be had here: {error}")


@pytest.fixture(scope="session")
def versions(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions: 2 is tf1_softmax, 007 is tf2_mlp; and a folder that is no version."""
    folder = tmp_path_factory.mktemp("versions")
    (folder / "2").symlink_to(saved_models["tf1_softmax"])
    (folder / "007").symlink_to(saved_models["tf2_mlp"])
    (folder / "notes").mkdir()
    return folder


@pytest.fixture(
    scope="session",
    params=["fast lane", pytest.param("nobody leads", marks=pytest.mark.slow), "grpc's own way"],
)
def address(request: pytest.FixtureRequest, saved_models: SavedModels, versions: Path) -> Iterator[str]:
    """HOST:PORT of the server; its models are called as in BUILDERS, and `digits`, and `versioned`.

    Every test runs over all ways into the server: nobody may see a difference.
    """
    from hotgraph_server.commands.builtin import digits_model
    from hotgraph_server.server import Server, Stopped
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
    )

    folders = {name: saved_models[name] for name in BUILDERS if name not in UNFIT}
    folders |= {"digits": digits_model(), "versioned": versions}
    models = tuple(ModelSettings(name, folder) for name, folder in folders.items())
    listen = ListenSettings(
        port=0,
        fast_lane=request.param != "grpc's own way",
        lead="never" if request.param == "nobody leads" else "auto",
    )
    server = Server(ServerSettings(models, listen, AdminSettings(admin_port=0), RestSettings(rest_port=0)))
    server.start()
    yield server.address
    assert server.stop() == Stopped(answered=True, ended=True), (
        "not every call was answered, or an executor did not end"
    )


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[InferenceServerClient]:
    """tritonclient's own client."""
    with InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="session")
def stub(address: str) -> Iterator[Any]:
    """tritonclient's bare stub, for requests that its client refuses to make."""
    with grpc.insecure_channel(address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="session")
def http_server(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server of a repository and of the built-in model, for the tests of HTTP; see `write_repository`.
    Callers' shared memory is on, and traces may be written. There is a folder `later` of a model that was not
    loaded."""
    from hotgraph_server.commands.builtin import digits_model

    root = tmp_path_factory.mktemp("repository")
    write_repository(root, saved_models)
    traces = tmp_path_factory.mktemp("traces") / "traces.json"
    settings = traces.with_name("server.toml")
    settings.write_text("unload_grace_s = 0\n")
    flags = ("--config", str(settings), "--allow-client-shm", "--trace-file", str(traces))
    with of_repository(root, f"digits={digits_model()}", *flags) as server:
        (root / "later" / "1").mkdir(parents=True)
        yield server


@pytest.fixture
def held_run(tmp_path: Path) -> Callable[..., AbstractContextManager[None]]:
    """``with held_run(address):`` the model `gated` at that address is inside a run, for as long as it says;
    ``held_run(address, name)``: another model that is made of the same graph.

    On the way out the run is let go, and its caller must get its answer.
    """

    @contextmanager
    def hold(address: str, model: str = "gated") -> Iterator[None]:
        entered, gate = tmp_path / "entered", tmp_path / "gate"
        os.mkfifo(entered)
        os.mkfifo(gate)
        with InferenceServerClient(address) as client, ThreadPoolExecutor(1) as caller:
            inputs = [strings(pipe.name, str(pipe).encode()) for pipe in (entered, gate)]
            answer = caller.submit(client.infer, model, inputs, parameters={"signature_name": "hold"})
            entered.read_bytes()
            try:
                yield
            finally:
                # not blocking, for the server may be gone; open until the answer, for it may not be there yet
                opened = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    opened_by_run = answer.result().as_numpy("opened").item()
                finally:
                    os.close(opened)
            assert opened_by_run is True

    return hold
