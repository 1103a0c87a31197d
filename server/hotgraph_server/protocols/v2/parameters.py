"""The parameters of a ModelInfer request: a table of those we know, and the rule for the others. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.batching.request import InSequence
from hotgraph_server.errors import InvalidCall

# What Triton's protocol defines, and the kinds of value it takes. tritonclient sends uint64 for priority.
_KINDS = {
    "signature_name": {"string_param"},
    "timeout": {"int64_param"},
    "priority": {"int64_param", "uint64_param"},
    "sequence_id": {"int64_param", "uint64_param", "string_param"},
    "sequence_start": {"bool_param"},
    "sequence_end": {"bool_param"},
    # perf_analyzer sends it with every call.
    "triton_enable_empty_final_response": {"bool_param"},
}
_RESERVED = "triton_"
_CUSTOM_KINDS = {"bool_param", "int64_param", "string_param", "double_param"}
_NO_SEQUENCE = InSequence(0, start=False, end=False)


@dataclass(frozen=True)
class Parameters:
    """What the parameters of a request ask for.

    Attributes:
        signature_name: of the signature to run; empty: the model's default one.
        timeout_s: seconds that the caller wants to wait at most; infinite without the parameter.
        priority: 1 is the highest; 0: none is asked for.
        sequence: that the call belongs to; 0 or empty is no sequence.
    """

    signature_name: str = ""
    timeout_s: float = math.inf
    priority: int = 0
    sequence: InSequence = _NO_SEQUENCE


_NONE = Parameters()


def read_parameters(request: ModelInferRequest) -> Parameters:
    """Check all parameters and take what concerns this server; custom ones are accepted and ignored.

    Raises:
        InvalidCall: a value of the wrong kind, or a reserved name.
    """
    if not request.parameters:
        return _NONE
    found: dict[str, int | str | float | bool] = {}
    for name, parameter in request.parameters.items():
        kind = parameter.WhichOneof("parameter_choice") or "none"
        if name not in _KINDS and name.startswith(_RESERVED):
            raise InvalidCall(f"parameter keys starting with '{_RESERVED}' are reserved, got '{name}'")
        if kind not in _KINDS.get(name, _CUSTOM_KINDS):
            raise InvalidCall(f"invalid value type for '{name}' parameter: {kind.removesuffix('_param')}")
        found[name] = getattr(parameter, kind)
    for name in ("priority", "timeout"):
        if int(found.get(name, 0)) < 0:
            raise InvalidCall(f"invalid value for '{name}' parameter: {found[name]} is negative")
    # Microseconds; 0 is how clients say that they have no wish.
    timeout_us = int(found.get("timeout", 0))
    sequence_id = found.get("sequence_id", 0)
    return Parameters(
        signature_name=str(found.get("signature_name", "")),
        timeout_s=timeout_us / 1e6 if timeout_us else math.inf,
        priority=int(found.get("priority", 0)),
        sequence=InSequence(
            sequence_id if isinstance(sequence_id, str) else int(sequence_id),
            start=bool(found.get("sequence_start", False)),
            end=bool(found.get("sequence_end", False)),
        ),
    )
