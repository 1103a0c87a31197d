"""All of /v2 over models, a repository and settings that the test holds, without a transport."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.status import IndexRow, State
from hotgraph_server.observability.log_settings import Logs
from hotgraph_server.observability.tracing.tracing import Tracing
from hotgraph_server.protocols.v2 import log_settings, model_control, trace_settings
from hotgraph_server.protocols.v2 import service as v2
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.rest.v2.api import Admit, V2Http
from hotgraph_server.rest.v2.paths import What
from hotgraph_server.settings import SharedMemorySettings, TraceSettings
from hotgraph_server.transport.http import Content, Endpoint, Request

from ...protocols.fakes import FakeGraph, Models, add_and_subtract, float_signature
from ..fakes import Answer, asked, request

MOST_BYTES = 4 * 2**20


class FakeControl:
    """repository.control.ModelControl, which does at once what it is asked.

    Attributes:
        asked: what was to be loaded and unloaded.
        rows: the index.
        error: what comes of loading and unloading.
        refusal: what they are refused with.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.rows: list[IndexRow] | CallError = []
        self.error: CallError | None = None
        self.refusal: CallError | None = None

    def load(
        self,
        name: str,
        config: str | None,
        files: Mapping[str, bytes],
        tell: Any,
        served_as: Mapping[str, str],
    ) -> None:
        self._do((name, config, dict(files), *([served_as] if served_as else [])), tell)

    def unload(self, name: str, tell: Any) -> None:
        self._do((name,), tell)

    def index(self, tell: Callable[[list[IndexRow] | CallError], None]) -> None:
        tell(self.rows)

    def _do(self, what: tuple[Any, ...], tell: Callable[[CallError | None], None]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(what)
        tell(self.error)


class V2:
    """/v2 over the versions 3 and 12 of model "m", and version 1 of "coming", which is not live.

    Attributes:
        control: answers for the repository.
        state: of the server; the test may change it.
        called: the requests to run models, each with its model and version.
    """

    def __init__(self, models: Models, folder: Path, *, shm: bool = True, admit: Admit | None = None) -> None:
        for number in (3, 12):
            version = models.add("m", number, FakeGraph((float_signature(), add_and_subtract)))
            version.contract = Contract(pb.ModelConfig(name="m", max_batch_size=8))
        models.add("coming", 1, FakeGraph(), live=False)
        self.models = models
        self.control = FakeControl()
        self.state = State.LIVE
        self.called: list[tuple[Request, str, str]] = []
        registry = models.registry
        settings = SharedMemorySettings(allow_client_shm=shm)
        self.service = v2.service(
            registry,
            lambda: self.state is State.LIVE,
            is_starting=lambda: self.state is State.LOADING,
            regions=Regions(settings, str(folder)) if shm else None,
            more=[
                model_control.methods(self.control, lambda: self.state is State.LOADING),
                trace_settings.methods(
                    Tracing(TraceSettings(trace_file=str(folder / "t")), registry), registry
                ),
                log_settings.methods(Logs([])),
            ],
        )
        calls = dict.fromkeys((What.INFER, What.GENERATE, What.GENERATE_STREAM), self._call)
        self.api = V2Http(self.service, calls, lambda: self.state, MOST_BYTES, admit)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, b"", headers)

    def post(self, path: str, body: Any = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """What is no bytes is sent as JSON."""
        return self.ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return asked(self.api.endpoint, self.api.error, request(method, path, headers), body)

    def _call(self, request: Request, model: str, version: str) -> Endpoint:
        def begin(body: object, reply: Any) -> None:
            self.called.append((request, model, version))
            reply.finish(lambda: Content([b"{}"]))

        return Endpoint(begin, MOST_BYTES)
