"""What settings are held against before anything starts: the files and folders that they name, and what a
running server can take over of them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from hotgraph_server.access.gate import gate_of
from hotgraph_server.commands import processes
from hotgraph_server.model_control.discovery import offers_of
from hotgraph_server.observability.otlp import opening as otlp
from hotgraph_server.observability.request_log.placing import checked_folder
from hotgraph_server.repository.layout import versions_in
from hotgraph_server.settings import (
    PER_SERVER,
    AdminSettings,
    HealthSettings,
    ListenSettings,
    ProcessSettings,
    RestSettings,
    ServerSettings,
    key_of,
)
from hotgraph_server.threads import memory_limit
from hotgraph_server.transport import tls

_LOG = logging.getLogger(__name__)


def check(settings: ServerSettings) -> None:
    """What can be known before TensorFlow is there. Raises StartError."""
    gate_of(settings.access)
    tls.check(settings.listen)
    otlp.check(settings.otlp)
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
    tell_of_what_waits(
        started, now, (ListenSettings, RestSettings, AdminSettings, HealthSettings, ProcessSettings)
    )


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


def tell_of_memory(settings: ServerSettings, processes: int = 1) -> None:
    """Log what memory a container has, and warn where settings let calls alone take more."""
    limit = memory_limit.limit_mb()
    if limit is None:
        return
    _LOG.info("the control group of this process has %d MiB of memory", limit)
    if warning := memory_warning(limit, settings, processes):
        _LOG.warning("%s", warning)


def memory_warning(limit_mb: int, settings: ServerSettings, processes: int = 1) -> str:
    """What to say of settings that let calls and kept answers take more than so much; empty: they do not.

    Models, TensorFlow and Python come on top of it: half of a container for calls is a rule of thumb.
    """
    inflight, cache = settings.listen.max_inflight_mb, settings.cache.cache_mb
    wanted = (inflight + cache) * processes
    if wanted < limit_mb:
        return ""
    of_each = f" in each of {processes} processes" if processes > 1 else ""
    most = max(limit_mb // (2 * processes) - cache, 1)
    return (
        f"memory: the container has {limit_mb} MiB, but max-inflight-mb {inflight} and cache-mb"
        f" {cache}{of_each} allow calls and kept answers {wanted} MiB beside the models, and the kernel ends"
        f" a server that takes too much; hotgraph serve --max-inflight-mb {most} refuses calls before that"
    )
