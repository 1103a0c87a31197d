"""The admin port of several processes: one, the supervisor's, whose pages are made of theirs.

/healthz       200 as long as the supervisor can answer anything
/readyz        200 while all processes answer calls; else 503, and which do not
/metrics       the figures of all, each series with a label `process`
/metrics/sums  the same added up, as one process would have them
/api/status    the figures for the page, added up; /api/status/N: those of process N
               all else is what the first process that answers calls says

A process that makes no page in time is left out, and `hotgraph_process_up` and the log say so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http import HTTPStatus

from hotgraph_server.observability.admin.http import JSON, Request, Response, text
from hotgraph_server.observability.admin.status_sums import summed as summed_status
from hotgraph_server.observability.admin.window import Window
from hotgraph_server.observability.metrics import merged
from hotgraph_server.observability.metrics.processes import ProcessFigures, process_metrics
from hotgraph_server.processes.child import Child, Stage
from hotgraph_server.processes.supervisor import Supervisor
from hotgraph_server.transport import thread_pool
from hotgraph_server.transport.thread_pool import ThreadPool

_LOG = logging.getLogger(__name__)

_ONE = re.compile(r"/api/status/([0-9]{1,4})")
_PAGE_S = 5.0
_STOP_S = 5.0


class SharedPages:
    """
    Args:
        supervisor: its processes; made in the thread of its event loop.
        page_s: so long may a process take for a page, seconds.
    """

    def __init__(self, supervisor: Supervisor, page_s: float = _PAGE_S) -> None:
        self._supervisor = supervisor
        self._page_s = page_s
        self._loop = asyncio.get_running_loop()
        # Connections do not wait until figures are read and added up.
        self._adding = ThreadPool(1, "figures")
        self._window = Window()  # its thread's
        self._asked: set[Future[Response]] = set()

    def answer(self, request: Request) -> Response | Future[Response]:
        """The response to a request, whatever it asks for; any thread."""
        if request.path == "/healthz":
            return text(HTTPStatus.OK, "ok")
        asked = asyncio.run_coroutine_threadsafe(self._answer(request), self._loop)
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        return asked

    def close(self) -> None:
        """Make no page any more, not even what is asked for: this may be the thread of the event loop, which
        then waits for the port to be closed."""
        for asked in list(self._asked):
            asked.cancel()
        thread_pool.stop([self._adding], time.monotonic() + _STOP_S)

    async def _answer(self, request: Request) -> Response:
        reading = request.method in ("GET", "HEAD")
        if request.path == "/readyz":
            return self._readyz()
        if request.path in ("/metrics", "/metrics/sums") and reading:
            return await self._metrics(request)
        if request.path == "/api/status" and reading:
            return await self._status(request)
        if (one := _ONE.fullmatch(request.path)) is not None:
            return await self._of_one(Request(request.method, "/api/status"), int(one[1]))
        first = next((one for one in self._supervisor.children if one.stage is Stage.LIVE), None)
        return await self._page(first, request) or _none("no process answers")

    def _readyz(self) -> Response:
        if self._supervisor.is_ready:
            return text(HTTPStatus.OK, "live")
        waiting = [
            f"process {one.index}: {one.stage.value}"
            for one in self._supervisor.children
            if one.stage is not Stage.LIVE
        ]
        return text(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(waiting) or "loading")

    async def _metrics(self, request: Request) -> Response:
        pages = await self._pages(Request("GET", "/metrics"))
        children, restarts = self._supervisor.children, self._supervisor.restarts
        known = process_metrics(
            [
                ProcessFigures(one.index in pages, one.open_connections, restarts[one.index])
                for one in children
            ]
        )
        merge = merged.summed if request.path.endswith("/sums") else merged.by_process

        def made() -> Response:
            body, kind = merged.written([*known, *merge(pages)], request.accept)
            return Response(HTTPStatus.OK, body, kind)

        return await self._aside(made)

    async def _status(self, request: Request) -> Response:
        pages = await self._pages(Request("GET", "/api/status"))
        if not pages:
            return _none("no process answers")

        def made() -> Response:
            found = summed_status([json.loads(page) for _, page in sorted(pages.items())])
            told = self._window.told(found)
            return Response(HTTPStatus.OK, json.dumps(told, separators=(",", ":")).encode(), JSON)

        return await self._aside(made)

    async def _of_one(self, request: Request, number: int) -> Response:
        children = self._supervisor.children
        if number >= len(children):
            return text(HTTPStatus.NOT_FOUND, f"there are processes 0 to {len(children) - 1}")
        return await self._page(children[number], request) or _none(f"process {number} does not answer")

    async def _pages(self, request: Request) -> Mapping[int, bytes]:
        """What all say, by process; those that say nothing are not among them."""
        children = list(self._supervisor.children)
        answers = await asyncio.gather(*(self._page(child, request) for child in children))
        return {
            child.index: answer.body
            for child, answer in zip(children, answers, strict=True)
            if answer is not None and answer.status is HTTPStatus.OK
        }

    async def _page(self, child: Child | None, request: Request) -> Response | None:
        if child is None or child.stage not in (Stage.ANSWERING, Stage.LIVE, Stage.LEAVING):
            return None
        answer = await child.page(request, self._page_s)
        if answer is None:
            _LOG.warning("process %d makes no page %s in %.0f s", child.index, request.path, self._page_s)
        return answer

    async def _aside(self, made: Callable[[], Response]) -> Response:
        return await self._loop.run_in_executor(self._adding, made)


def _none(why: str) -> Response:
    return text(HTTPStatus.SERVICE_UNAVAILABLE, why)
