"""Everything that makes models live and lets them go, put together: the repository, who decides what of it
is loaded, and who asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from hotgraph_server.model_control.control import ModelControl
from hotgraph_server.model_control.jobs import Configure
from hotgraph_server.model_control.model_factory import ConfiguredModels
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.response_cache import ResponseCache
from hotgraph_server.on_demand.opening import Demand
from hotgraph_server.protocols.tfs.logged_records import logged_in
from hotgraph_server.protocols.tfs.warmup_records import records_in
from hotgraph_server.repository.footprints import Footprints, prepare_within_limit
from hotgraph_server.repository.layout import look_at
from hotgraph_server.repository.loader import load_version
from hotgraph_server.repository.repository import Publish, Repository
from hotgraph_server.settings import ServerSettings
from hotgraph_server.threads.leadership import Leadership


@dataclass(frozen=True)
class Models:
    """
    Attributes:
        footprints: what versions take in memory, and would take.
        demand: loads models when they are called, where that is asked for.
        repository: which versions there are, and what becomes of them.
        control: which models are served, where that may change.
    """

    footprints: Footprints
    demand: Demand
    repository: Repository
    control: ModelControl

    def wind_down(self) -> None:
        """Let go who waits for a model to be loaded, so that he holds up the end no longer than a call."""
        self.control.wind_down()
        self.demand.wind_down()
        self.repository.wind_down()

    def stop(self, timeout_s: float) -> bool:
        """Close every version. Returns whether all of it ended in time. Who decides ends first: nothing shall
        be begun that has to be stopped."""
        self.demand.stop(timeout_s)
        ended = self.repository.stop(timeout_s)
        self.control.stop(timeout_s)
        return ended


def open_models(
    settings: ServerSettings,
    registry: Registry,
    publish: Publish,
    configure: Configure,
    changed: Callable[[str], object],
    cache: ResponseCache | None,
    leadership: Leadership,
    *,
    is_shared: bool,
) -> Models:
    """All of it; nothing is started.

    Args:
        registry: which versions are live.
        publish: see Repository.
        configure: see ModelControl.
        changed: see OnDemand.
        cache, leadership, is_shared: see load_version.
    """
    footprints = Footprints(prepare=prepare_within_limit) if settings.on_demand.memory_mb else Footprints()
    demand = Demand(settings, registry, footprints.estimate, changed)
    rules = settings.repository
    if demand.coordinator is not None:
        # Who comes to a version that is gone waits for the next one: there is nothing to be open for.
        rules = dataclasses.replace(rules, unload_grace_s=0.0)

    def ended() -> None:
        # What has ended may leave files behind that are not needed any more.
        control.wake()
        demand.wake()

    repository = Repository(
        rules,
        publish,
        load=footprints.measuring(
            load_version,
            brings_of=records_in,
            logged_of=logged_in,
            cache=cache,
            leadership=leadership,
            is_shared=is_shared,
        ),
        look=look_at,
        give_back=footprints.give_back,
        ended=ended,
        room=demand.coordinator,
    )
    control = ModelControl(
        settings.control,
        settings.models,
        settings.offered or ConfiguredModels(),
        repository,
        configure,
        poll_s=settings.repository.poll_s,
        exit_on_error=settings.repository.exit_on_error,
        demand=demand.coordinator,
    )
    return Models(footprints, demand, repository, control)
