"""Models on demand as the server sees them, whether there is such a thing or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from hotgraph_server.models.demand_figures import DemandFigures
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.on_demand.census import Estimate
from hotgraph_server.on_demand.coordinator import OnDemand
from hotgraph_server.on_demand.decider import Models
from hotgraph_server.on_demand.door import WaitingDoor
from hotgraph_server.settings import ModelSettings, ServerSettings
from hotgraph_server.settings.control import AUTO
from hotgraph_server.transport.service import HotMethod, Service


class Demand:
    """
    Args:
        settings: of the server; without model-control auto nothing here does anything.
        registry, estimate, changed: see coordinator.OnDemand.

    Attributes:
        coordinator: None: models are not loaded on demand.
    """

    def __init__(
        self,
        settings: ServerSettings,
        registry: Registry,
        estimate: Estimate,
        changed: Callable[[str], object],
    ) -> None:
        self.coordinator: OnDemand | None = None
        self._door: WaitingDoor | None = None
        if settings.control.model_control == AUTO:
            found = OnDemand(settings.on_demand, settings.repository, registry, estimate, changed)
            self.coordinator = found
            self._door = WaitingDoor(found.callers, registry, time.monotonic)

    def around(self, method: HotMethod) -> HotMethod:
        """A method whose calls wait for their models; see door.py."""
        return self._door.around(method) if self._door else method

    def around_service(self, service: Service, plain: Collection[str] = ()) -> Service:
        """See door.py."""
        return self._door.around_service(service, plain) if self._door else service

    def publish(self, name: str, versions: Sequence[Version], show: Callable[[], object]) -> None:
        """Callers find these versions of a model from `show` on. Who does not find one when it is said to be
        there would try again at once, so it is said while it can be found."""
        if self.coordinator is None or not versions:
            if self.coordinator is not None:
                self.coordinator.published(name, ())
            show()
            return
        for version in versions:
            version.loaded_at_call = True
        show()
        self.coordinator.published(name, versions)

    def know(self, models: Sequence[ModelSettings]) -> None:
        """See coordinator.OnDemand, as for what follows."""
        if self.coordinator is not None:
            self.coordinator.know(models)

    def knows(self, name: str) -> bool:
        """Is a model of that name loaded here when it is called, whatever came of its last load?"""
        return self.coordinator is not None and name in self.coordinator.callers.known

    def expects(self, name: str) -> bool:
        return self.coordinator is not None and self.coordinator.expects(name)

    def figures(self) -> DemandFigures | None:
        return self.coordinator.figures() if self.coordinator is not None else None

    def wake(self) -> None:
        if self.coordinator is not None:
            self.coordinator.wake()

    def start(self, models: Models) -> None:
        if self.coordinator is not None:
            self.coordinator.over(models)
            self.coordinator.start()

    def check_pinned(self) -> None:
        if self.coordinator is not None:
            self.coordinator.check_pinned()

    def wind_down(self) -> None:
        if self.coordinator is not None:
            self.coordinator.wind_down()

    def stop(self, timeout_s: float) -> None:
        if self.coordinator is not None:
            self.coordinator.stop(timeout_s)
