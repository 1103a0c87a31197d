"""Model control: which of the models that the repositories offer are served, and who decides that.

What it promises.

* none: what is offered at start is served from then on, until `renew` looks again. poll: what is offered
  later is taken up, what is gone is unloaded, and a model whose configuration or files change is loaded anew.
  explicit: `load` and `unload` decide.
* A load that fails changes nothing: what was live goes on by its old settings. Under explicit control the
  model is not tried again until it is asked for again.
* One model that cannot be served does not hold up the others, whatever is wrong with it.
* What is found half-written is left until two looks have found the same; a load that was asked for takes
  what it finds, and fails if that is not complete.
* Every name and path of a request goes through safe_paths, and what a request brings is written into a
  private folder (uploads.py), which lives as long as a version that came from it.
* The models of the command line are none of its business: it neither unloads nor replaces them.

Who calls what. `begin` once, before `start`. `load`, `unload`, `index`, `is_ready`, `wake` any thread; they
return at once, and what they ask for happens in the thread "model control", one thing after the other. The
fields below `_jobs` belong to that thread (to the caller of `begin` until it starts); others read only what
is swapped in one assignment. The loads themselves run in the repository's threads, and nobody waits for them
here.
"""

from __future__ import annotations

import functools
import logging
import math
import queue
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from hotgraph_server.errors import (
    CallError,
    ConfigError,
    ControlOff,
    Draining,
    InternalError,
    InvalidCall,
    LoadError,
    LoadFailed,
    StartError,
)
from hotgraph_server.model_control import index, safe_paths
from hotgraph_server.model_control.discovery import Discovery
from hotgraph_server.model_control.load_requests import Translation
from hotgraph_server.model_control.stability import StabilityCheck
from hotgraph_server.model_control.uploads import Uploads
from hotgraph_server.models.status import IndexRow, Unavailable
from hotgraph_server.settings import ControlSettings, LikeConfigured, ModelSettings
from hotgraph_server.settings.control import EXPLICIT, POLL
from hotgraph_server.threads.periodic import PeriodicThread

_LOG = logging.getLogger(__name__)

_TICK_FAILED = "looking at the models failed (model control)"

Callback = Callable[[CallError | None], None]
"""Told how a request ended, once; None: well. Must not wait."""


class Models(index.Models, Protocol):
    """What repository.Repository is to this."""

    def folders_in_use(self) -> set[Path]: ...

    def when_settled(
        self, names: Collection[str], tell: Callable[[list[Unavailable]], None]
    ) -> Callable[[], None]: ...


Configure = Callable[[Sequence[ModelSettings], Collection[str]], None]
"""Takes all models to be served, and the names of those to be looked at anew; raises ConfigError."""


class ModelControl:
    """All of it. The constructor starts nothing.

    Args:
        settings: see there.
        fixed: models that do not come from a repository.
        make: see Translation.
        models: what becomes of them.
        configure: see there.
        poll_s: between looks, seconds; under poll only.
        exit_on_error: a model that cannot be served at start ends the start.
        uploads: where files of requests go.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: ControlSettings,
        fixed: Sequence[ModelSettings],
        make: LikeConfigured,
        models: Models,
        configure: Configure,
        *,
        poll_s: float = 0.0,
        exit_on_error: bool = True,
        uploads: Uploads | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._fixed = {model.name: model for model in fixed}
        self._translation = Translation(settings, self._fixed, make)
        self._models = models
        self._configure = configure
        self._poll_s = poll_s if settings.model_control == POLL else 0.0
        self._exit_on_error = exit_on_error
        self._explicit = settings.model_control == EXPLICIT
        self._uploads = uploads or Uploads()
        self._clock = clock
        self._watcher = PeriodicThread("model control", self.tick, clock, _TICK_FAILED)
        self._winding_down = False
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Callback]] = queue.SimpleQueue()
        self._next_look = math.inf
        self._offers = Discovery()
        self._warned: Mapping[str, str] = {}
        self._arrivals = StabilityCheck()
        self._loads = 0
        self._latest_load: dict[str, int] = {}
        # Swapped, never changed.
        self._served: Mapping[str, ModelSettings] = {}
        self._faults: Mapping[str, str] = {}

    # Any thread.

    def load(self, name: str, config: str | None, files: Mapping[str, bytes], tell: Callback) -> None:
        """Load a model, or load it anew if it is served; returns at once.

        Args:
            name: of the model.
            config: its configuration as JSON, in place of its file; None: the file, if it has one.
            files: of its versions, by ``file:VERSION/PATH``, in place of its folder; then a config must come
                too.
            tell: told when the model's versions are live, or that they cannot be.

        Raises:
            CallError: that cannot be asked for, and why; nothing has changed.
        """
        self._check_explicit()
        safe_paths.model_name(name)
        settings = self._settings
        found = safe_paths.uploads(
            files, most_files=settings.max_load_files, most_bytes=settings.max_load_mb * 2**20
        )
        if found and config is None:
            raise InvalidCall(
                f"failed to load '{name}', override model directory requires a config parameter"
            )
        self._put(functools.partial(self._load, name, config, found, tell), tell)

    def unload(self, name: str, tell: Callback) -> None:
        """Serve a model no longer; returns at once. Calls that were taken are answered. What is not served is
        none to be unloaded, and well so.

        Args:
            name: of the model.
            tell: told when no new call finds it any more.

        Raises:
            CallError: that cannot be asked for, and why.
        """
        self._check_explicit()
        self._put(functools.partial(self._unload, name, tell), tell)

    def renew(self, fixed: Sequence[ModelSettings], make: LikeConfigured, tell: Callback) -> None:
        """Serve other models that do not come from a repository, and look at everything now; returns at once.

        Under none and poll the repositories are looked at too, and what they offer is served as it is found,
        by `make`. What was loaded by request under explicit goes on as it is.

        Args:
            fixed: see the constructor, as for what follows.
            make: see there.
            tell: told when all of it holds, or that it cannot be and nothing has changed.
        """
        self._put(functools.partial(self._renew, fixed, make, tell), tell)

    def index(self, tell: Callable[[list[IndexRow] | CallError], None]) -> None:
        """Tell what there is of every model, by name, the highest version first; returns at once."""

        def refuse(error: CallError | None) -> None:
            tell(error or InternalError())

        self._put(lambda: tell(self._index()), refuse)

    def is_ready(self) -> bool:
        """Is every model of the repositories that shall be served ready? Always, if settings are not strict.

        One that could not be loaded is not, until it is unloaded or loads; one that goes on by an older
        version is.
        """
        if not self._settings.strict_readiness:
            return True
        return index.all_well(self._models, self._served, self._faults)

    def wake(self) -> None:
        """Something may have to be cleared away."""
        self._watcher.wake()

    # The life.

    def begin(self) -> None:
        """Look at the repositories, and say which models are to be served; before `start`.

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
        if self._poll_s:
            self._next_look = self._clock() + self._poll_s

    def start(self) -> None:
        """Begin to answer; after `begin`."""
        self._watcher.start()

    def wind_down(self) -> None:
        """Refuse what has not happened yet; before the repository does."""
        self._winding_down = True
        self._watcher.wake()

    def stop(self, timeout_s: float) -> None:
        """End the thread and clear away; after the repository has stopped."""
        self._winding_down = True
        if self._watcher.stop(timeout_s):
            self._run_jobs()
            self._uploads.keep(())

    def tick(self) -> float:
        """Do what is due; returns when something is due again, monotonic seconds, infinite: when a client
        asks. In the thread alone."""
        self._run_jobs()
        if self._next_look <= self._clock() and not self._winding_down:
            self._next_look = self._clock() + self._poll_s
            self._poll()
        self._uploads.keep(self._models.folders_in_use())
        return self._next_look

    # What follows is for the thread alone.

    def _put(self, job: Callable[[], None], tell: Callback) -> None:
        self._jobs.put((job, tell))
        self._watcher.wake()

    def _run_jobs(self) -> None:
        while not self._jobs.empty():
            job, tell = self._jobs.get()
            if self._winding_down:
                tell(Draining("model control"))
                continue
            try:
                job()
            except CallError as error:
                tell(error)
            except Exception:
                # Whoever asked is answered, and the next one is heard.
                _LOG.exception("model control failed")
                tell(InternalError())

    def _poll(self) -> None:
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

    def _load(
        self, name: str, config: str | None, files: Mapping[safe_paths.Parts, bytes], tell: Callback
    ) -> None:
        if name in self._fixed:
            raise InvalidCall(f"failed to load '{name}', it is a model of the command line")
        before = self._served.get(name)
        try:
            self._offers = self._translation.look()
        except LoadError as error:
            raise LoadFailed(name, str(error)) from error
        folder = self._written(name, files) if files else None
        settings = self._translation.asked_for(name, config, folder, self._offers)
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

    def _unload(self, name: str, tell: Callback) -> None:
        if name in self._fixed:
            raise InvalidCall(f"failed to unload '{name}', it is a model of the command line")
        self._latest_load.pop(name, None)
        self._fault(name, None)
        if name in self._served:
            self._serve({one: model for one, model in self._served.items() if one != name})
        tell(None)

    def _renew(self, fixed: Sequence[ModelSettings], make: LikeConfigured, tell: Callback) -> None:
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

    def _index(self) -> list[IndexRow]:
        if self._explicit:
            try:
                self._offers = self._translation.look()
            except LoadError as error:
                _LOG.warning("%s; the index is of before", error)
        return index.rows(self._models, self._served, self._offers, self._faults)

    def _serve(self, served: Mapping[str, ModelSettings], anew: Collection[str] = ()) -> None:
        """Raises ConfigError; then nothing has changed."""
        self._configure([*self._fixed.values(), *served.values()], anew)
        self._served = served

    def _fault(self, name: str, reason: str | None) -> None:
        """A model cannot be served, for that reason; None: none that is known."""
        others = {one: text for one, text in self._faults.items() if one != name}
        self._faults = others if reason is None else {**others, name: reason}

    def _check_explicit(self) -> None:
        if not self._explicit:
            raise ControlOff()


def _reasons(unavailable: Sequence[Unavailable]) -> str:
    return "; ".join(str(one.error) for one in unavailable)
