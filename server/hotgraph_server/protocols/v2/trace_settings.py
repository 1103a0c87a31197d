"""TraceSetting: shows what is traced, and changes it."""

from __future__ import annotations

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.tracing.configs import read_change, shown
from hotgraph_server.observability.tracing.tracing import Tracing
from hotgraph_server.protocols.v2.tables import Table
from hotgraph_server.transport.service import PlainMethod


def methods(tracing: Tracing, registry: Registry) -> Table:
    """The method. A setting without a value goes back: a model's to what holds for all, and that to what the
    server was started with. A request changes everything that it names, or nothing."""

    def answer(request: pb.TraceSettingRequest) -> pb.TraceSettingResponse:
        model = request.model_name
        if model and model not in registry.loaded_at_call:
            version = registry.find(model)
            if version is None or version.state is not State.LIVE:
                raise InvalidCall(f"Request for unknown model : {model}")
        if request.settings:
            change = read_change({name: list(said.value) for name, said in request.settings.items()})
            tracing.change(change, model)
        response = pb.TraceSettingResponse()
        for name, values in shown(tracing.config(model), tracing.file).items():
            response.settings[name].value.extend(values)
        return response

    return {"TraceSetting": PlainMethod(pb.TraceSettingRequest, answer)}
