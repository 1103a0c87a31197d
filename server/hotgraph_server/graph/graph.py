"""A SavedModel as one graph in one session: opened once, run again and again.

A Graph belongs to the thread that opened it: every method asserts that, because the whole design rests on
nothing else touching the session. Until `settle` it runs as saved; then each signature has its plan.
"""

from __future__ import annotations

import copy
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from hotgraph_server.errors import RunFailed, first_line
from hotgraph_server.graph.bounds import asset_files
from hotgraph_server.graph.callables import Callables, Key, Prepared
from hotgraph_server.graph.definitions import signature_defs_of, signatures_of
from hotgraph_server.graph.freezing import (
    COMPILED,
    FROZEN,
    REFERENCE_VARIABLES,
    add_frozen,
    copied_bytes,
    has_variables,
    release_variables,
    too_large_to_copy,
    why_not_frozen,
)
from hotgraph_server.graph.loading import open_session
from hotgraph_server.graph.proofs import proofs_of
from hotgraph_server.graph.refusals import run_failed, run_failed_unreadably
from hotgraph_server.graph.variables import Variables
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.settings import SessionSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.plan import AS_SAVED, Form, Plan, Threads
from hotgraph_server.warmup.plan_search import choose_plan, repeated, rows_of, rows_to_compile
from hotgraph_server.warmup.probing import Measured
from hotgraph_server.warmup.synthetic_inputs import Kind, generate

_LOG = logging.getLogger(__name__)

# Callers may ask for any choice of outputs. So many choices of a signature are prepared, where the constants
# that each of them copies are no larger than this; a signature that changes state runs no more than was asked
# for, so of its choices the latest are kept (callables.py).
_MAX_CHOICES = 8
_MAX_BYTES_PER_CHOICE = 2**20

# What plans are compared with where nobody brings more.
_SEEDS = (1, 2)


class Graph:
    """An opened SavedModel; made by `open`, owned by the thread that made it.

    Attributes:
        signatures: those that can be called, by name.
        unusable: why the others cannot be called, by name.
        proofs: what the structure of the graph proves of the rows of those that could be joined.
        signature_defs: all that are meant for callers, as saved (SignatureDef messages), for clients that ask
            for the metadata.
        variables: the names of the variables that signatures write, and that can be read and written whole.
    """

    def __init__(
        self,
        session: Any,
        meta_graph: Any,
        settings: SessionSettings,
        row_buckets: Sequence[int] = (),
        clock: Callable[[], float] = time.perf_counter,
        assets: Sequence[Path] = (),
    ) -> None:
        self._owner = threading.get_ident()
        self._session = session
        self._settings = settings
        self._row_buckets = row_buckets
        self._clock = clock
        self._plans: dict[str, Plan] = {}
        self._choices: dict[str, set[tuple[str, ...]]] = {}
        self._has_compiled = False
        self._callables = Callables(session)
        # What almost every call needs, found without making a key: all outputs, by the plan.
        self._usual: dict[str, Prepared] = {}
        # Copies, because a part of a message holds the memory of the whole.
        self.signature_defs: Mapping[str, Any] = copy.deepcopy(signature_defs_of(meta_graph))
        self.signatures, self.unusable = signatures_of(meta_graph, assets)
        self._as_saved = meta_graph.graph_def
        self.proofs: Mapping[str, Judgement] = proofs_of(self._as_saved, self.signatures)
        # What each prepared run has for itself, by the form and the signature.
        self._copied_bytes = {
            (Form.AS_SAVED, name): copied_bytes(self._as_saved, signature)
            for name, signature in self.signatures.items()
        }
        written = frozenset[str]().union(*[signature.variables for signature in self.signatures.values()])
        self._variables = Variables(session, written)
        self.variables: tuple[str, ...] = self._variables.names
        # What is read from a reference variable is the variable's own memory: the next write would change
        # an answer that still waits to be sent. (Reads of TensorFlow 2's variables are protected from it.)
        self._copies_answers = any(signature.writes for signature in self.signatures.values()) and any(
            node.op in REFERENCE_VARIABLES for node in meta_graph.graph_def.node
        )

    @classmethod
    def open(cls, directory: Path, settings: SessionSettings, row_buckets: Sequence[int] = ()) -> Graph:
        """Load a SavedModel into a new graph and a new session on the chosen device.

        Args:
            directory: of the SavedModel.
            settings: for the session, and for how plans are found.
            row_buckets: the numbers of rows that joined runs will have; empty: any.

        Raises:
            DeviceNotFound: TensorFlow has no such device.
            LoadError: there is no SavedModel, it is broken, or its initialisation fails.
        """
        started = time.monotonic()
        session, meta_graph = open_session(directory, settings)
        opened = cls(session, meta_graph, settings, row_buckets, assets=asset_files(directory, meta_graph))
        _LOG.debug("opened %s in %.2f s", directory, time.monotonic() - started)
        return opened

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> list[Array]:
        """Run the graph once.

        Args:
            signature: one of `signatures`.
            outputs: aliases of the signature's outputs; each at most once.
            inputs: one array for each input, in the signature's order, with exactly its dtype.

        Returns:
            One array for each of `outputs`, in their order.

        Raises:
            RunFailed: TensorFlow's error, with its code.
        """
        usual = self._usual.get(signature.name)
        if usual is not None and outputs == signature.output_aliases:
            return self._run_prepared(usual, inputs)
        plan = self._plans.get(signature.name, AS_SAVED)
        everything = signature.output_aliases
        if outputs == everything or self._prepares(plan, signature, outputs):
            return self._run_as(plan, signature, outputs, inputs)
        # Computing the rest in vain costs less than preparing yet another choice.
        answers = self._run_as(plan, signature, everything, inputs)
        return [answers[everything.index(alias)] for alias in outputs]

    def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]:
        """Runs of all outputs, as saved, of which it is not known what comes of them: each ends after `run_s`
        seconds with RunFailed (DEADLINE_EXCEEDED), and tells what it allocated. What is prepared for it is
        given back with the last reference to what is returned.

        Raises:
            RunFailed: TensorFlow cannot prepare it.
        """
        self._assert_owner()
        key = Key(signature.name, signature.output_aliases, "", on_pool=True)
        try:
            prepared = Prepared(self._session, signature, key, run_s)
        except tf.errors.OpError as error:
            raise run_failed(error) from error

        def run(inputs: Sequence[Array]) -> Measured:
            self._assert_owner()
            try:
                return prepared.measure(inputs)
            except tf.errors.OpError as error:
                raise run_failed(error) from error
            except UnicodeDecodeError as error:
                raise run_failed_unreadably(error) from error

        return run

    def give_up(self, name: str, reason: str) -> None:
        """A signature cannot be called after all."""
        del self.signatures[name]
        self.unusable[name] = reason

    def read_variables(self) -> dict[str, Array]:
        """The values of `variables`, each in memory that no later run changes.

        Raises:
            RunFailed: one has no value yet.
        """
        self._assert_owner()
        return self._variables.read()

    def write_variables(self, values: Mapping[str, Array]) -> None:
        """Give each of `variables` its value.

        Raises:
            RunFailed: one does not take it.
        """
        self._assert_owner()
        self._variables.write(values)

    def settle(
        self, kinds: Mapping[str, Kind], rows: Mapping[str, Sequence[Sequence[Array]]] | None = None
    ) -> dict[str, Plan]:
        """Choose by trying how each signature is run from now on (warmup/plan_search.py); returns the plans.

        Args:
            kinds: the generated input that each signature takes; what is not there takes none.
            rows: for each signature, inputs of one row that are harmless to run; it may refuse them.
        """
        self._assert_owner()
        if self._settings.plan == "as-saved" or not self._settings.plan_budget_s:
            why = "by setting" if self._settings.plan == "as-saved" else "plan-budget-s is 0"
            plans = {name: replace(AS_SAVED, reason=why) for name in self.signatures}
        else:
            plans = self._search(kinds, rows or {})
        self._plans = plans
        for name, plan in plans.items():
            # Without XLA there is but one key. What was not run so far is not prepared either.
            prepared = None if plan.xla else self._callables.find(self._keys(plan, name)[0])
            if prepared is not None:
                self._usual[name] = prepared
        return dict(plans)

    def close(self) -> None:
        """Give the session back; the graph cannot be run any more."""
        self._assert_owner()
        self._usual.clear()
        self._callables.keep_only(set())
        self._session.close()

    def _search(
        self, kinds: Mapping[str, Kind], rows: Mapping[str, Sequence[Sequence[Array]]]
    ) -> dict[str, Plan]:
        """The plans, by trying; what is not needed for them is given back."""
        until = self._clock() + self._settings.plan_budget_s
        not_frozen = self._freeze(until)
        names = list(self.signatures)
        # Found before any is used, so that all are compared with the graph as saved; each has an equal part
        # of what the ones before it left.
        plans = {
            name: self._best_plan(
                self.signatures[name],
                not_frozen,
                kinds.get(name),
                rows.get(name, ()),
                (until - self._clock()) / parts,
            )
            for name, parts in zip(names, range(len(names), 0, -1), strict=True)
        }
        self._callables.keep_only({key for name in names for key in self._keys(plans[name], name)})
        self._choices.clear()
        # Where a signature writes, it runs as saved.
        if not not_frozen and all(plan.form is Form.FROZEN for plan in plans.values()):
            release_variables(self._session)
        return plans

    def _run_as(
        self, plan: Plan, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
    ) -> list[Array]:
        self._assert_owner()
        compiled = bool(plan.xla_rows) and rows_of(signature, inputs) in plan.xla_rows
        try:
            prepared = self._callables.get(_key(plan, signature.name, outputs, compiled), signature)
        except tf.errors.OpError as error:
            raise run_failed(error) from error
        return self._run_prepared(prepared, inputs)

    def _run_prepared(self, prepared: Prepared, inputs: Sequence[Array]) -> list[Array]:
        self._assert_owner()
        try:
            answers = prepared(inputs)
        except tf.errors.OpError as error:
            raise run_failed(error) from error
        except UnicodeDecodeError as error:
            raise run_failed_unreadably(error) from error
        return [array.copy() for array in answers] if self._copies_answers else answers

    def _prepares(self, plan: Plan, signature: Signature, outputs: tuple[str, ...]) -> bool:
        """Shall this choice of outputs have a callable of its own?"""
        if signature.writes:
            return True
        if plan.xla or self._copied_bytes[plan.form, signature.name] > _MAX_BYTES_PER_CHOICE:
            # It would be compiled in service, or be another copy of large constants.
            return False
        choices = self._choices.setdefault(signature.name, set())
        if len(choices) < _MAX_CHOICES:
            choices.add(outputs)
        return outputs in choices

    def _keys(self, plan: Plan, name: str) -> list[Key]:
        """What runs of all outputs go through."""
        outputs = self.signatures[name].output_aliases
        return [_key(plan, name, outputs, compiled) for compiled in {False, plan.xla}]

    def _freeze(self, until: float) -> str:
        """Copy the graph if that helps and can be; returns why there is no frozen form, empty if there is."""
        graph_def, self._as_saved = self._as_saved, None
        readers = [signature for signature in self.signatures.values() if not signature.writes]
        if not readers:
            return "every signature may change state"
        written = frozenset[str]().union(*[signature.variables for signature in self.signatures.values()])
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

    def _best_plan(
        self,
        signature: Signature,
        not_frozen: str,
        kind: Kind | None,
        odd: Sequence[Sequence[Array]],
        budget_s: float,
    ) -> Plan:
        def run(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
            return self._run_as(plan, signature, signature.output_aliases, inputs)

        if signature.writes:
            return replace(AS_SAVED, reason="it may change state, so nothing is tried")
        if kind is None:
            return replace(AS_SAVED, reason="it takes no generated input, so nothing could be tried")
        others = odd or [generate(signature, 1, kind, seed=seed) for seed in _SEEDS]
        rows, notes = self._rows_to_compile(signature)
        if not_frozen:
            notes = [f"not frozen: {not_frozen}", *notes]
        try:
            plan = choose_plan(
                generate(signature, 1, kind),
                run,
                others=others,
                can_freeze=not not_frozen,
                xla_inputs={count: generate(signature, count, kind) for count in rows},
                repeat=functools.partial(repeated, signature),
                budget_s=budget_s,
                clock=self._clock,
            )
        except RunFailed as error:
            first = first_line(error)
            return replace(
                AS_SAVED, reason=f"it refuses a single generated row, so nothing could be tried: {first}"
            )
        return replace(plan, reason="; ".join([plan.reason, *notes]))

    def _rows_to_compile(self, signature: Signature) -> tuple[tuple[int, ...], list[str]]:
        """The numbers of rows to try XLA with, and what is to be said where there are none."""
        if not self._has_compiled:
            return (), []
        rows, why_none = rows_to_compile(signature, self._row_buckets)
        return rows, [f"no XLA: {why_none}"] if why_none else []

    def _assert_owner(self) -> None:
        assert threading.get_ident() == self._owner, "only the thread that opened a session may touch it"


def _without_variables(written: frozenset[str], large: frozenset[str]) -> str:
    if large:
        return "its variables are large, and each signature would have a copy"
    return "signatures write all its variables" if written else "there are no variables"


def _key(plan: Plan, name: str, outputs: tuple[str, ...], compiled: bool) -> Key:
    scope = COMPILED if compiled else FROZEN if plan.form is Form.FROZEN else ""
    return Key(name, outputs, scope and f"{scope}/", plan.threads is Threads.POOL)
