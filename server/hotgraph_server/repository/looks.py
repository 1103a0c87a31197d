"""When to look at the folder of which model. Pure; guarded by the repository's lock, as the records are."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

from hotgraph_server.errors import StartError
from hotgraph_server.repository.layout import Interest, Look
from hotgraph_server.repository.records import Record
from hotgraph_server.settings import ModelSettings

# What seems to be unfinished is looked at again so much later; no caller waits longer for what is broken.
_SECOND_LOOK_S = 1.0


class DueLook(NamedTuple):
    """A look at a folder that is to be made now.

    Attributes:
        model: whose it is.
        asked: how often it had been asked for; who asks later wants to hear of a look that began later.
        settings: by which.
        interest: what for.
    """

    model: Record
    asked: int
    settings: ModelSettings
    interest: Interest


def due_looks(models: Mapping[str, Record], now: float, *, all_due: bool) -> dict[str, DueLook]:
    """What is to be looked at now, by name.

    Args:
        now: monotonic seconds.
        all_due: is it time to look at all that is polled?
    """
    return {
        name: DueLook(model, model.asked, model.settings, model.interest())
        for name, model in models.items()
        if model.served
        and (not model.looked or model.again_at <= now or (all_due and model.settings.folder.polled))
    }


def take_in(
    models: Mapping[str, Record],
    looks: Mapping[str, tuple[DueLook, Look | StartError]],
    now: float,
    *,
    polls: bool,
) -> None:
    """Tell the records what was found.

    Args:
        looks: what was due, and what came of it, by name.
        now: monotonic seconds.
        polls: is what is polled looked at again by itself?
    """
    for name, (due, found) in looks.items():
        model = due.model
        if model is models.get(name) and model.served and model.asked == due.asked:
            polled = polls and due.settings.folder.polled
            # What is not polled is not looked at by itself, and while nothing is live some caller waits.
            soon = not (polled and model.live())
            model.saw(found, now + _SECOND_LOOK_S if soon else math.inf)


def next_due(models: Collection[Record], now: float) -> float:
    """When something of these is to be looked at or tried again, monotonic seconds; infinite: nothing is."""
    # What could have been tried again by now waits for something else than the time.
    retries = (entry.retry_at for model in models for entry in model.all_entries() if entry.retry_at > now)
    again = (model.again_at for model in models if model.served)
    return min((*retries, *again), default=math.inf)
