"""The index of the repositories, and whether all is well: from what is known of each model. Reads, changes
nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from hotgraph_server.model_control.discovery import Discovery
from hotgraph_server.models.status import IndexRow, State, VersionStatus

_REASONS = {State.CLOSED: "unloaded", State.KNOWN: "known, loaded at its first call"}
_NOT_YET = {State.FAILED, State.WAITING, State.LOADING}


class Models(Protocol):
    """What repository.Repository is to this."""

    def models(self) -> list[str]: ...

    def statuses(self, name: str) -> list[VersionStatus]: ...

    def why_nothing(self, name: str) -> str | None: ...


def rows(
    models: Models, served: Collection[str], offers: Discovery, faults: Mapping[str, str]
) -> list[IndexRow]:
    """What there is of every model, by name, of each the highest version first.

    Args:
        models: what became of those that were ever served.
        served: names of those of the repositories that shall be.
        offers: what the repositories have.
        faults: why models cannot be served, by name, where that is known before any load.
    """
    names = {*models.models(), *offers.models, *offers.refused, *faults}
    return [row for name in sorted(names) for row in _rows(name, models, name in served, offers, faults)]


def all_well(models: Models, served: Collection[str], faults: Collection[str]) -> bool:
    """Is every model that shall be served live, in all versions? One that goes on by an older version is."""
    for name in {*served, *faults}:
        states = {status.state for status in models.statuses(name)}
        if State.LIVE not in states or (name not in faults and not states.isdisjoint(_NOT_YET)):
            return False
    return True


def _rows(
    name: str, models: Models, is_served: bool, offers: Discovery, faults: Mapping[str, str]
) -> list[IndexRow]:
    statuses = models.statuses(name)
    if statuses:
        return [
            IndexRow(name, status.number, status.state, status.error or _REASONS.get(status.state, ""))
            for status in statuses
        ]
    reason = faults.get(name) or offers.refused.get(name) or models.why_nothing(name)
    if reason:
        return [IndexRow(name, None, State.FAILED, reason)]
    return [IndexRow(name, None, State.LOADING if is_served else None)]
