"""What settings are held against before anything starts: the files and folders that they name, and what a
running server can take over of them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from hotgraph_server.access.gate import gate_of
from hotgraph_server.commands import processes
from hotgraph_server.model_control.discovery import offers_of
from hotgraph_server.observability.request_log.placing import checked_folder
from hotgraph_server.repository.layout import versions_in
from hotgraph_server.settings import (
    PER_SERVER,
    AdminSettings,
    ListenSettings,
    ProcessSettings,
    RestSettings,
    ServerSettings,
    key_of,
)

_LOG = logging.getLogger(__name__)


def check(settings: ServerSettings) -> None:
    """What can be known before TensorFlow is there. Raises StartError."""
    gate_of(settings.access)
    checked_folder(settings.access.request_log_dir)
    # A mistyped folder shall not cost the seconds that TensorFlow takes to import.
    for one in settings.models if settings.repository.exit_on_error else ():
        versions_in(one.path, one.folder)
    offers_of([Path(repository) for repository in settings.control.repository])


def check_again(started: ServerSettings, now: ServerSettings) -> None:
    """Before processes are replaced by others. Raises StartError: those would not start."""
    check(now)
    processes.count(now)
    # All but the ports and their number hold for a process that is started anew.
    tell_of_what_waits(started, now, (ListenSettings, RestSettings, AdminSettings, ProcessSettings))


def tell_of_what_waits(
    started: ServerSettings, now: ServerSettings, owners: tuple[type, ...] = PER_SERVER
) -> None:
    """Log which changes hold from the next start."""
    if changed := for_the_next_start(started, now, owners):
        _LOG.warning("of what has changed, %s holds from the next start", ", ".join(changed))


def for_the_next_start(
    started: ServerSettings, now: ServerSettings, owners: tuple[type, ...] = PER_SERVER
) -> list[str]:
    """The keys of settings of the server itself that are others now."""
    changed = []
    for field in dataclasses.fields(ServerSettings):
        before, after = getattr(started, field.name), getattr(now, field.name)
        if type(before) in owners:
            changed += [
                key_of(one)
                for one in dataclasses.fields(before)
                if getattr(before, one.name) != getattr(after, one.name)
            ]
    return changed
