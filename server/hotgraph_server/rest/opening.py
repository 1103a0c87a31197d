"""What the REST port answers, with what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.metrics.prometheus import OwnFigures
from hotgraph_server.observability.metrics.tfs import MetricsPage
from hotgraph_server.rest.api import Admit, RestApi
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.settings import ServerSettings
from hotgraph_server.transport.service import Service


def rest_api(
    settings: ServerSettings,
    registry: Registry,
    prediction: Service,
    models: Service,
    names: Callable[[], Iterable[str]],
    may_write: Callable[[str], bool],
    state: Callable[[], State],
    own: Callable[[], OwnFigures],
    admit: Admit | None,
) -> RestApi:
    """What the REST port answers.

    Args:
        settings: of the whole server.
        registry, prediction, models, names, may_write: see Methods.
        state: of the server.
        own: see observability/metrics/prometheus.py.
        admit: see RestApi.
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
    return RestApi(settings.rest, methods, state, page.text, admit)
