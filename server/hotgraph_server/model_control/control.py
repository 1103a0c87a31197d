"""Model control: which of the models that the repositories offer are served, and who decides that.

What it promises.

* none: what is offered at start is served from then on, until `renew` looks again. poll: what is offered
  later is taken up, what is gone is unloaded, and a model whose configuration or files change is loaded
  again. explicit: `load` and `unload` decide. auto: what is offered is known, and followed as under poll if
  there is a `poll_s`; on_demand/ decides what of it is loaded when, and is told of `load` and `unload`.
* A load that fails changes nothing: what was live goes on by its old settings. Under explicit control the
  model is not tried again until it is asked for again.
* One model that cannot be served does not hold up the others, whatever is wrong with it.
* What is found half-written is left until two looks have found the same; a load that was asked for takes
  what it finds, and fails if that is not complete.
* Every name and path of a request goes through safe_paths, and what a request brings is written into a
  private folder (uploads.py), which lives as long as a version that came from it.
* The models of the command line are none of its business: it neither unloads nor replaces them.

Who calls what. `begin` once, before `start`. `load`, `unload`, `index`, `is_ready`, `wake` any thread; they
return at once, and what they ask for happens in the thread "model control", one thing after the other
(jobs.py). What is served belongs to that thread, and to the caller of `begin` until it starts. The loads
themselves run in the repository's threads; the thread does not wait for them.
"""

from __future__ import annotations

import functools
import logging
import math
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from hotgraph_server.errors import CallError, ControlOff, Draining, InternalError, InvalidCall
from hotgraph_server.model_control import safe_paths
from hotgraph_server.model_control.jobs import Callback, Configure, Demand, Jobs, Models
from hotgraph_server.model_control.uploads import Uploads
from hotgraph_server.models.status import IndexRow
from hotgraph_server.settings import ControlSettings, ModelFactory, ModelSettings
from hotgraph_server.settings.control import AUTO, EXPLICIT, POLL
from hotgraph_server.threads.periodic import PeriodicThread

_LOG = logging.getLogger(__name__)

_AS_CONFIGURED: Mapping[str, str] = MappingProxyType({})
_TICK_FAILED = "looking at the models failed (model control)"


class ModelControl:
    """All of it. The constructor starts nothing.

    Args:
        settings: see there.
        fixed: models that do not come from a repository.
        make: see Translation.
        models: what becomes of them.
        configure: see there.
        poll_s: between looks, seconds; under poll and auto only.
        exit_on_error: a model that cannot be served at start ends the start.
        uploads: where files of requests go.
        clock: monotonic seconds.
        demand: loads models when they are called, under auto; None: all that are served are loaded.
    """

    def __init__(
        self,
        settings: ControlSettings,
        fixed: Sequence[ModelSettings],
        make: ModelFactory,
        models: Models,
        configure: Configure,
        *,
        poll_s: float = 0.0,
        exit_on_error: bool = True,
        uploads: Uploads | None = None,
        clock: Callable[[], float] = time.monotonic,
        demand: Demand | None = None,
    ) -> None:
        self._settings = settings
        self._models = models
        self._poll_s = poll_s if settings.model_control in (POLL, AUTO) else 0.0
        self._by_request = settings.model_control in (EXPLICIT, AUTO)
        self._demand = demand
        self._uploads = uploads or Uploads()
        self._clock = clock
        self._jobs = Jobs(
            *(settings, fixed, make, models, configure, self._uploads, self._put),
            exit_on_error=exit_on_error,
            demand=demand,
        )
        self._watcher = PeriodicThread("model control", self.tick, clock, _TICK_FAILED)
        self._winding_down = False
        self._waiting: queue.SimpleQueue[tuple[Callable[[], None], Callback]] = queue.SimpleQueue()
        self._next_look = math.inf

    # Any thread.

    def load(
        self,
        name: str,
        config: str | None,
        files: Mapping[str, bytes],
        tell: Callback,
        served_as: Mapping[str, str] = _AS_CONFIGURED,
    ) -> None:
        """Load a model, or load it again if it is served; returns at once.

        Args:
            name: of the model.
            config: its configuration as JSON, in place of its file; None: the file, if it has one.
            files: of its versions, by ``file:VERSION/PATH``, in place of its folder; then a config must come
                too.
            tell: told when the model's versions are live, or that they cannot be.
            served_as: see served_versions.py.

        Raises:
            CallError: that cannot be asked for, and why; nothing has changed.
        """
        self._check_explicit()
        safe_paths.model_name(name)
        settings = self._settings
        if self._demand is not None:
            if config is not None or files:
                raise InvalidCall(
                    f"failed to load '{name}', under model-control auto it is loaded as its repository has it"
                )
            self._put(functools.partial(self._jobs.load_known, name, self._demand, tell), tell)
            return
        found = safe_paths.uploads(
            files, most_files=settings.max_load_files, most_bytes=settings.max_load_mb * 2**20
        )
        if found and config is None:
            raise InvalidCall(
                f"failed to load '{name}', override model directory requires a config parameter"
            )
        self._put(functools.partial(self._jobs.load, name, config, found, tell, served_as), tell)

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
        self._put(functools.partial(self._jobs.unload, name, tell), tell)

    def renew(self, fixed: Sequence[ModelSettings], make: ModelFactory, tell: Callback) -> None:
        """Serve other models that do not come from a repository, and look at everything now; returns at once.

        Under none and poll the repositories are looked at too, and what they offer is served as it is found,
        by `make`. What was loaded by request under explicit goes on as it is.

        Args:
            fixed: see the constructor, as for what follows.
            make: see there.
            tell: told when all of it holds, or that it cannot be and nothing has changed.
        """
        self._put(functools.partial(self._jobs.renew, fixed, make, tell), tell)

    def index(self, tell: Callable[[list[IndexRow] | CallError], None]) -> None:
        """Tell what there is of every model, by name, the highest version first; returns at once."""

        def refuse(error: CallError | None) -> None:
            tell(error or InternalError())

        self._put(lambda: tell(self._jobs.index()), refuse)

    def is_ready(self) -> bool:
        """Is every model of the repositories that shall be served ready? Always, if settings are not strict.

        One that could not be loaded is not, until it is unloaded or loads; one that goes on by an older
        version is. Models that are loaded when they are called have no say: one that cannot be is no reason
        to take the server away from the others' callers.
        """
        if not self._settings.strict_readiness or self._demand is not None:
            return True
        return self._jobs.is_ready()

    def wake(self) -> None:
        """Something may have to be cleared away."""
        self._watcher.wake()

    # The life.

    def begin(self) -> None:
        """Look at the repositories, and say which models are to be served; before `start`.

        Raises:
            StartError: a repository or a model is not as it must be.
        """
        self._jobs.begin()
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
            self._jobs.poll()
        self._uploads.keep(self._models.folders_in_use())
        return self._next_look

    # What follows is for the thread alone.

    def _put(self, job: Callable[[], None], tell: Callback) -> None:
        self._waiting.put((job, tell))
        self._watcher.wake()

    def _run_jobs(self) -> None:
        while not self._waiting.empty():
            job, tell = self._waiting.get()
            if self._winding_down:
                tell(Draining("model control"))
                continue
            try:
                job()
            except CallError as error:
                tell(error)
            except Exception:
                # The caller is answered, and the next one is heard.
                _LOG.exception("model control failed")
                tell(InternalError())

    def _check_explicit(self) -> None:
        if not self._by_request:
            raise ControlOff()
