"""The admin port with what stands before its pages."""

from __future__ import annotations

import logging

from hotgraph_server.access.exposure import is_loopback
from hotgraph_server.access.gate import Gate
from hotgraph_server.observability.admin.guard import guarded
from hotgraph_server.observability.admin.server import AdminServer, Answer

_LOG = logging.getLogger(__name__)


def open_admin(host: str, port: int, answer: Answer, gate: Gate | None) -> AdminServer:
    """The port, which shows what `answer` says to those who may have it.

    Raises:
        StartError: it cannot be had.
    """
    admin = AdminServer(host, port, guarded(answer, gate.of if gate else None, loopback=is_loopback(host)))
    admin.start()
    _LOG.info("admin port: http://%s/", admin.address)
    return admin
