"""What is answered over gRPC, with what it is made of; health and reflection are the transport's own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass

from hotgraph_server.models.registry import Registry
from hotgraph_server.observability.load.report import LoadReport
from hotgraph_server.observability.log_settings import Logs
from hotgraph_server.observability.metrics.tfs import counters
from hotgraph_server.observability.request_log.request_logs import RequestLogs
from hotgraph_server.observability.watching import Watching
from hotgraph_server.protocols.orca.service import service as load_service
from hotgraph_server.protocols.tfs.prediction import service as prediction_service
from hotgraph_server.protocols.tfs.status import Models, Reconfigure
from hotgraph_server.protocols.tfs.status import service as model_service
from hotgraph_server.protocols.v2 import log_settings, model_control, trace_settings
from hotgraph_server.protocols.v2.model_control import Control
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.protocols.v2.service import service as inference_service
from hotgraph_server.settings import ModelFactory, ServerSettings
from hotgraph_server.settings.load_reports import NEVER
from hotgraph_server.transport.service import HotMethod, Service


@dataclass(frozen=True)
class Backs:
    """What stands behind the services.

    Attributes:
        registry: which versions are live.
        models: what became of them.
        control: which models are served, where callers may change that.
        request_logs: write calls down.
        watching: follows calls.
        logs: the server's own, as far as callers may change it.
        regions: shared memory that clients may register; None: they may not.
        load: how much there is to do.
        is_ready: does the server as a whole take calls?
        is_starting: does it take none yet, whatever is loaded?
        reconfigure, make_model: see protocols/tfs/status.py.
        waiting: makes of a method that runs models one whose calls wait where their models are loaded for
            them; waiting_service: of a service's hot methods, and of the plain ones that are named.
    """

    registry: Registry
    models: Models
    control: Control
    request_logs: RequestLogs
    watching: Watching
    logs: Logs
    regions: Regions | None
    load: Callable[[], LoadReport]
    is_ready: Callable[[], bool]
    is_starting: Callable[[], bool]
    reconfigure: Reconfigure
    make_model: ModelFactory | None
    waiting: Callable[[HotMethod], HotMethod] = lambda method: method
    waiting_service: Callable[[Service, Collection[str]], Service] = lambda service, plain: service


def services(settings: ServerSettings, backs: Backs) -> list[Service]:
    """The Open Inference Protocol's, TensorFlow Serving's PredictionService and its ModelService, and behind
    them that of load reports, unless nobody shall have any."""
    about = inference_service(
        backs.registry,
        backs.is_ready,
        is_starting=backs.is_starting,
        regions=backs.regions,
        server_name=settings.inference.server_name,
        traced=lambda method, name: backs.watching.around(backs.waiting(method), name),
        more=[
            model_control.methods(backs.control, backs.is_starting),
            trace_settings.methods(backs.watching.tracing, backs.registry),
            log_settings.methods(backs.logs),
        ],
    )
    # What they tell is read from a SavedModel that has been loaded.
    inference = backs.waiting_service(about, ("ModelMetadata", "ModelConfig"))
    prediction = backs.request_logs.around(prediction_service(backs.registry, settings.prediction))
    models = model_service(
        backs.models,
        backs.reconfigure,
        backs.make_model,
        functools.partial(counters, backs.registry),
        backs.is_starting,
    )
    reports = settings.load_reports
    if reports.load_reports == NEVER:
        return [inference, prediction, models]
    return [inference, prediction, models, load_service(backs.load, reports.load_report_min_s)]
