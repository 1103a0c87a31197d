"""The admin port's answers about state that models keep.

GET  /api/state                       what is kept of each version, as JSON
POST /api/state/MODEL/VERSION/save    take a snapshot now; VERSION is a number, or ``latest``
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from http import HTTPStatus

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.observability.admin.http import JSON, Request, Response, text

PREFIX = "/api/state"


def answer_state(models: Registry, request: Request) -> Response | Future[Response]:
    """The response to a request whose path begins with PREFIX, once it is there."""
    # A model's name may have a "/" of its own.
    parts = request.path.removeprefix(PREFIX).strip("/").rsplit("/", 2)
    if parts == [""]:
        if request.method not in ("GET", "HEAD"):
            return text(HTTPStatus.METHOD_NOT_ALLOWED, "this page is for reading")
        listed = [_told(version) for version in models.versions()]
        return Response(HTTPStatus.OK, json.dumps(listed, separators=(",", ":")).encode(), JSON)
    if len(parts) != 3 or parts[2] != "save":
        return text(HTTPStatus.NOT_FOUND, f"no such page; there is {PREFIX}/MODEL/VERSION/save")
    if request.method != "POST":
        return text(HTTPStatus.METHOD_NOT_ALLOWED, "a snapshot is asked for with POST")
    model, number = parts[0], parts[1]
    known = number == "latest" or (number.isascii() and number.isdecimal() and len(number) <= 18)
    version = models.find(model, None if number == "latest" else int(number)) if known else None
    if version is None:
        return text(HTTPStatus.NOT_FOUND, f"no model '{model}' with version {number} is served")
    return _save(version)


def _save(version: Version) -> Response | Future[Response]:
    snapshotter = version.snapshotter
    if snapshotter is None or snapshotter.status.folder is None:
        return text(HTTPStatus.CONFLICT, f"{version.title} keeps no snapshots")
    answered: Future[Response] = Future()

    def tell(saved: Future[str | None]) -> None:
        problem = saved.result()
        if problem is None:
            kept = snapshotter.status
            line = f"{version.title}: {kept.saved} writes are saved in {kept.folder}"
            answered.set_result(text(HTTPStatus.OK, line))
        else:
            line = f"{version.title} could not be saved: {problem}"
            answered.set_result(text(HTTPStatus.INTERNAL_SERVER_ERROR, line))

    snapshotter.save().add_done_callback(tell)
    return answered


def _told(version: Version) -> dict[str, object]:
    kept = version.snapshotter.status if version.snapshotter is not None else None
    return {
        "model": version.name,
        "version": version.number,
        "variables": {
            name: sorted(signature.variables)
            for name, signature in version.signatures.items()
            if signature.writes
        },
        "writes": kept.writes if kept else 0,
        "saved": kept.saved if kept else 0,
        "folder": str(kept.folder) if kept and kept.folder else None,
    }
