"""ServerLive, ServerReady and ModelReady."""

from __future__ import annotations

from collections.abc import Callable

from hotgraph_protos import open_inference as pb
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.protocols.v2 import models
from hotgraph_server.protocols.v2.tables import Table
from hotgraph_server.transport.service import PlainMethod


def methods(
    registry: Registry, is_ready: Callable[[], bool], is_starting: Callable[[], bool] = lambda: False
) -> Table:
    """The methods; `is_ready` says whether the server as a whole takes calls, and `is_starting` that it takes
    none yet, whatever is loaded.

    A server lives as long as it can say so. A model or a version that is not known is not ready, which is no
    error; only a version that is no number is one (INVALID_ARGUMENT). A model that is loaded when it is
    called is ready, because a call is answered, unless it could not be loaded the last time.
    """

    def server_live(_: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    def server_ready(_: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=is_ready())

    def model_ready(request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        name = request.name
        version = registry.find(name, models.requested_number(request.version))
        is_live = version is not None and version.state is State.LIVE
        is_known = name not in registry.table and registry.loaded_at_call.get(name, False)
        return pb.ModelReadyResponse(ready=(is_live or is_known) and not is_starting())

    return {
        "ServerLive": PlainMethod(pb.ServerLiveRequest, server_live),
        "ServerReady": PlainMethod(pb.ServerReadyRequest, server_ready),
        "ModelReady": PlainMethod(pb.ModelReadyRequest, model_ready),
    }
