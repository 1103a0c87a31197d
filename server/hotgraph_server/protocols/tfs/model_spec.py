"""Which version a ModelSpec means, and what to say when there is none.

A spec names a version by its number or by a label (of the two the last one on the wire counts: they are a
oneof), or says neither and means the latest that is live. A label that no version has and that is a number
means the version of that number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tensorflow_serving.apis import model_pb2

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.signatures import DEFAULT_SIGNATURE


class Wanted(NamedTuple):
    """What a spec asks for.

    Attributes:
        name: of the model.
        number: of the version, as it was sent; None: none was.
        label: of the version; empty, which is no label: none was sent.
    """

    name: str
    number: int | None
    label: str = ""


def wanted(spec: Any) -> Wanted:
    """What a ModelSpec asks for.

    Raises:
        InvalidCall: the label that it asks by is empty, which none is.
    """
    if spec.WhichOneof("version_choice") == "version_label":
        if not spec.version_label:
            raise _no_label("")
        return Wanted(spec.name, None, spec.version_label)
    return Wanted(spec.name, int(spec.version.value) if spec.HasField("version") else None)


def meant_number(registry: Registry, name: str, number: int | None) -> int | None:
    """The version number that is meant by the one that was sent; None: the latest."""
    # Some clients send an empty version with every call: 0 means the latest, unless there is a 0.
    return None if number == 0 and 0 not in registry.table.get(name, {}) else number


def look_up(registry: Registry, asked: Wanted) -> Version | None:
    """The live version that is meant; None: there is none."""
    number = meant_number(registry, asked.name, asked.number)
    version = registry.find(asked.name, number, asked.label or None)
    if version is None and _is_number(asked.label):
        # perf_analyzer sends the version that it is told to call as a label
        version = registry.find(asked.name, int(asked.label))
    return version if version is not None and version.state is State.LIVE else None


def find(registry: Registry, asked: Wanted) -> Version:
    """The live version that is meant.

    Raises:
        InvalidCall: no name, or a label that no version has.
        NotFound: no such model or version, or it is not live.
        NotLoaded: the model is loaded when it is called.
    """
    if not asked.name:
        raise InvalidCall("ModelSpec has no name specified.")
    version = look_up(registry, asked)
    if version is None:
        registry.check_loaded(asked.name)
        raise _not_there(registry, asked)
    return version


def find_for(registry: Registry, request: Any) -> Version:
    """The live version that a request's ModelSpec names.

    Raises:
        InvalidCall: no spec, no name, or an unknown label.
        NotFound: no such model or version, or it is not live.
    """
    if not request.HasField("model_spec"):
        raise InvalidCall("Missing ModelSpec")
    return find(registry, wanted(request.model_spec))


def signature_name(spec: Any) -> str:
    """The signature that a ModelSpec asks for; ``serving_default`` if it says nothing."""
    return spec.signature_name or DEFAULT_SIGNATURE


def answered(version: Version, signature: str = "") -> Any:
    """The ModelSpec of an answer: who gave it."""
    spec = model_pb2.ModelSpec(name=version.name, signature_name=signature)
    # Also if it is 0.
    spec.version.value = version.number
    return spec


def _is_number(label: str) -> bool:
    # Of as many digits as fit into an int64: longer ones name no version, and cost time.
    return len(label) <= 19 and label.isascii() and label.isdigit()


def _not_there(registry: Registry, asked: Wanted) -> CallError:
    if asked.label:
        return _no_label(asked.label)
    number = meant_number(registry, asked.name, asked.number)
    servable = f"Latest({asked.name})" if number is None else f"Specific({asked.name}, {number})"
    return NotFound(f"Servable not found for request: {servable}")


def _no_label(label: str) -> InvalidCall:
    return InvalidCall(f"Unrecognized servable version label: {label}")
