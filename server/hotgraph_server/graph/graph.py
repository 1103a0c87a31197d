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

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from hotgraph_server.errors import RunFailed, first_line
from hotgraph_server.graph.bounds import asset_files
from hotgraph_server.graph.callables import Callables, Key, Prepared
from hotgraph_server.graph.definitions import signature_defs_of, signatures_of
from hotgraph_server.graph.forms import Forms, key_of, rows_of
from hotgraph_server.graph.freezing import REFERENCE_VARIABLES
from hotgraph_server.graph.loading import open_session
from hotgraph_server.graph.proofs import proofs_of
from hotgraph_server.graph.refusals import run_failed, run_failed_unreadably
from hotgraph_server.graph.tensor_sizes import tensor_bytes
from hotgraph_server.graph.variables import Variables
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.settings import SessionSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.plan import AS_SAVED, Form, Plan
from hotgraph_server.warmup.plan_search import choose_plan
from hotgraph_server.warmup.probing import Measured
from hotgraph_server.warmup.synthetic_inputs import Kind, generate

_LOG = logging.getLogger(__name__)

# Callers may ask for any choice of outputs. So many choices of a signature are prepared, where the constants
# that each of them copies are no larger than this; a signature that changes state runs no more than was asked
# for, so of its choices the latest are kept (callables.py).
MAX_CHOICES = 8
MAX_BYTES_PER_CHOICE = 2**20

# What plans are compared with where the caller has no more.
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
        tensor_bytes: of its variables and constants, at least.
        callables: what is prepared to be run.
        session: TensorFlow's own, to be looked at in the thread that made it.
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
        self.session = session
        self._settings = settings
        self._clock = clock
        self._plans: dict[str, Plan] = {}
        self._choices: dict[str, set[tuple[str, ...]]] = {}
        self.callables = Callables(session)
        # What almost every call needs, found without making a key: all outputs, by the plan.
        self._usual: dict[str, Prepared] = {}
        # Copies, because a part of a message holds the memory of the whole.
        self.signature_defs: Mapping[str, Any] = copy.deepcopy(signature_defs_of(meta_graph))
        self.signatures, self.unusable = signatures_of(meta_graph, assets)
        graph_def = meta_graph.graph_def
        self.tensor_bytes = tensor_bytes(graph_def)
        self.proofs: Mapping[str, Judgement] = proofs_of(graph_def, self.signatures)
        self._forms = Forms(session, graph_def, self.signatures, settings, row_buckets, clock)
        written = frozenset[str]().union(*[signature.variables for signature in self.signatures.values()])
        self._variables = Variables(session, written)
        self.variables: tuple[str, ...] = self._variables.names
        # What is read from a reference variable is the variable's own memory: the next write would change
        # an answer that still waits to be sent. (Reads of TensorFlow 2's variables are protected from it.)
        self._copies_answers = any(signature.writes for signature in self.signatures.values()) and any(
            node.op in REFERENCE_VARIABLES for node in graph_def.node
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
            return self.run_as(plan, signature, outputs, inputs)
        # Computing the rest in vain costs less than preparing yet another choice.
        answers = self.run_as(plan, signature, everything, inputs)
        return [answers[everything.index(alias)] for alias in outputs]

    def run_as(
        self, plan: Plan, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
    ) -> list[Array]:
        """`run`, by a plan that is not the signature's own: to compare it."""
        self._assert_owner()
        compiled = bool(plan.xla_rows) and rows_of(signature, inputs) in plan.xla_rows
        try:
            prepared = self.callables.get(key_of(plan, signature.name, outputs, compiled=compiled), signature)
        except tf.errors.OpError as error:
            raise run_failed(error) from error
        return self._run_prepared(prepared, inputs)

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
            prepared = Prepared(self.session, signature, key, run_s)
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
            prepared = None if plan.xla else self.callables.find(self._keys(plan, name)[0])
            if prepared is not None:
                self._usual[name] = prepared
        return dict(plans)

    def close(self) -> None:
        """Give the session back; the graph cannot be run any more."""
        self._assert_owner()
        self._usual.clear()
        self.callables.keep_only(set())
        self.session.close()
        # Its ops and it hold each other, and would wait for a collection that searches all models' for them.
        ops.dismantle_graph(self.session.graph)

    def _search(
        self, kinds: Mapping[str, Kind], rows: Mapping[str, Sequence[Sequence[Array]]]
    ) -> dict[str, Plan]:
        """The plans, by trying; what is not needed for them is given back."""
        until = self._clock() + self._settings.plan_budget_s
        # A copy could not be tried, and would be held for nothing.
        not_frozen = self._forms.freeze(until) if kinds else self._forms.forgo()
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
        self.callables.keep_only({key for name in names for key in self._keys(plans[name], name)})
        self._choices.clear()
        # Where a signature writes, it runs as saved.
        if not not_frozen and all(plan.form is Form.FROZEN for plan in plans.values()):
            self._forms.release_variables()
        return plans

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
        if plan.xla or self._forms.copied_bytes(plan.form, signature.name) > MAX_BYTES_PER_CHOICE:
            # It would be compiled in service, or be another copy of large constants.
            return False
        choices = self._choices.setdefault(signature.name, set())
        if len(choices) < MAX_CHOICES:
            choices.add(outputs)
        return outputs in choices

    def _keys(self, plan: Plan, name: str) -> list[Key]:
        """What runs of all outputs go through."""
        outputs = self.signatures[name].output_aliases
        return [key_of(plan, name, outputs, compiled=compiled) for compiled in {False, plan.xla}]

    def _best_plan(
        self,
        signature: Signature,
        not_frozen: str,
        kind: Kind | None,
        odd: Sequence[Sequence[Array]],
        budget_s: float,
    ) -> Plan:
        def run(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
            return self.run_as(plan, signature, signature.output_aliases, inputs)

        if signature.writes:
            return replace(AS_SAVED, reason="it may change state, so nothing is tried")
        if kind is None:
            return replace(AS_SAVED, reason="it takes no generated input, so nothing could be tried")
        others = odd or [generate(signature, 1, kind, seed=seed) for seed in _SEEDS]
        rows, notes = self._forms.rows_to_compile(signature)
        if not_frozen:
            notes = [f"not frozen: {not_frozen}", *notes]
        try:
            plan = choose_plan(
                generate(signature, 1, kind),
                run,
                others=others,
                can_freeze=not not_frozen,
                xla_inputs={count: generate(signature, count, kind) for count in rows},
                repeat=functools.partial(_repeated, signature),
                budget_s=budget_s,
                clock=self._clock,
            )
        except RunFailed as error:
            first = first_line(error)
            return replace(
                AS_SAVED, reason=f"it refuses a single generated row, so nothing could be tried: {first}"
            )
        return replace(plan, reason="; ".join([plan.reason, *notes]))

    def _assert_owner(self) -> None:
        assert threading.get_ident() == self._owner, "only the thread that opened a session may touch it"


def _repeated(signature: Signature, inputs: Sequence[Array], rows: int) -> list[Array]:
    """Inputs of one row, with that row so many times."""
    return [
        np.repeat(array, rows, axis=0) if spec.free_rows else array
        for spec, array in zip(signature.inputs, inputs, strict=True)
    ]
