"""The REST port with what it is made of."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.metrics.prometheus import OwnFigures
from hotgraph_server.observability.metrics.tfs import MetricsPage
from hotgraph_server.rest.app import Admit
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.server import RestServer
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.settings import ServerSettings
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.service import Service


def rest_server(
    settings: ServerSettings,
    registry: Registry,
    prediction: Service,
    models: Service,
    names: Callable[[], Iterable[str]],
    may_write: Callable[[str], bool],
    state: Callable[[], State],
    own: Callable[[], OwnFigures],
    admit: Admit | None,
    inflight: Inflight,
    shared: Sequence[socket.socket] | None,
) -> RestServer:
    """A server that is not started yet.

    Args:
        settings: of the whole server.
        registry, prediction, models, names, may_write: see Methods.
        state: of the server.
        own: see observability/metrics/prometheus.py.
        admit, inflight, shared: see RestServer.
    """
    methods = Methods(
        registry,
        prediction,
        models,
        names,
        may_write,
        JsonProcessPool(settings.rest.rest_processes, settings.rest.rest_json_s),
        strict_shapes=settings.prediction.rest_checks_shapes,
    )
    page = MetricsPage(registry, lambda: state() is State.LIVE, own)
    return RestServer(settings.listen, settings.rest, methods, state, page.text, admit, inflight, shared)
