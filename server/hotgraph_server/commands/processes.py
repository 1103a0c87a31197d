"""Several processes in place of one server: what the commands that serve have in common there.

The one that was started supervises; it starts the others by the same command line (commands/process.py).
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Sequence

from hotgraph_server.access.gate import gate_of
from hotgraph_server.commands.signals import say
from hotgraph_server.errors import SettingsError
from hotgraph_server.observability.admin.opening import open_admin
from hotgraph_server.processes import shares
from hotgraph_server.processes.pages import SharedPages
from hotgraph_server.processes.supervisor import Supervisor
from hotgraph_server.settings import ServerSettings
from hotgraph_server.settings.control import AUTO, EXPLICIT
from hotgraph_server.threads import processors

_LOG = logging.getLogger(__name__)


def count(settings: ServerSettings) -> int:
    """How many processes these settings mean.

    Raises:
        SettingsError: more than one, with something that one alone can do; the text says what.
    """
    found = shares.count(settings.processes.processes, processors.usable())
    if found == 1:
        return found
    refused = {
        "no-fast-lane: grpc's own server takes no connections that another process has accepted": (
            not settings.listen.fast_lane
        ),
        "allow-client-shm: clients would register their memory with one process and call another": (
            settings.shared_memory.allow_client_shm
        ),
        "model-control explicit: a request to load would reach one process alone": (
            settings.control.model_control == EXPLICIT
        ),
        "model-control auto: each process would load models of its own, and a caller who comes to another one"
        " would wait again": settings.control.model_control == AUTO,
        "prometheus on the REST port, where each scrape would see another process; see --admin-port": (
            settings.rest.prometheus
        ),
    }
    for what, is_wanted in refused.items():
        if is_wanted:
            raise SettingsError(f"--processes {found} excludes {what}")
    return found


def in_process(settings: ServerSettings) -> ServerSettings:
    """What settings are for one of several processes: files that it alone writes have names of their own."""
    if not settings.tracing.trace_file:
        return settings
    trace_file = f"{settings.tracing.trace_file}.{os.getpid()}"
    return dataclasses.replace(settings, tracing=dataclasses.replace(settings.tracing, trace_file=trace_file))


def supervise(
    settings: ServerSettings, processes: int, words: Sequence[str], renew: Callable[[], None]
) -> int:
    """Serve with so many processes until a signal says otherwise; returns the exit status.

    Args:
        settings: of the whole.
        words: the command line that each process has as well, from the subcommand on.
        renew: reads what can be read again; raises HotgraphError: it cannot be served.

    Raises:
        StartError: a port cannot be had.
    """
    gate = gate_of(settings.access)

    def renewed() -> None:
        if gate is not None:
            gate.renew()
        renew()

    def admin(supervisor: Supervisor) -> Callable[[], None]:
        if not settings.admin.admin_port:
            return lambda: None
        pages = SharedPages(supervisor)
        port = open_admin(settings.listen.host, settings.admin.admin_port, pages.answer, gate)

        def close() -> None:
            pages.close()
            port.stop()

        return close

    command = [sys.executable, "-m", "hotgraph_server.commands.process", "{}", *words]
    health_port = settings.health.health_port
    supervisor = Supervisor(
        settings.listen, settings.rest, processes, command, renewed, say, health_port=health_port
    )
    return supervisor.run(admin)
