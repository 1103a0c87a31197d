"""Who gets an answer from the admin port: what stands before its pages. Pure.

Three rules, of which the first two hold on every server:

* A request that changes something is none that a web page makes. A browser says with every POST where the
  page came from (Origin), whichever site it goes to, and no page of ours posts: so one that says so is
  refused. That holds against pages elsewhere whose name is made to lead here (DNS rebinding) too.
* Where the port is this machine's alone, a request that names another host was meant for another, or a page
  elsewhere has had its name changed to lead here, to read the figures: it is refused. Names of this machine
  are localhost and addresses. On other addresses names are anybody's choice, and are not looked at.
* Groups that are closed, or have keys (access/).
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus

from hotgraph_server.access.groups import ADMIN, Group
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import CallError, Unauthenticated
from hotgraph_server.observability.admin.http import Request, Response, text
from hotgraph_server.observability.admin.state import PREFIX

Answer = Callable[[Request], Response | Future[Response]]
Admit = Callable[[Group, Header], CallError | None]


def guarded(answer: Answer, admit: Admit | None, *, loopback: bool) -> Answer:
    """`answer`, for those who may have one.

    Args:
        admit: why a request may not have a page of a group; None: all may.
        loopback: does the port listen on this machine alone?
    """

    def guard(request: Request) -> Response | Future[Response]:
        refusal = refused(request, admit, loopback=loopback)
        return answer(request) if refusal is None else refusal

    return guard


def refused(request: Request, admit: Admit | None, *, loopback: bool) -> Response | None:
    """Why a request gets no answer, as one; None: it gets one."""
    group = group_of(request.path)
    if group is None:
        return None
    if request.method not in ("GET", "HEAD") and "origin" in request.headers:
        return text(HTTPStatus.FORBIDDEN, "no web page may ask for this")
    if loopback and not _is_this_machine(request.headers.get("host", "localhost")):
        return text(
            HTTPStatus.MISDIRECTED_REQUEST, "the admin port is localhost or an address, and no other name"
        )
    error = None if admit is None else admit(group, request.headers.get)
    if error is None:
        return None
    if isinstance(error, Unauthenticated):
        answer = text(HTTPStatus.UNAUTHORIZED, str(error))
        return Response(answer.status, answer.body, answer.kind, {"WWW-Authenticate": "Bearer"})
    return text(HTTPStatus.FORBIDDEN, str(error))


def group_of(path: str) -> Group | None:
    """The group of a page; None: everybody may ask for it. A page that is not there is like the others."""
    if path == PREFIX or path.startswith(f"{PREFIX}/"):
        return Group.STATE
    return ADMIN.get(path, Group.ADMIN)


def _is_this_machine(host: str) -> bool:
    """`host`: as the header has it, with a port or without."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return name.lower().rstrip(".") == "localhost"
