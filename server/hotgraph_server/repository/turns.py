"""Whose turn to be loaded has come. Pure; guarded by the repository's lock, as the records are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from hotgraph_server.models.status import State
from hotgraph_server.repository.entry import Entry
from hotgraph_server.repository.records import Record


def next_loads(
    models: Collection[Record], threads: int, admits: Callable[[Record, Entry], bool] = lambda *_: True
) -> Iterator[tuple[Record, Entry]]:
    """The entries whose turn to be loaded has come, where so many may be loaded at a time: models in their
    order, of each the highest version first.

    Args:
        admits: is there room for one? Asked for one after the other, when those before it are loading.
    """
    under_way = sum(entry.state is State.LOADING for model in models for entry in model.all_entries())
    waiting = [
        (model, entry)
        for model in models
        for entry in sorted(model.all_entries(), key=lambda entry: entry.number, reverse=True)
        if entry.state is State.WAITING
    ]
    for model, entry in waiting:
        if under_way >= threads:
            return
        if admits(model, entry):
            under_way += 1
            yield model, entry
