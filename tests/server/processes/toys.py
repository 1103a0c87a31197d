"""A supervisor over processes without a model, which start quickly: the same transport, and toys to call.

    python -m tests.server.processes.toys COUNT ADMIN_PORT FILE

FILE holds what a process is like: JSON, read when it starts.

    name    what its answers begin with; behind that come its index and its pid
    ends    it ends with this status before it answers calls
    hold_s  a call takes so long, seconds; in between nothing runs
    refuse  the supervisor shall find the configuration wrong
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from google.protobuf import wrappers_pb2

from hotgraph_server.commands.signals import Stop, say
from hotgraph_server.errors import NotReady, SettingsError
from hotgraph_server.observability.admin.http import Request, Response, text
from hotgraph_server.observability.admin.opening import open_admin
from hotgraph_server.processes.member import Member
from hotgraph_server.processes.pages import SharedPages
from hotgraph_server.processes.supervisor import Supervisor
from hotgraph_server.settings import ListenSettings, RestSettings
from hotgraph_server.transport.server import CallServer
from hotgraph_server.transport.service import Reply, Service

DRAIN_S = 20.0


def supervise(count: int, admin_port: int, file: Path) -> int:
    """Returns the exit status."""

    def renew() -> None:
        if json.loads(file.read_text()).get("refuse"):
            raise SettingsError("it is wrong")

    def admin(supervisor: Supervisor) -> Callable[[], None]:
        pages = SharedPages(supervisor)
        port = open_admin("127.0.0.1", admin_port, pages.answer, None)

        def close() -> None:
            pages.close()
            port.stop()

        return close

    command = [sys.executable, "-m", __spec__.name, "{}", str(file)]
    listening = ListenSettings(port=0, drain_s=DRAIN_S)
    return Supervisor(listening, RestSettings(rest_port=0), count, command, renew, say).run(admin)


def serve(given: str, file: Path) -> int:
    """One of the processes. Returns the exit status."""
    member = Member.of_words(given)
    member.start()
    like = json.loads(file.read_text())
    called = 0

    def call(message: Any, reply: Reply) -> None:
        nonlocal called
        called += 1
        answer = f"{like.get('name', '')} {member.index} {os.getpid()}".encode()
        wait_s = like.get("hold_s", 0.0)
        if wait_s:
            threading.Timer(wait_s, lambda: reply.finish(lambda: answer)).start()
        else:
            reply.finish(lambda: answer)

    def page(request: Request) -> Response:
        if request.path == "/metrics":
            return text(HTTPStatus.OK, f"# TYPE toy_calls_total counter\ntoy_calls_total {called}.0")
        return text(HTTPStatus.OK, f"page of {member.index}")

    stop = Stop()
    stop.start()
    member.stop_by(stop.request)
    member.pages_by(page)
    toys = Service("test.Toys", wrappers_pb2.DESCRIPTOR, hot={"Call": call})
    server = CallServer(ListenSettings(drain_s=DRAIN_S), [toys], handed_over=member.connections)
    server.health.not_serving(["test.Toys"])
    server.start(NotReady("the toys are not there yet"))
    member.answering(server.health.of_all, lambda: None, server.shed)
    if "ends" in like:
        say(f"toy: ends with {like['ends']}")
        return int(like["ends"])
    server.open()
    server.health.serving(["test.Toys"])
    stop.from_now_on_a_request()
    member.say("live")
    stop.wait()
    if member.leaves:
        server.leave(DRAIN_S)
    member.say("stopping")
    return 0 if server.stop(DRAIN_S) else 1


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    first, *rest = sys.argv[1:]
    if first.startswith("{"):
        return serve(first, Path(rest[0]))
    return supervise(int(first), int(rest[0]), Path(rest[1]))


if __name__ == "__main__":
    sys.exit(main())
