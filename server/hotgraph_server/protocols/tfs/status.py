"""``tensorflow.serving.ModelService``: what became of a model's versions, and another list of models."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2

from hotgraph_server.errors import LOADING, InvalidCall, NotAvailable, NotFound, NotReady, Unsupported
from hotgraph_server.models.status import State, Unavailable, VersionStatus
from hotgraph_server.observability.metrics.growth import Counters, Growth
from hotgraph_server.protocols.tfs.model_config import models_of
from hotgraph_server.settings import ModelFactory, ModelSettings
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import PlainMethod, Reply, Service, parsed

NAME = "tensorflow.serving.ModelService"

_VersionStatus = get_model_status_pb2.ModelVersionStatus
_STATES = {
    # "The manager is tracking this servable, but has not initiated any action pertaining to it."
    State.KNOWN: _VersionStatus.START,
    State.WAITING: _VersionStatus.START,
    State.LOADING: _VersionStatus.LOADING,
    State.LIVE: _VersionStatus.AVAILABLE,
    State.DRAINING: _VersionStatus.UNLOADING,
    State.CLOSED: _VersionStatus.END,
    State.FAILED: _VersionStatus.END,
}
# Of a server that takes no calls yet.
_STATES_AT_START = {**_STATES, State.LIVE: _VersionStatus.LOADING}
# As in tensorflow/core/protobuf/error_codes.proto. TensorFlow's own code of a failed load does not come so
# far; UNKNOWN is what it means.
_UNKNOWN = 2


class Models(Protocol):
    """What repository.Repository is to this service."""

    def models(self) -> list[str]: ...

    def statuses(self, name: str) -> list[VersionStatus]: ...

    def when_settled(
        self, names: Collection[str], tell: Callable[[list[Unavailable]], None]
    ) -> Callable[[], None]: ...


Reconfigure = Callable[[Sequence[ModelSettings]], None]
"""Takes the models to be served from now on; raises ConfigError."""


def service(
    models: Models,
    reconfigure: Reconfigure,
    make: ModelFactory | None,
    counters: Counters = dict,
    is_starting: Callable[[], bool] = lambda: False,
) -> Service:
    """The service.

    Args:
        models: what it tells about.
        reconfigure: what a new list of models is given to.
        make: what a model is like that such a list names; None: no caller may change the list.
        counters: by TensorFlow Serving's names of them; a caller may be told how much they grew while its
            list was taken in.
        is_starting: does the server take no calls yet? Then nothing is available, whatever is loaded.
    """
    reload = _Reload(models, reconfigure, make, counters)
    return Service(
        name=NAME,
        descriptor=model_service_pb2.DESCRIPTOR,
        # Loading takes its time, and no thread waits for it.
        hot={"HandleReloadConfigRequest": reload},
        plain={
            "GetModelStatus": PlainMethod(
                get_model_status_pb2.GetModelStatusRequest, functools.partial(_status, models, is_starting)
            )
        },
        early=("GetModelStatus",),
    )


def not_available(unavailable: Sequence[Unavailable]) -> str:
    """TensorFlow Serving's text about versions that did not become available."""
    listed = "".join(
        f"{{{{name: {one.model}{'' if one.number is None else f' version: {one.number}'}}}"
        f" due to error: {one.error}}}, "
        for one in unavailable
    )
    return f"{len(unavailable)} servable(s) did not become available: {{{listed}}}"


def _status(models: Models, is_starting: Callable[[], bool], request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise InvalidCall("Missing ModelSpec")
    spec = request.model_spec
    states = _STATES_AT_START if is_starting() else _STATES
    statuses = models.statuses(spec.name)
    if not statuses and states is _STATES_AT_START:
        # It may be one whose folder has not been looked at yet, or that is still to come.
        raise NotReady(LOADING)
    if not statuses:
        raise NotFound(f"Could not find any versions of model {spec.name}")
    # A label in the spec is ignored here, as TensorFlow Serving's handler does.
    number = int(spec.version.value) if spec.HasField("version") else None
    chosen = [one for one in statuses if one.number == number]
    if number is None or (number == 0 and not chosen):
        chosen = statuses
    elif not chosen:
        raise NotFound(f"Could not find version {number} of model {spec.name}")
    return get_model_status_pb2.GetModelStatusResponse(
        model_version_status=[_version_status(one, states) for one in chosen]
    )


def _version_status(status: VersionStatus, states: Mapping[State, int]) -> Any:
    message = _VersionStatus(version=status.number, state=states[status.state])
    # Set even when it is OK, so that a reader sees that all is well and not that nothing was said.
    message.status.SetInParent()
    if status.error is not None:
        message.status.error_code = _UNKNOWN
        message.status.error_message = status.error
    return message


class _Reload:
    """HandleReloadConfigRequest: the new list is checked and then holds as a whole; the answer comes when it
    is known of every model that is new in it whether it can be served. With it comes how much those metrics
    grew meanwhile that the request names; of one that we do not have nothing is said."""

    def __init__(
        self, models: Models, reconfigure: Reconfigure, make: ModelFactory | None, counters: Counters
    ) -> None:
        self._models = models
        self._reconfigure = reconfigure
        self._make_model = make
        self._counters = counters

    def __call__(self, message: Message, reply: Reply) -> None:
        """See HotMethod.

        Raises:
            CallError: it cannot be, and why; nothing has changed.
        """
        request = parsed(model_management_pb2.ReloadConfigRequest, message)
        config = request.config
        if config.WhichOneof("config") != "model_config_list":
            raise InvalidCall(
                "ServerModelConfig type not supported by HandleReloadConfigRequest."
                " Only ModelConfigList is currently supported"
            )
        if self._make_model is None:
            raise Unsupported("the models of this server are those of its command line; see --poll-s")
        models = models_of(config, self._make_model)
        growth = Growth(self._counters, request.metric_names)
        before = set(self._models.models())
        self._reconfigure(models)
        new = {model.name for model in models} - before
        reply.when_gone(self._models.when_settled(new, functools.partial(_tell, reply, growth)))


def _tell(reply: Reply, growth: Growth, unavailable: list[Unavailable]) -> None:
    def encode() -> bytes:
        if unavailable:
            raise NotAvailable(not_available(unavailable))
        metrics = [
            model_management_pb2.Metric(name=name, int64_value_increase=increase)
            for name, increase in growth.by_name()
        ]
        response = model_management_pb2.ReloadConfigResponse(metric=metrics)
        response.status.SetInParent()
        return bytes(response.SerializeToString())

    reply.finish(encode)
