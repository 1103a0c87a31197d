"""May a list of models take the place of another one? Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hotgraph_server.errors import ConfigError, LabelNotAvailable
from hotgraph_server.settings import TENSORFLOW, ModelSettings


def check(
    models: Sequence[ModelSettings],
    current: Mapping[str, ModelSettings],
    live: Mapping[str, Collection[int]],
    *,
    labels_ahead: bool = False,
) -> None:
    """Look for what is wrong with a new list of models, before anything is changed.

    A label may only be moved to a version that is live, so that no caller who asks by it is ever left without
    an answer. A model that is new has no callers yet: its labels hold as soon as its versions are
    live.

    Args:
        models: to be served from now on, instead of all others.
        current: what is served now, by name.
        live: which versions of those are live.
        labels_ahead: a label that is not in use yet may be given to a version that is not live.

    Raises:
        ConfigError: INVALID_ARGUMENT: a name twice, another platform for a model that is served, or one that
            is not served at all.
        LabelNotAvailable: FAILED_PRECONDITION: a label for a version that is not live.
    """
    names = [model.name for model in models]
    for model in models:
        if names.count(model.name) > 1:
            raise ConfigError(f"Illegal to list model {model.name} multiple times in config list")
        before = current.get(model.name)
        if before is not None and before.platform != model.platform:
            raise ConfigError(
                f"Illegal to change a model's platform. For model {model.name} platform was {before.platform}"
                f" and new platform requested is {model.platform}"
            )
        if model.platform != TENSORFLOW:
            raise ConfigError(f"Model {model.name} requests unsupported platform {model.platform}")
        if before is None:
            continue
        for label, number in model.labels.items():
            unchanged = before.labels.get(label) == number
            ahead = labels_ahead and label not in before.labels
            if number not in live.get(model.name, ()) and not (unchanged or ahead):
                raise LabelNotAvailable(label, number, model.name)
