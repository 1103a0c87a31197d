"""What is told of the server and its models: health, metadata, configuration and statistics. Pure.

Triton answers about health with a status alone, which its clients read; KServe's read the body as well, so
both are there. What is not ready has the error beside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotgraph_protos import open_inference as pb
from hotgraph_server.rest.v2.message_values import values_of
from hotgraph_server.rest.v2.paths import Target, What
from hotgraph_server.rest.v2.row import Row, json_content
from hotgraph_server.transport.http import Content
from hotgraph_server.transport.message_fields import Message


def _of_server(request: Any) -> Callable[[Target, Message], Any]:
    return lambda target, body: request()


def _of_model(request: Any) -> Callable[[Target, Message], Any]:
    return lambda target, body: request(name=target.model, version=target.version)


def _live(_: Target, response: pb.ServerLiveResponse) -> Content:
    if response.live:
        return json_content({"live": True})
    return json_content({"live": False, "error": "Server not live"}, 503)


def _ready(_: Target, response: pb.ServerReadyResponse) -> Content:
    if response.ready:
        return json_content({"ready": True})
    # Triton's 400 would say that the caller is to blame.
    return json_content({"ready": False, "error": "Server not ready"}, 503)


def _model_ready(target: Target, response: pb.ModelReadyResponse) -> Content:
    if response.ready:
        return json_content({"name": target.model, "ready": True})
    # As in Triton, for a model that nobody knows as well.
    return json_content({"name": target.model, "ready": False, "error": "Model version not ready"}, 400)


def _values(_: Target, response: Any) -> Content:
    return json_content(values_of(response))


def _config(_: Target, response: pb.ModelConfigResponse) -> Content:
    return json_content(values_of(response.config))


TABLE = {
    What.SERVER_LIVE: Row("ServerLive", _of_server(pb.ServerLiveRequest), _live),
    What.SERVER_READY: Row("ServerReady", _of_server(pb.ServerReadyRequest), _ready),
    What.MODEL_READY: Row("ModelReady", _of_model(pb.ModelReadyRequest), _model_ready),
    What.SERVER_METADATA: Row("ServerMetadata", _of_server(pb.ServerMetadataRequest), _values),
    What.MODEL_METADATA: Row(
        "ModelMetadata", _of_model(pb.ModelMetadataRequest), _values, pb.ModelMetadataResponse
    ),
    What.MODEL_CONFIG: Row("ModelConfig", _of_model(pb.ModelConfigRequest), _config, pb.ModelConfigResponse),
    What.STATISTICS: Row("ModelStatistics", _of_model(pb.ModelStatisticsRequest), _values),
}
"""Endpoints of this module."""
