"""The server: its parts, and its life from start to stop."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future

from hotgraph_server.access import exposure
from hotgraph_server.access.gate import gate_of
from hotgraph_server.access.peers import AllowedPeers
from hotgraph_server.access.rules import Rules
from hotgraph_server.errors import LOADING, CallError, NotReady
from hotgraph_server.forwarding.opening import Forwarding
from hotgraph_server.model_control import first_loads
from hotgraph_server.model_control.model_factory import ConfiguredModels
from hotgraph_server.model_control.opening import open_models
from hotgraph_server.models.registry import Labels, Registry
from hotgraph_server.models.response_cache import ResponseCache
from hotgraph_server.models.status import State
from hotgraph_server.models.status import Stopped as Stopped
from hotgraph_server.models.version import Version
from hotgraph_server.observability.admin.opening import open_admin
from hotgraph_server.observability.admin.pages import Pages
from hotgraph_server.observability.admin.server import AdminServer
from hotgraph_server.observability.load.meter import LoadMeter
from hotgraph_server.observability.log_settings import Logs
from hotgraph_server.observability.metrics.prometheus import OwnFigures
from hotgraph_server.observability.request_log.placing import checked_folder, placed
from hotgraph_server.observability.request_log.request_logs import RequestLogs
from hotgraph_server.observability.vitals import Vitals, VitalSigns
from hotgraph_server.observability.watching import Watching
from hotgraph_server.processes.member import Member
from hotgraph_server.protocols import opening
from hotgraph_server.protocols.one_of_several import without_changes
from hotgraph_server.protocols.orca.trailers import ReportHeaders
from hotgraph_server.protocols.submission import facts_of
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.rest.api import RestApi
from hotgraph_server.rest.opening import Backs, rest_api
from hotgraph_server.settings import ModelFactory, ModelSettings, ServerSettings, ShadowSettings
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.threads.time_left import TimeLeft
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.server import CallServer, HttpPort
from hotgraph_server.transport.service import Service

_LOG = logging.getLogger(__name__)

# After calls and connections (a second more), for what they leave: processes for JSON, records, lines, spans.
_LAST_WORDS_S = 4.0
# Then for executors to end their last run, which cannot be interrupted; and as much for loads.
_LAST_RUN_S = 5.0


class Server:
    """Models behind one port, and another one for those who look after them.

    The constructor starts nothing. `start` and `stop` belong to one thread, which decides when to stop.

    Attributes:
        registry: which versions are live.
        repository: which versions there are, and what becomes of them.
        footprints: what they take in memory, and would take.
        control: which models are served, where that may change.
        state: loading, live (calls are answered), draining, closed.
    """

    def __init__(
        self, settings: ServerSettings, make: ModelFactory | None = None, member: Member | None = None
    ) -> None:
        """
        Args:
            settings: see there.
            make: what a model is like that a caller names in a new list of models; None: none may.
            member: what it is given as one of several processes, where it is; None: it has ports of its own.

        Raises:
            StartError: a rule of access, the folder for callers' logs or the packages for OTLP cannot be had.
        """
        self._gate = gate_of(settings.access)
        self._log_folder = checked_folder(settings.access.request_log_dir)
        self.registry = Registry()
        self._leadership = Leadership(auto=settings.listen.lead == "auto")
        self._cache = ResponseCache(settings.cache.cache_mb << 20) if settings.cache.cache_mb else None
        self._models = open_models(
            *(settings, self.registry, self._publish, self.reconfigure, self._show_health),
            *(self._cache, self._leadership),
            is_shared=member is not None,
        )
        self._demand = self._models.demand
        self.footprints = self._models.footprints
        self.repository = self._models.repository
        self.control = self._models.control
        self.state = State.LOADING
        self._forwarding = Forwarding(settings, self._has)
        self._request_logs = RequestLogs()
        self._watching = Watching(settings, self.registry, facts_of, lambda: self.state, self._own_figures)
        self._logs = Logs()
        self._reconfiguring = threading.Lock()  # repository and request logs shall be of one list of models
        self._make_model = make
        self._member = member
        self._settings = settings
        self._grpc: CallServer | None = None
        self._admin: AdminServer | None = None
        self._rest: RestApi | None = None
        self._load = LoadMeter(self.registry)
        self._load_headers = ReportHeaders(self._load.report, settings.load_reports.load_reports)
        self._vitals: Vitals | None = None

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
        return self._grpc.http_address if self._grpc else None

    def start(self, loading: Callable[[], object] = lambda: None) -> None:
        """Bind the ports, load the models, answer calls; returns when all of it has happened.

        While models load, callers are told so at once, on every port.

        Args:
            loading: called when models have begun to load: `reconfigure` and `renew` may be called then,
                and a start that waits for a model waits no more when that is taken off the list.

        Raises:
            StartError: something is not as it should be; nothing is left running.
        """
        member = self._member
        shm = self._settings.shared_memory
        regions = Regions(shm) if shm.allow_client_shm else None
        services = opening.services(
            self._settings,
            opening.Backs(
                *(self.registry, self.repository, self.control, self._request_logs, self._watching),
                *(self._logs, regions, self._load.report),
                is_ready=lambda: self._is_ready() and self.control.is_ready(),
                is_starting=lambda: self.state is State.LOADING,
                reconfigure=self._reconfigure_for_a_caller,
                make_model=self._make_model,
                waiting=self._demand.around,
                waiting_service=self._demand.around_service,
            ),
        )
        if member is not None:
            services = [without_changes(service) for service in services]
        # The ports come first: that one is in use shall be known before a minute of loading, and who asks
        # meanwhile whether this process lives shall hear that it does.
        self._rest = self._rest_api(services, regions)
        prediction = self._demand.around_service(services[1], ("GetModelMetadata",))
        services[1] = self._watching.around_prediction(prediction)
        listen = self._settings.listen
        grpc = self._grpc = CallServer(
            listen,
            self._forwarding.around(services),
            self._gate.of_path if self._gate else None,
            Inflight(listen.max_inflight_mb << 20),
            self._leadership,
            member.connections if member is not None else None,
            self._http_port(),
            AllowedPeers(listen.tls_allow).refusal if listen.tls_allow else None,
            self._load_headers.over_grpc(),
            self._watching.tell,
        )
        self._grpc.health.not_serving(service.name for service in services)
        if self._cache is not None:
            self._cache.start()
        if member is None or not member.index:
            exposure.warn(self._settings, self._gate.rules if self._gate else Rules())
        try:
            self._vitals = Vitals(
                *(self._settings.health, self._settings.listen.host, grpc.health),
                VitalSigns(self.registry, self._leadership, self._load),
                admit=self._gate.of_path if self._gate else None,
                shared=member.health if member is not None else None,
            )
            self._watching.start()
            self._start_admin()
            if self.rest_address and member is None:
                _LOG.info("REST port: http://%s/", self.rest_address)
            self._grpc.start(NotReady(LOADING))
            self._vitals.start()
            if member is not None:
                member.answering(grpc.health.of_all, self.renew_access, grpc.shed)
            self._demand.start(self.repository)
            parts = (self.control, self.repository, self._settings.repository)
            first_loads.load_models(*parts, self._grpc.health.not_serving, loading)
            self._demand.check_pinned()
        except BaseException:
            self.stop(0)
            raise
        # Who is told that calls are answered shall find it so.
        self._grpc.open()
        self._forwarding.start(grpc.address)
        self.state = State.LIVE
        self._grpc.health.serving(service.name for service in services)
        self.repository.started()
        if member is not None:
            member.say("live")

    def reconfigure(self, models: Sequence[ModelSettings], again: Collection[str] = ()) -> None:
        """Serve these models from now on, and no others; returns before they are loaded. Any thread may
        call it.

        Args:
            models: all of them.
            again: names of those whose folders are looked at now, and whose failed loads are tried again.

        Raises:
            ConfigError: that cannot be, and why; nothing has changed.
        """
        with self._reconfiguring:
            self.repository.configure(models, again)
            self._demand.know(models)
            self._request_logs.configure(models)

    def renew_access(self) -> None:
        """Read again who may call what. Rules that cannot be read change nothing, and the log says why."""
        if self._gate is not None:
            self._gate.renew()

    def renew(self, settings: ServerSettings) -> None:
        """Serve the models of other settings from now on, and look at all folders and repositories; returns
        before anything is loaded. No call fails over it. What these settings say of other things holds from
        the next start.

        Raises:
            CallError: that cannot be, and why; nothing has changed.
        """
        done: Future[CallError | None] = Future()
        self.control.renew(settings.models, settings.offered or ConfiguredModels(), done.set_result)
        if (error := done.result()) is not None:
            raise error

    def leave(self) -> None:
        """Answer on until all callers have gone to other processes, as they are asked to, for as long at most
        as calls have at a stop. That follows."""
        if self._grpc is not None:
            self._grpc.leave(self._settings.listen.drain_s)

    def stop(self, timeout_s: float | None = None) -> Stopped:
        """Take no calls any more, answer those taken, close the sessions.

        In this order: the transport refuses new calls, tells those who ask for health, and lets the calls
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
        if self._member is not None:
            self._member.say("stopping")
        if self._vitals is not None:
            self._vitals.stop_looking()
        # Who waits for a model to be loaded holds up the end no longer than a call.
        self._models.wind_down()
        answered, left = self._grpc.stop(limit_s), TimeLeft(_LAST_WORDS_S)
        if self._rest is not None:
            self._rest.close(left.seconds())
            self._rest = None
        self._forwarding.stop(left)
        self._request_logs.stop(left.seconds())
        self._watching.stop(left)
        self._logs.restore()
        self.registry.shadows.stop(left.seconds())
        ended = self._models.stop(_LAST_RUN_S)
        if self._cache is not None:
            self._cache.stop()
        self.state = State.CLOSED
        for part in (self._vitals, self._admin):
            if part is not None:
                part.stop()
        self._vitals = self._admin = self._grpc = None
        return Stopped(answered, ended)

    def _reconfigure_for_a_caller(self, models: Sequence[ModelSettings]) -> None:
        """Raises ConfigError: that cannot be, and why; nothing has changed."""
        self.reconfigure(placed(models, self._log_folder))

    def _is_ready(self) -> bool:
        """Are calls answered, by all processes that there are?"""
        return self.state is State.LIVE and (self._member is None or self._member.all_ready)

    def _start_admin(self) -> None:
        pages = Pages(self.registry, self.repository.models, lambda: self.state, own=self._own_figures)
        if self._member is not None:
            self._member.pages_by(pages.answer)
        elif (admin := self._settings.admin).has_port:
            host = self._settings.listen.host
            self._admin = open_admin(host, admin.admin_port, pages.answer, self._gate)

    def _rest_api(self, services: Sequence[Service], regions: Regions | None) -> RestApi | None:
        if not self._settings.rest.has_port:
            return None
        names, may_write, own = self.repository.models, self._request_logs.may_write, self._own_figures
        inference, prediction, of_models, *_ = services
        backs = Backs(
            *(self.registry, prediction, of_models, inference, regions, names, may_write, lambda: self.state),
            *(own, self._watching.tracing, self._load_headers.over_http, self._demand.around),
            self._forwarding.elsewhere,
        )
        return rest_api(self._settings, backs, self._gate.of_request if self._gate else None)

    def _http_port(self) -> HttpPort | None:
        handed_over = self._member.rest if self._member else None
        return HttpPort(self._settings.rest, self._rest, handed_over) if self._rest else None

    def _own_figures(self) -> OwnFigures:
        lost = {"request_log": self._request_logs.lost, **self._watching.lost}
        doors = self._grpc.figures() if self._grpc is not None else None
        models, demand = self.repository.figures(), self._demand.figures()
        turns, forwarded = self._leadership.turns, self._forwarding.figures()
        return OwnFigures(lost, turns, doors, models, demand, forwarded)

    def _publish(self, name: str, live: Sequence[Version], labels: Labels, shadow: ShadowSettings) -> None:
        """Show a model's live versions; called whenever they change."""
        replace = functools.partial(self.registry.replace, name, live, labels, shadow)
        self._demand.publish(name, live, replace)
        self._show_health(name)

    def _has(self, name: str) -> bool:
        """Is a model of that name here, or to be loaded here when it is called?"""
        return name in self.registry.table or self._demand.knows(name)

    def _answers_for(self, name: str) -> bool:
        """Is a model of that name here, or loaded when it is called?"""
        return name in self.registry.table or self._demand.expects(name)

    def _show_health(self, name: str) -> None:
        # Before the start is over, nothing is healthy.
        if self._grpc is not None and self.state is State.LIVE:
            health = self._grpc.health
            (health.serving if self._answers_for(name) else health.not_serving)([name])
