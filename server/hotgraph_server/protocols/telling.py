"""Keeps what callers are told whose calls do not get as far as a version, for the live page and metrics.

What a version refuses, and what its calls fail with, is the version's (statistics.py).
"""

from __future__ import annotations

from types import TracebackType

from hotgraph_server.errors import CallError, NotLoaded
from hotgraph_server.models.registry import Registry


class telling:
    """Within it a CallError is kept, and goes on.

    Args:
        registry: which keeps it.
        model: that the call is for, as the caller names it.
    """

    __slots__ = ("_model", "_registry")

    def __init__(self, registry: Registry, model: str) -> None:
        self._registry = registry
        self._model = model

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        # A call whose model is loaded for it has not failed.
        if isinstance(error, CallError) and not isinstance(error, NotLoaded):
            error.about = error.about or (self._model, 0, "")
            # Callers call models what they like; what is counted by name is what there is.
            registry = self._registry
            known = self._model in registry.table or self._model in registry.loaded_at_call
            registry.last_errors.add(
                error.status.name, str(error), model=self._model, counted_for=self._model if known else ""
            )
