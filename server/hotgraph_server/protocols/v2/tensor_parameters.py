"""The parameters of inputs and outputs: where in shared memory they lie, and classification. Pure.

Others are accepted and ignored, as Triton does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hotgraph_server.errors import InvalidCall

_REGION = "shared_memory_region"
_OFFSET = "shared_memory_offset"
_BYTE_SIZE = "shared_memory_byte_size"
_CLASSIFICATION = "classification"


class SharedMemory(NamedTuple):
    """A part of a region.

    Attributes:
        region: the name that it was registered under.
        offset: where in the region the part begins, bytes.
        byte_size: how long it is, bytes.
    """

    region: str
    offset: int
    byte_size: int


def shared_memory_of(tensor: Any) -> SharedMemory | None:
    """Where an input lies, or an output shall be put; None: in the message.

    Raises:
        InvalidCall: a value of the wrong kind, a negative one, or one that is missing beside another.
    """
    parameters = tensor.parameters
    if not parameters:
        return None
    if _REGION not in parameters:
        for name in (_OFFSET, _BYTE_SIZE):
            if name in parameters:
                raise InvalidCall(
                    f"'{name}' can not be specified without '{_REGION}' parameter for tensor '{tensor.name}'"
                )
        return None
    region = _value(tensor, _REGION, "string_param")
    if _BYTE_SIZE not in parameters:
        raise InvalidCall(f"'{_BYTE_SIZE}' must be specified with '{_REGION}' for tensor '{tensor.name}'")
    offset = _value(tensor, _OFFSET, "int64_param") if _OFFSET in parameters else 0
    byte_size = _value(tensor, _BYTE_SIZE, "int64_param")
    for name, value in ((_OFFSET, offset), (_BYTE_SIZE, byte_size)):
        if value < 0:
            raise InvalidCall(
                f"invalid value for '{name}' parameter for tensor '{tensor.name}': {value}, expected >= 0"
            )
    return SharedMemory(region, offset, byte_size)


def classes_of(output: Any) -> int:
    """How many classes are wanted in place of an output's values; 0: the values.

    Raises:
        InvalidCall: a value of the wrong kind, or none that makes sense.
    """
    if _CLASSIFICATION not in output.parameters:
        return 0
    classes: int = _value(output, _CLASSIFICATION, "int64_param")
    if classes <= 0:
        raise InvalidCall(
            f"invalid value for '{_CLASSIFICATION}' parameter for tensor '{output.name}': {classes}, "
            "expected > 0"
        )
    return classes


def _value(tensor: Any, name: str, kind: str) -> Any:
    parameter = tensor.parameters[name]
    if parameter.WhichOneof("parameter_choice") != kind:
        raise InvalidCall(
            f"invalid value type for '{name}' parameter for tensor '{tensor.name}', expected {kind}"
        )
    return getattr(parameter, kind)
