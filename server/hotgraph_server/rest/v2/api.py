"""All of ``/v2``: from a request to what answers it, over the service that gRPC's callers ask.

In this order: is there such a path, may this caller ask for it, does the server answer it now. Each endpoint
stands for a method of gRPC, and is open, early or refused as that one is: before the server is open those
answer that tell how it is, and when it stops those that are not hot.

A web page may run models and look around, where its browser lets it, but it changes nothing: what a visitor's
browser sends from a page of somebody else (with Origin, as every POST of a browser has it) would load models
into a server that only the visitor can reach.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hotgraph_server.access.groups import GRPC, Group, Method
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import LOADING, CallError, Draining, NotReady
from hotgraph_server.models.status import State
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.v2 import management
from hotgraph_server.rest.v2.errors import error_content
from hotgraph_server.rest.v2.management import Management
from hotgraph_server.rest.v2.paths import What, read_path
from hotgraph_server.transport.http import Content, Elsewhere, Endpoint, HttpError, Request
from hotgraph_server.transport.service import Service

Admit = Callable[[Method, Header], CallError | None]
"""Why a request may not have what a method of gRPC gives; None: it may."""

CallEndpoint = Callable[[Request, str, str], Endpoint]
"""What is done with a request to run a model, by the model's name and a version's digits, which are empty if
the path has none."""

_CALL = "ModelInfer"
# Of one model and with one answer: a stream of them is its server's alone.
_SENT_ON = frozenset(
    {What.INFER, What.GENERATE, What.MODEL_READY, What.MODEL_METADATA, What.MODEL_CONFIG, What.STATISTICS}
)


class V2Http:
    """Any thread may call everything.

    Args:
        service: inference.GRPCInferenceService.
        calls: what runs models, for each that `management.TABLE` does not have: What.INFER and its like.
        state: of the server.
        most_bytes: of a body that brings a model's files, when it is no longer compressed.
        admit: None: everybody may have everything.
        pool: reads very large JSON in another process; None: that happens here.
        elsewhere: for models that are not here; None: all is answered here.
    """

    def __init__(
        self,
        service: Service,
        calls: Mapping[What, CallEndpoint],
        state: Callable[[], State],
        most_bytes: int,
        admit: Admit | None = None,
        pool: JsonProcessPool | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._calls = calls
        self._elsewhere = elsewhere
        self._state = state
        self._admit = admit
        self._management = Management(service, most_bytes, pool)
        self._late = service.late_paths
        self._hot = frozenset(f"/{service.name}/{method}" for method in service.hot)
        methods = dict.fromkeys(What, _CALL) | {what: row.method for what, row in management.TABLE.items()}
        self._paths = {what: f"/{service.name}/{method}" for what, method in methods.items()}

    def endpoint(self, request: Request) -> Endpoint:
        """See transport.http.Api; for paths of /v2.

        Raises:
            NotFound, HttpError, InvalidCall: see `read_path`.
            HttpError: 403, a web page would change something.
            CallError: the caller may not have it.
            NotReady: the models are loading.
            Draining: the server stops.
        """
        target = read_path(request.method, request.path)
        path = self._paths[target.what]
        method = GRPC[path]
        if method.group is Group.CONTROL and request.method == "POST" and "origin" in request.headers:
            raise HttpError(403, "no web page may ask for this: it has an Origin header")
        if self._admit is not None:
            refusal = self._admit(method, request.headers.get)
            if refusal is not None:
                raise refusal
        state = self._state()
        if state is State.LOADING:
            if path in self._late:
                raise NotReady(LOADING)
        elif state is not State.LIVE and path in self._hot:
            raise Draining("this server")
        if self._elsewhere is not None and target.what in _SENT_ON:
            endpoint = self._elsewhere(request, target.model)
            if endpoint is not None:
                return endpoint
        if target.what in management.TABLE:
            return self._management.endpoint(target)
        return self._calls[target.what](request, target.model, target.version)

    def error(self, request: Request, error: CallError) -> Content:
        """See transport.http.Api."""
        return error_content(error)
