"""The forms that a graph can be run in besides as saved: frozen, and compiled by XLA. Made once, and from the
GraphDef as saved, which is let go of then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hotgraph_server.graph.callables import Key
from hotgraph_server.graph.freezing import (
    COMPILED,
    FROZEN,
    add_frozen,
    copied_bytes,
    has_variables,
    release_variables,
    too_large_to_copy,
    why_not_frozen,
)
from hotgraph_server.settings import SessionSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.plan import Form, Plan, Threads


class Forms:
    """Of one graph; in the thread that owns its session.

    Args:
        session: that holds the graph.
        graph_def: as saved.
        signatures: those that can be called, by name; one that is given up later is taken out there.
        settings: for the session, and whether XLA is to be tried.
        row_buckets: the numbers of rows that joined runs will have; empty: any.
        clock: seconds.
    """

    def __init__(
        self,
        session: Any,
        graph_def: Any,
        signatures: Mapping[str, Signature],
        settings: SessionSettings,
        row_buckets: Sequence[int] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session = session
        self._as_saved = graph_def
        self._signatures = signatures
        self._settings = settings
        self._row_buckets = row_buckets
        self._clock = clock
        self._has_compiled = False
        # What each prepared run has for itself, by the form and the signature.
        self._copied_bytes = {
            (Form.AS_SAVED, name): copied_bytes(graph_def, signature)
            for name, signature in signatures.items()
        }

    def copied_bytes(self, form: Form, name: str) -> int:
        """Bytes of constants that each prepared run of a signature, by its name, has for itself."""
        return self._copied_bytes[form, name]

    def freeze(self, until: float) -> str:
        """Copy the graph if that helps and can be; returns why there is no frozen form, empty if there is.

        Args:
            until: on the clock; no variables are read after that.
        """
        graph_def, self._as_saved = self._as_saved, None
        readers = [signature for signature in self._signatures.values() if not signature.writes]
        if not readers:
            return "every signature may change state"
        written = frozenset[str]().union(*[signature.variables for signature in self._signatures.values()])
        large = too_large_to_copy(graph_def, readers, written)
        variables = written | large
        why = why_not_frozen(graph_def, readers, variables, until - self._clock())
        if why:
            return why
        without = "" if has_variables(graph_def, readers, variables) else _without_variables(written, large)
        if without and not self._settings.xla:
            return without
        for signature in readers:
            size = copied_bytes(graph_def, signature, variables)
            self._copied_bytes[Form.FROZEN, signature.name] = size
        device = self._settings.canonical_device
        why = add_frozen(self._session, readers, variables, device, xla=self._settings.xla)
        self._has_compiled = self._settings.xla and not why
        return why or without

    def forgo(self) -> str:
        """Make no copy; returns why."""
        self._as_saved = None
        return "no signature takes generated input"

    def rows_to_compile(self, signature: Signature) -> tuple[tuple[int, ...], list[str]]:
        """The numbers of rows to try XLA with, and what is to be said where there are none."""
        if not self._has_compiled:
            return (), []
        rows, why_none = rows_to_compile(signature, self._row_buckets)
        return rows, [f"no XLA: {why_none}"] if why_none else []

    def release_variables(self) -> None:
        """No signature runs as saved any more: its variables are given back."""
        release_variables(self._session)


def key_of(plan: Plan, name: str, outputs: tuple[str, ...], *, compiled: bool) -> Key:
    """What a run of these outputs of a signature, by its name, goes through."""
    scope = COMPILED if compiled else FROZEN if plan.form is Form.FROZEN else ""
    return Key(name, outputs, scope and f"{scope}/", plan.threads is Threads.POOL)


def rows_to_compile(signature: Signature, row_buckets: Sequence[int]) -> tuple[tuple[int, ...], str]:
    """The numbers of rows with which XLA may be tried, and why there are none.

    Only shapes that are known beforehand can be compiled beforehand.

    Args:
        signature: whose runs are to be compiled.
        row_buckets: the numbers of rows that joined runs have; empty: any.
    """
    for spec in signature.inputs:
        if spec.shape is None or None in spec.shape[1:]:
            return (), f"input {spec.alias!r} can have too many shapes"
    if not any(spec.free_rows for spec in signature.inputs):
        return (1,), ""
    if not row_buckets:
        return (), "it compiles for each number of rows, and no row_buckets are set"
    return tuple(row_buckets), ""


def _without_variables(written: frozenset[str], large: frozenset[str]) -> str:
    if large:
        return "its variables are large, and each signature would have a copy"
    return "signatures write all its variables" if written else "there are no variables"


def rows_of(signature: Signature, inputs: Sequence[Array]) -> int:
    """The rows of a run; 1 where no input has rows that are free."""
    for spec, array in zip(signature.inputs, inputs, strict=True):
        if spec.free_rows:
            return len(array)
    return 1
