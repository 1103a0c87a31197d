"""The server: its parts, and its life from start to stop."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hotgraph_server.admin.pages import Pages
from hotgraph_server.admin.server import AdminServer
from hotgraph_server.errors import ConfigError, StartError
from hotgraph_server.model import State, Unavailable, Version
from hotgraph_server.protocols import tfs, v2
from hotgraph_server.registry import Registry
from hotgraph_server.repository.layout import look_at
from hotgraph_server.repository.loader import load_version
from hotgraph_server.repository.repository import Repository
from hotgraph_server.request_log.request_logs import RequestLogs
from hotgraph_server.rest.methods import Methods
from hotgraph_server.rest.server import RestServer
from hotgraph_server.settings import Like, ModelSettings, ServerSettings
from hotgraph_server.tfs_metrics import MetricsPage
from hotgraph_server.transport.server import GrpcServer
from hotgraph_server.transport.service import Service

_LOG = logging.getLogger(__name__)

# For executors to end their last run once the calls are gone; a run cannot be interrupted.
_LAST_RUN_S = 5.0

# Who waits for a model at the start is told what for: after some seconds, and then now and then.
_SAY_AFTER_S = 5.0
_SAY_AGAIN_S = 60.0


@dataclass(frozen=True)
class Stopped:
    """How a stop went.

    Attributes:
        answered: every call that was taken got its answer.
        ended: every executor has ended; one whose run does not end is left to itself.
    """

    answered: bool
    ended: bool


class Server:
    """Models behind one port, and another one for whoever looks after them.

    The constructor starts nothing. `start` and `stop` belong to one thread, which decides when to stop.

    Attributes:
        registry: which versions are live.
        repository: which versions there are, and what becomes of them.
        state: loading, live (calls are answered), draining, closed.
    """

    def __init__(self, settings: ServerSettings, like: Like | None = None) -> None:
        """
        Args:
            settings: see there.
            like: what a model is like that a caller names in a new list of models; None: none may.
        """
        self.registry = Registry()
        self.repository = Repository(
            settings.repository,
            self._publish,
            load=functools.partial(load_version, brings_of=tfs.records_in),
            look=look_at,
        )
        self.state = State.LOADING
        self._request_logs = RequestLogs()
        self._reconfiguring = threading.Lock()  # repository and request logs shall be of one list of models
        self._like = like
        self._settings = settings
        self._grpc: GrpcServer | None = None
        self._admin: AdminServer | None = None
        self._rest: RestServer | None = None

    @property
    def address(self) -> str:
        """``HOST:PORT`` as bound; after `start`."""
        assert self._grpc is not None, "not started"
        return self._grpc.address

    @property
    def admin_address(self) -> str | None:
        """``HOST:PORT`` of the admin port, as bound; None: there is none."""
        return self._admin.address if self._admin else None

    @property
    def rest_address(self) -> str | None:
        """``HOST:PORT`` of the REST port, as bound; None: there is none."""
        return self._rest.address if self._rest else None

    def start(self) -> None:
        """Bind the ports, load the models, answer calls; returns when all of it has happened.

        Raises:
            StartError: something is not as it should be; nothing is left running.
        """
        prediction = self._request_logs.around(
            tfs.prediction_service(self.registry, self._settings.prediction)
        )
        models = tfs.model_service(self.repository, self.reconfigure, self._like)
        services = [v2.service(self.registry, lambda: self.state is State.LIVE), prediction, models]
        # The ports come first: that one is in use shall be known before a minute of loading, and who asks
        # meanwhile whether this process lives shall hear that it does.
        self._grpc = GrpcServer(self._settings.listen, services)
        try:
            self._start_admin()
            self._start_rest(prediction, models)
            self._load_models()
        except BaseException:
            self.stop(0)
            raise
        self.state = State.LIVE
        self._grpc.health.serving(service.name for service in services)
        self.repository.started()
        self._grpc.start()

    def reconfigure(self, models: Sequence[ModelSettings]) -> None:
        """Serve these models from now on, and no others; returns before they are loaded. Any thread may
        call it.

        Raises:
            ConfigError: that cannot be, and why; nothing has changed.
        """
        with self._reconfiguring:
            self.repository.configure(models)
            self._request_logs.configure(models)

    def stop(self, timeout_s: float | None = None) -> Stopped:
        """Take no calls any more, answer those taken, close the sessions.

        In this order: the transport refuses new calls, tells whoever asks for health, and lets the calls
        inside finish, for which the executors must still run; then the executors end. The admin port goes
        last, so that the end can be watched.

        Args:
            timeout_s: for calls to finish, seconds; by default what the settings say. Executors get some
                seconds more for a run whose callers have gone.
        """
        if self._grpc is None:
            return Stopped(answered=True, ended=True)
        self.state = State.DRAINING
        limit_s = self._settings.listen.drain_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit_s
        # Who waits for a model to be loaded holds up the end no longer than a call.
        self.repository.wind_down()
        answered = self._grpc.stop(limit_s)
        if self._rest is not None:
            # It has refused new calls since the state has changed, and drained meanwhile.
            answered &= self._rest.stop(max(deadline - time.monotonic(), 0.0))
            self._rest = None
        self._request_logs.stop()
        ended = self.repository.stop(_LAST_RUN_S)
        self.state = State.CLOSED
        if self._admin is not None:
            self._admin.stop()
            self._admin = None
        self._grpc = None
        return Stopped(answered, ended)

    def _start_admin(self) -> None:
        port = self._settings.admin.admin_port
        if not port:
            return
        pages = Pages(self.registry, self.repository.models, lambda: self.state)
        admin = AdminServer(self._settings.listen.host, port, pages.answer)
        admin.start()
        self._admin = admin
        _LOG.info("admin port: http://%s/", admin.address)

    def _start_rest(self, prediction: Service, models: Service) -> None:
        settings = self._settings.rest
        if not settings.rest_port:
            return
        methods = Methods(
            self.registry, prediction, models, self._request_logs.may_write, settings.rest_processes
        )
        page = MetricsPage(self.registry, lambda: self.state is State.LIVE)
        rest = RestServer(self._settings.listen, settings, methods, lambda: self.state, page.text)
        rest.start()
        self._rest = rest
        _LOG.info("REST port: http://%s/v1/models/", rest.address)

    def _load_models(self) -> None:
        """Returns when all models are live.

        Raises:
            StartError: one cannot be served.
        """
        settled = threading.Event()
        unavailable: list[Unavailable] = []

        def tell(found: list[Unavailable]) -> None:
            unavailable.extend(found)
            settled.set()

        patient = self._settings.repository.wait_for_models
        try:
            self.reconfigure(self._settings.models)
        except ConfigError as error:
            raise StartError(str(error)) from error
        self.repository.when_settled(self.repository.models(), tell, patient=patient, all_of_them=patient)
        self.repository.start()
        wait_s = _SAY_AFTER_S
        while not settled.wait(wait_s):
            _LOG.info("waiting for %s", "; ".join(self.repository.open_ends()))
            wait_s = _SAY_AGAIN_S
        if not unavailable:
            return
        if patient:
            raise StartError(tfs.not_available(unavailable))
        raise unavailable[0].error

    def _publish(self, name: str, versions: Sequence[Version], labels: Mapping[str, int]) -> None:
        """Show a model's live versions; called whenever they change."""
        self.registry.replace(name, versions, labels)
        # Before the start is over, nothing is healthy.
        if self._grpc is not None and self.state is State.LIVE:
            health = self._grpc.health
            (health.serving if versions else health.not_serving)([name])
