"""What each call says of its model in a header, for proxies that send it to a server which has it. Pure.

The name of the model is in the message, which no proxy reads; `x-hotgraph-model` says it again. Envoy sends
calls by it (`hotgraph fleet envoy`); a server does not look at it.
"""

from __future__ import annotations

from typing import Any

MODEL_HEADER = "x-hotgraph-model"
"""Metadata of gRPC, and a header of HTTP."""

Headers = tuple[tuple[str, str], ...]

# A caller of more models has them made anew, which costs a call less than a microsecond.
_MOST_KEPT = 4096
_MOST_CHARACTERS = 1024


class ModelHeaders:
    """The headers of calls, made once for each model. Any thread may call it.

    Args:
        headers: that every call has. One that says the model already stays as it is.
    """

    def __init__(self, headers: Headers = ()) -> None:
        self._plain = headers
        self._said = any(name == MODEL_HEADER for name, _ in headers)
        self._kept: dict[str, Headers] = {}

    def of(self, model: str) -> Headers:
        """Those of a call to a model; of one that no header can hold, or of none, those of every call."""
        found = self._kept.get(model)
        return self._made(model) if found is None else found

    def _made(self, model: str) -> Headers:
        headers = self._plain
        if not self._said and is_sayable(model):
            headers = (*headers, (MODEL_HEADER, model))
        # In a race two make the same.
        if len(self._kept) < _MOST_KEPT:
            self._kept[model] = headers
        return headers


def is_sayable(model: str) -> bool:
    """Can a header hold it? It takes printable ASCII, without spaces at its ends."""
    return (
        0 < len(model) <= _MOST_CHARACTERS
        and model.isascii()
        and model.isprintable()
        and model == model.strip()
    )


def model_of(request: Any) -> str:
    """The model that a message asks for: of the Open Inference Protocol, or of TensorFlow Serving. Empty: it
    asks for none."""
    for field in ("model_name", "name"):
        name = getattr(request, field, None)
        if isinstance(name, str):
            return name
    spec = getattr(request, "model_spec", None)
    if spec is None:
        tasks = getattr(request, "tasks", None)
        spec = tasks[0].model_spec if tasks else None
    name = getattr(spec, "name", "")
    return name if isinstance(name, str) else ""
