"""What is served of the repositories, and how requests change it; in the thread of model control alone.

Each method that a request asks for raises CallError where that cannot be; otherwise it has told its caller
what came of it, or will, when the models have settled. `is_ready` may be asked by any thread: it reads what
is swapped in one assignment.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from hotgraph_server.errors import CallError, ConfigError, InvalidCall, LoadError, LoadFailed, StartError
from hotgraph_server.model_control import index, safe_paths
from hotgraph_server.model_control.discovery import Discovery
from hotgraph_server.model_control.load_requests import Translation
from hotgraph_server.model_control.served_versions import served_as
from hotgraph_server.model_control.stability import StabilityCheck
from hotgraph_server.model_control.uploads import Uploads
from hotgraph_server.models.status import IndexRow, Unavailable
from hotgraph_server.settings import ControlSettings, ModelFactory, ModelSettings
from hotgraph_server.settings.control import EXPLICIT

_LOG = logging.getLogger(__name__)

Callback = Callable[[CallError | None], None]
"""Told how a request ended, once; None: well. Must not wait."""


class Models(index.Models, Protocol):
    """What repository.Repository is to this."""

    def folders_in_use(self) -> set[Path]: ...

    def when_settled(
        self, names: Collection[str], tell: Callable[[list[Unavailable]], None]
    ) -> Callable[[], None]: ...


class Demand(Protocol):
    """What on_demand.coordinator.OnDemand is to this."""

    def load(self, name: str, tell: Callback) -> None: ...

    def unload(self, name: str, tell: Callback) -> None: ...


Configure = Callable[[Sequence[ModelSettings], Collection[str]], None]
"""Takes all models to be served, and the names of those to be looked at again; raises ConfigError."""


class Jobs:
    """See model_control.control, whose `put` gives back to the thread what comes later."""

    def __init__(
        self,
        settings: ControlSettings,
        fixed: Sequence[ModelSettings],
        make: ModelFactory,
        models: Models,
        configure: Configure,
        uploads: Uploads,
        put: Callable[[Callable[[], None], Callback], None],
        *,
        exit_on_error: bool,
        demand: Demand | None = None,
    ) -> None:
        self._settings = settings
        self._fixed = {model.name: model for model in fixed}
        self._translation = Translation(settings, self._fixed, make)
        self._models = models
        self._configure = configure
        self._uploads = uploads
        self._put = put
        self._exit_on_error = exit_on_error
        self._demand = demand
        self._explicit = settings.model_control == EXPLICIT
        self._offers = Discovery()
        self._warned: Mapping[str, str] = {}
        self._arrivals = StabilityCheck()
        self._loads = 0
        self._latest_load: dict[str, int] = {}
        # Swapped, never changed.
        self._served: Mapping[str, ModelSettings] = {}
        self._faults: Mapping[str, str] = {}

    def is_ready(self) -> bool:
        """Is every model of the repositories that shall be served ready?"""
        return index.all_well(self._models, self._served, self._faults)

    def begin(self) -> None:
        """Look at the repositories, and say which models are to be served.

        Raises:
            StartError: a repository or a model is not as it must be.
        """
        self._offers = self._translation.look()
        self._warn()
        served = {}
        for name, offer in self._translation.chosen(self._offers).items():
            self._arrivals.take(offer)
            try:
                served[name] = self._translation.settings_of(offer)
            except StartError as error:
                if self._exit_on_error:
                    raise
                _LOG.warning("model '%s' is not served: %s", name, error)
                self._fault(name, str(error))
        if self._settings.repository and not (served or self._fixed or self._explicit):
            _LOG.warning("there is no model in %s yet", ", ".join(self._settings.repository))
        try:
            self._serve(served)
        except ConfigError as error:
            raise StartError(str(error)) from error

    def poll(self) -> None:
        """Look at the repositories again, and serve what has come and not what has gone."""
        try:
            self._offers = self._translation.look()
        except LoadError as error:
            _LOG.warning("%s; its models go on", error)
            return
        self._warn()
        taken, gone = self._arrivals.look(self._offers)
        served = {name: model for name, model in self._served.items() if name not in gone}
        for name in gone:
            self._fault(name, None)
        for offer in taken:
            try:
                served[offer.name] = self._translation.settings_of(offer)
                self._fault(offer.name, None)
            except StartError as error:
                _LOG.warning("model '%s' is not taken up: %s", offer.name, error)
                self._fault(offer.name, str(error))
        if not taken and not gone:
            return
        try:
            self._serve(served)
        except ConfigError as error:
            _LOG.warning("the models go on as they are: %s", error)

    def _warn(self) -> None:
        """Why folders are no models, each once while it is so."""
        for name, reason in self._offers.refused.items():
            if self._warned.get(name) != reason:
                _LOG.warning("model '%s' is not served: %s", name, reason)
        self._warned = self._offers.refused

    def load(
        self,
        name: str,
        config: str | None,
        files: Mapping[safe_paths.Parts, bytes],
        tell: Callback,
        served: Mapping[str, str],
    ) -> None:
        """Load a model, or load it again; see ModelControl.load."""
        if name in self._fixed:
            raise InvalidCall(f"failed to load '{name}', it is a model of the command line")
        before = self._served.get(name)
        try:
            self._offers = self._translation.look()
        except LoadError as error:
            raise LoadFailed(name, str(error)) from error
        folder = self._written(name, files) if files else None
        settings = served_as(self._translation.asked_for(name, config, folder, self._offers), served)
        self._loads += 1
        self._latest_load[name] = this = self._loads
        self._serve({**self._served, name: settings}, {name})

        def settled(unavailable: list[Unavailable]) -> None:
            self._put(functools.partial(self._loaded, name, this, before, unavailable, tell), tell)

        self._models.when_settled([name], settled)

    def _written(self, name: str, files: Mapping[safe_paths.Parts, bytes]) -> Path:
        try:
            return self._uploads.write(files)
        except OSError as error:
            raise LoadFailed(name, f"its files cannot be written: {error.strerror or error}") from error

    def _loaded(
        self,
        name: str,
        this: int,
        before: ModelSettings | None,
        unavailable: list[Unavailable],
        tell: Callback,
    ) -> None:
        """A load has ended; `before`: the settings that were in force when it was asked for."""
        if self._latest_load.get(name) == this:
            del self._latest_load[name]
            if unavailable:
                # So that what is live is not taken for what has failed, now and when it is looked at again.
                others = {one: model for one, model in self._served.items() if one != name}
                self._serve(others if before is None else {**others, name: before}, {name})
            offered = name in self._offers.models
            self._fault(name, _reasons(unavailable) if unavailable and offered else None)
        if unavailable:
            tell(LoadFailed(name, _reasons(unavailable)))
        else:
            tell(None if name in self._served else LoadFailed(name, "it was unloaded meanwhile"))

    def load_known(self, name: str, demand: Demand, tell: Callback) -> None:
        """Load a model now that is loaded when it is called, as its repository has it."""
        if name not in self._fixed:
            try:
                self._offers = self._translation.look()
            except LoadError as error:
                raise LoadFailed(name, str(error)) from error
            settings = self._translation.asked_for(name, None, None, self._offers)
            self._serve({**self._served, name: settings}, {name})
            self._fault(name, None)
        demand.load(name, tell)

    def unload(self, name: str, tell: Callback) -> None:
        """Serve a model no longer; see ModelControl.unload. One that is loaded when it is called stays
        known."""
        if self._demand is not None:
            self._demand.unload(name, tell)
            return
        if name in self._fixed:
            raise InvalidCall(f"failed to unload '{name}', it is a model of the command line")
        self._latest_load.pop(name, None)
        self._fault(name, None)
        if name in self._served:
            self._serve({one: model for one, model in self._served.items() if one != name})
        tell(None)

    def renew(self, fixed: Sequence[ModelSettings], make: ModelFactory, tell: Callback) -> None:
        """Serve other models that do not come from a repository; see ModelControl.renew."""
        before = self._fixed, self._translation, self._offers
        self._fixed = {model.name: model for model in fixed}
        self._translation = Translation(self._settings, self._fixed, make)
        try:
            self._offers = self._translation.look()
            served, faults = self._served, self._faults
            if not self._explicit:
                served, faults = self._translation.again(self._offers, self._served)
            served = {name: model for name, model in served.items() if name not in self._fixed}
            self._serve(served, {*self._fixed, *(() if self._explicit else served)})
        except (ConfigError, LoadError) as error:
            self._fixed, self._translation, self._offers = before
            raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from error
        self._faults = faults
        for name in served.keys() & self._offers.models.keys():
            self._arrivals.take(self._offers.models[name])
        tell(None)

    def index(self) -> list[IndexRow]:
        """What there is of every model."""
        if self._explicit:
            try:
                self._offers = self._translation.look()
            except LoadError as error:
                _LOG.warning("%s; the index is of before", error)
        return index.rows(self._models, self._served, self._offers, self._faults)

    def _serve(self, served: Mapping[str, ModelSettings], again: Collection[str] = ()) -> None:
        """Raises ConfigError; then nothing has changed."""
        self._configure([*self._fixed.values(), *served.values()], again)
        self._served = served

    def _fault(self, name: str, reason: str | None) -> None:
        """A model cannot be served, for that reason; None: none that is known."""
        others = {one: text for one, text in self._faults.items() if one != name}
        self._faults = others if reason is None else {**others, name: reason}


def _reasons(unavailable: Sequence[Unavailable]) -> str:
    return "; ".join(str(one.error) for one in unavailable)
