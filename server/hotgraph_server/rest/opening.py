"""What the REST port answers, with what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hotgraph_protos.version import __version__
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.metrics.prometheus import OwnFigures
from hotgraph_server.observability.metrics.tfs import MetricsPage
from hotgraph_server.observability.tracing.tracing import Tracing
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.rest.api import RestApi
from hotgraph_server.rest.codes import http_code
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.openapi.api import OpenApi
from hotgraph_server.rest.openapi.document import About
from hotgraph_server.rest.tfs.api import Admit, TfsApi
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.rest.v2.api import CallEndpoint, V2Http
from hotgraph_server.rest.v2.generate import HttpGenerate
from hotgraph_server.rest.v2.infer import HttpInfer
from hotgraph_server.rest.v2.paths import What
from hotgraph_server.settings import ServerSettings
from hotgraph_server.transport.http import Elsewhere
from hotgraph_server.transport.service import Service


@dataclass(frozen=True)
class Backs:
    """What stands behind the REST port: the rooms that gRPC's callers come into as well.

    Attributes:
        registry: which versions are live.
        prediction, models: TensorFlow Serving's services.
        inference: the Open Inference Protocol's.
        regions: shared memory that tensors may lie in; None: they may not.
        names: of the models that the server knows of.
        may_write: may calls of the model of that name be written down?
        state: of the server.
        own: see observability/metrics/prometheus.py.
        tracing: follows what runs models; None: nothing does.
        load: see RestApi.
        elsewhere: for models that are not here; None: all is answered here.
    """

    registry: Registry
    prediction: Service
    models: Service
    inference: Service
    regions: Regions | None
    names: Callable[[], Iterable[str]]
    may_write: Callable[[str], bool]
    state: Callable[[], State]
    own: Callable[[], OwnFigures]
    tracing: Tracing | None = None
    load: Callable[[Mapping[str, str]], Sequence[tuple[str, str]]] = lambda headers: ()
    elsewhere: Elsewhere | None = None


def rest_api(settings: ServerSettings, backs: Backs, admit: Admit | None) -> RestApi:
    """What the REST port answers.

    Args:
        settings: of the whole server.
        admit: see RestApi.
    """
    rest, registry, state = settings.rest, backs.registry, backs.state
    most_bytes = rest.rest_max_body_mb * 2**20
    pool = JsonProcessPool(rest.rest_processes, rest.rest_json_s)
    methods = Methods(
        registry,
        backs.prediction,
        backs.models,
        backs.names,
        backs.may_write,
        pool,
        strict_shapes=settings.prediction.rest_checks_shapes,
    )
    infer = HttpInfer(registry, pool, most_bytes, backs.regions)
    generate = HttpGenerate(registry, pool, most_bytes)
    calls: dict[What, CallEndpoint] = {
        What.INFER: infer.endpoint,
        What.GENERATE: generate.endpoint,
        What.GENERATE_STREAM: generate.stream_endpoint,
    }
    tracing = backs.tracing
    if tracing is not None:
        calls = {
            what: tracing.around_http(call, f"/v2/models/{{model}}/{what.value}", http_code)
            for what, call in calls.items()
        }
    page = MetricsPage(registry, lambda: state() is State.LIVE, backs.own)
    about = About(settings.inference.server_name, __version__, keys=admit is not None)
    return RestApi(
        rest,
        TfsApi(methods, state, admit, most_bytes, tracing, backs.elsewhere),
        V2Http(backs.inference, calls, state, most_bytes, admit, pool, backs.elsewhere),
        pool,
        page.text,
        OpenApi(registry.versions, about),
        admit,
        backs.load,
    )
