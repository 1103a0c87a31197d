"""RepositoryIndex, RepositoryModelLoad and RepositoryModelUnload: which models there are, and come and go.

Two clients call the same methods with different messages. Triton's have the repository's name in field 1 and
the model's in field 2; KServe's have the model's in field 1, and read two fields of the answers that Triton's
do not have. So a lone field 1 is the name of a model, and every answer has the two fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError, InvalidCall, Unsupported
from hotgraph_server.models.status import IndexRow, State
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import HotMethod, Reply, parsed

_CONFIG = "config"
_FILE = "file:"
_OURS = "hotgraph_"
_DEPENDENTS = "unload_dependents"
_READY = "READY"
_PLAIN = ("string_param", "int64_param")
_STATES = {
    None: "",
    State.KNOWN: "UNAVAILABLE",
    State.WAITING: "LOADING",
    State.LOADING: "LOADING",
    State.LIVE: _READY,
    State.DRAINING: "UNLOADING",
    State.CLOSED: "UNAVAILABLE",
    State.FAILED: "UNAVAILABLE",
}
# Of a server that takes no calls yet.
_STATES_AT_START = {**_STATES, State.LIVE: "LOADING"}


class Control(Protocol):
    """What repository.control.ModelControl is to this."""

    def load(
        self,
        name: str,
        config: str | None,
        files: Mapping[str, bytes],
        tell: Callable[[CallError | None], None],
        served_as: Mapping[str, str],
    ) -> None: ...

    def unload(self, name: str, tell: Callable[[CallError | None], None]) -> None: ...

    def index(self, tell: Callable[[list[IndexRow] | CallError], None]) -> None: ...


def methods(control: Control, is_starting: Callable[[], bool] = lambda: False) -> Mapping[str, HotMethod]:
    """The three methods. Loading takes its time and folders may be far away, and no thread waits for them.

    Args:
        control: what they ask.
        is_starting: does the server take no calls yet? Then nothing is ready, whatever is loaded.
    """
    answers = _Answers(control, is_starting)
    return {
        "RepositoryIndex": answers.index,
        "RepositoryModelLoad": answers.load,
        "RepositoryModelUnload": answers.unload,
    }


class _Answers:
    def __init__(self, control: Control, is_starting: Callable[[], bool]) -> None:
        self._control = control
        self._is_starting = is_starting

    def index(self, message: Message, reply: Reply) -> None:
        request = parsed(pb.RepositoryIndexRequest, message)
        if request.repository_name:
            raise _unsupported_name()

        def tell(found: list[IndexRow] | CallError) -> None:
            starting = self._is_starting()
            reply.finish(lambda: _index(found, ready=request.ready, starting=starting))

        self._control.index(tell)

    def load(self, message: Message, reply: Reply) -> None:
        request = parsed(pb.RepositoryModelLoadRequest, message)
        name = _model_of(request)
        config, files, ours = _overrides(request.parameters)
        loaded = pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True)
        self._control.load(name, config, files, lambda error: _finish(reply, loaded, error), ours)

    def unload(self, message: Message, reply: Reply) -> None:
        request = parsed(pb.RepositoryModelUnloadRequest, message)
        name = _model_of(request)
        dependents = request.parameters.get(_DEPENDENTS)
        # No model depends on another one here, so there is nothing to be done for it.
        if dependents is not None and dependents.WhichOneof("parameter_choice") != "bool_param":
            raise InvalidCall(f"invalid value type for '{_DEPENDENTS}', expected bool_param.")
        unloaded = pb.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)
        self._control.unload(name, lambda error: _finish(reply, unloaded, error))


def _model_of(request: Any) -> str:
    """The model that a request means; see above."""
    if request.repository_name and request.model_name:
        raise _unsupported_name()
    return str(request.model_name or request.repository_name)


def _overrides(parameters: Mapping[str, Any]) -> tuple[str | None, dict[str, bytes], dict[str, str]]:
    """The configuration and the files that a request to load brings, the keys of the files as they are, and
    parameters of our own as texts."""
    config: str | None = None
    files: dict[str, bytes] = {}
    ours: dict[str, str] = {}
    for key, value in parameters.items():
        kind = value.WhichOneof("parameter_choice")
        if key == _CONFIG:
            _check_kind(key, kind, "string_param")
            config = value.string_param
        elif key.startswith(_FILE):
            _check_kind(key, kind, "bytes_param")
            files[key] = value.bytes_param
        elif key.startswith(_OURS):
            if kind not in _PLAIN:
                raise InvalidCall(f"invalid value type for load parameter '{key[:100]}', expected a string.")
            ours[key] = str(getattr(value, kind))
        else:
            raise InvalidCall(f"unrecognized load parameter '{key[:100]}'.")
    return config, files, ours


def _check_kind(key: str, kind: str | None, expected: str) -> None:
    if kind != expected:
        raise InvalidCall(f"invalid value type for load parameter '{key[:100]}', expected {expected}.")


def _finish(reply: Reply, response: Any, error: CallError | None) -> None:
    def encode() -> bytes:
        if error is not None:
            raise error
        return bytes(response.SerializeToString())

    reply.finish(encode)


def _index(found: list[IndexRow] | CallError, *, ready: bool, starting: bool) -> bytes:
    if isinstance(found, CallError):
        raise found
    states = _STATES_AT_START if starting else _STATES
    rows = [row for row in found if not ready or states[row.state] == _READY]
    response = pb.RepositoryIndexResponse(
        models=[
            pb.RepositoryIndexResponse.ModelIndex(
                name=row.name,
                version="" if row.number is None else str(row.number),
                state=states[row.state],
                reason=row.reason,
            )
            for row in rows
        ]
    )
    return bytes(response.SerializeToString())


def _unsupported_name() -> Unsupported:
    return Unsupported("'repository_name' specification is not supported")
