"""A REST port over models that the test holds, and a client that says exactly what it is told to."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_server.models.opening import open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State, VersionStatus
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.tfs import prediction, status
from hotgraph_server.protocols.v2.service import service as v2_service
from hotgraph_server.rest.api import RestApi
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.openapi.api import OpenApi
from hotgraph_server.rest.openapi.document import About
from hotgraph_server.rest.tfs.api import Admit, TfsApi
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.rest.v2.api import V2Http
from hotgraph_server.settings import BatchSettings, ListenSettings, ModelSettings, RestSettings
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.server import CallServer, HttpPort

from ...ports import free_port
from ..fakes import HANG_S, FakeGraph

FLOAT32 = np.dtype(np.float32)

CLASSIFY = Signature(
    "classify",
    (TensorSpec("inputs", "inputs:0", STRING, (None,)),),
    (TensorSpec("classes", "c:0", STRING, (None, None)), TensorSpec("scores", "s:0", FLOAT32, (None, None))),
    method_name="tensorflow/serving/classify",
)
REGRESS = Signature(
    "regress",
    (TensorSpec("inputs", "inputs:0", STRING, (None,)),),
    (TensorSpec("outputs", "o:0", FLOAT32, (None,)),),
    method_name="tensorflow/serving/regress",
)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of an error; anything else fails the test."""
        assert self.code >= 400, self
        assert self.headers["content-type"] == "application/json"
        found = self.json
        assert list(found) == ["error"]
        return str(found["error"])


class Statuses:
    """Stands for the repository: what there is in the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def models(self) -> list[str]:
        return list(self._registry.table)

    def statuses(self, name: str) -> list[VersionStatus]:
        return [
            VersionStatus(version.number, version.state)
            for version in self._registry.table.get(name, {}).values()
        ]

    def when_settled(self, names: Any, tell: Any) -> Callable[[], None]:
        raise NotImplementedError


class RestServer:
    """What a Server does with its REST port."""

    def __init__(
        self, listen: ListenSettings, settings: RestSettings, api: RestApi, inflight: Inflight | None
    ) -> None:
        self._api = api
        self._calls = CallServer(listen, [], None, inflight, http=HttpPort(settings, api))
        self._running = False

    def start(self) -> None:
        self._calls.start()
        self._running = True

    @property
    def address(self) -> str:
        assert self._calls.http_address is not None
        return self._calls.http_address

    def leave(self, timeout_s: float) -> None:
        self._calls.leave(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        if not self._running:
            return True
        self._running = False
        answered = self._calls.stop(timeout_s)
        self._api.close(HANG_S)
        return answered


@dataclass
class Rest:
    """A REST port.

    Attributes:
        state: what the server is in; the test may change it.
        metrics: makes the text at the Prometheus path.
        listed: the names of the models; None: those of the registry.
        load: what answers say of the server's load, by their requests' headers.
    """

    settings: RestSettings = field(default_factory=lambda: RestSettings(rest_processes=0))
    max_calls: int = 100
    strict_shapes: bool = True
    state: State = State.LIVE
    metrics: Callable[[], bytes] = lambda: b"figures 1\n"
    admit: Admit | None = None
    inflight: Inflight | None = None
    listed: Sequence[str] | None = None
    load: Callable[[Mapping[str, str]], Sequence[tuple[str, str]]] = lambda headers: ()

    def __post_init__(self) -> None:
        self.registry = Registry()
        self.versions: list[Version] = []
        self.graphs: list[FakeGraph] = []
        predicting = prediction.service(self.registry)
        models = status.service(Statuses(self.registry), lambda _: None, None)
        self.port = free_port()
        # The settings' 0 means none; here it is the test that wants a free one.
        settings = RestSettings(**{**vars(self.settings), "rest_port": self.port})
        methods = Methods(
            self.registry,
            predicting,
            models,
            lambda: self.registry.table if self.listed is None else self.listed,
            pool=JsonProcessPool(settings.rest_processes),
            strict_shapes=self.strict_shapes,
        )
        most_bytes = settings.rest_max_body_mb * 2**20
        inference = v2_service(self.registry, lambda: self.state is State.LIVE)
        api = RestApi(
            settings,
            TfsApi(methods, lambda: self.state, self.admit, most_bytes),
            V2Http(inference, {}, lambda: self.state, most_bytes, self.admit, methods.pool),
            methods.pool,
            lambda: self.metrics(),
            OpenApi(self.registry.versions, About("hotgraph", "1")),
            self.admit,
            lambda headers: self.load(headers),
        )
        self.server = RestServer(
            ListenSettings(port=0, max_calls=self.max_calls), settings, api, self.inflight
        )
        self.server.start()

    def serve(
        self,
        graph: FakeGraph,
        number: int = 1,
        name: str = "m",
        batch: BatchSettings | None = None,
        labels: Mapping[str, int] | None = None,
    ) -> Version:
        """Make a version of a model live."""
        version = open_version(
            ModelSettings(name, Path("unused"), batch or BatchSettings()), number, graph.open
        )
        self.versions.append(version)
        self.graphs.append(graph)
        self.registry.replace(name, [*self.registry.table.get(name, {}).values(), version], labels or {})
        return version

    def close(self) -> None:
        for graph in self.graphs:
            graph.let_all_go()
        self.server.stop(HANG_S)
        for version in self.versions:
            version.stop(HANG_S)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_S)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; what is no bytes is sent as JSON."""
        connection = self.connect()
        try:
            return ask(connection, method, path, body, headers)
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("POST", path, body, headers)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection that stays open."""
    if not isinstance(body, (bytes, type(None))):
        body = json.dumps(body).encode()
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, response.read())


def strings(*values: bytes) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def one_class_each(inputs: Sequence[Any]) -> list[Any]:
    """What a graph for CLASSIFY may compute: for each example the class `é` with the score 0.1."""
    count = len(inputs[0])
    labels = strings(*["é".encode()] * count).reshape(count, 1)
    return [labels, np.full((count, 1), 0.1, np.float32)]
