"""The loads of a start: every model that the settings name is live when they are over, or the start is.

While models load, the log says every now and then what is waited for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from hotgraph_server.errors import StartError
from hotgraph_server.model_control.control import ModelControl
from hotgraph_server.models.status import Unavailable
from hotgraph_server.protocols.tfs.status import not_available
from hotgraph_server.repository.repository import Repository
from hotgraph_server.settings import RepositorySettings

_LOG = logging.getLogger(__name__)

# Who waits for a model at the start is told what for: after some seconds, and then now and then.
_SAY_AFTER_S = 5.0
_SAY_AGAIN_S = 60.0


def load_models(
    control: ModelControl,
    repository: Repository,
    settings: RepositorySettings,
    not_serving: Callable[[Iterable[str]], object],
    loading: Callable[[], object],
) -> None:
    """Start both, and return when all models are live.

    Args:
        settings: say whether the start waits for models that are not there yet, and whether one that cannot
            be served ends it.
        not_serving: told the names of the models, which clients may ask the health of from then on.
        loading: called when models have begun to load.

    Raises:
        StartError: one cannot be served.
    """
    settled = threading.Event()
    unavailable: list[Unavailable] = []

    def tell(found: list[Unavailable]) -> None:
        unavailable.extend(found)
        settled.set()

    patient = settings.wait_for_models
    goes_on = not settings.exit_on_error
    control.begin()
    names = repository.models()
    not_serving(names)
    repository.when_settled(names, tell, patient=patient, all_of_them=patient or goes_on)
    repository.start()
    control.start()
    loading()
    wait_s = _SAY_AFTER_S
    while not settled.wait(wait_s):
        _LOG.info("waiting for %s", "; ".join(repository.open_ends()))
        wait_s = _SAY_AGAIN_S
    if goes_on:
        for one in unavailable:
            _LOG.warning("model '%s' is not served: %s", one.model, one.error)
    if not unavailable or goes_on:
        return
    if patient:
        raise StartError(not_available(unavailable))
    raise unavailable[0].error
