"""A SavedModel as one graph in one session: opened once, run again and again.

The only file that imports TensorFlow at module level. A Graph belongs to the thread that opened it:
every method asserts that, because the whole design rests on nothing else touching the session.

Runs go through callables that TensorFlow prepares once per signature and choice of outputs, and with
``inter_op_thread_pool = -1`` they execute in the calling thread: a small softmax at one row takes
10 us so, 42 us on TensorFlow's own pool, and several hundred through ``Session.run``. A callable also
takes shapes that ``feed_dict`` refuses, and refuses dtypes that it would silently cast.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, saved_model_pb2
from tensorflow.python.framework import convert_to_constants, op_def_registry
from tensorflow.python.saved_model import loader_impl

from hotgraph_server.batching.trial import generated_inputs
from hotgraph_server.effects import state_changing_ops
from hotgraph_server.errors import DeviceNotFound, LoadError, RunFailed
from hotgraph_server.plan import AS_SAVED, Form, Plan, Threads, choose_plan
from hotgraph_server.settings import SessionSettings
from hotgraph_server.signatures import Shape, Signature, TensorSpec
from hotgraph_server.tensors import Array, dtype_of

_LOG = logging.getLogger(__name__)

# Each choice of outputs has its own callable, which takes TensorFlow some 50 ms to prepare, and callers may
# ask for any. So many choices of a signature are prepared; a signature that changes state runs no more than
# was asked for, so of its choices the latest are kept.
_MAX_CHOICES = 8
_MAX_CALLABLES = 256

_CALLER_THREAD = -1

# The name scope of the copy whose variables are constants.
_FROZEN = "hotgraph_frozen"
_REFERENCE_VARIABLES = frozenset({"VariableV2", "Variable"})
_VARIABLES = _REFERENCE_VARIABLES | {"VarHandleOp"}
# A graph with its constants is one message, and protobuf takes 2 GiB; the rest is for everything else in it.
_MAX_FROZEN_BYTES = 3 * 2**29


class Graph:
    """An opened SavedModel; made by `open`, owned by the thread that made it.

    Attributes:
        signatures: those that can be called, by name.
        unusable: why the others cannot be called, by name.
        signature_defs: all as saved (SignatureDef messages), for clients that ask for the metadata.
    """

    def __init__(self, session: Any, meta_graph: Any, settings: SessionSettings) -> None:
        self._owner = threading.get_ident()
        self._session = session
        self._settings = settings
        self._plans: dict[str, Plan] = {}
        self._choices: dict[str, set[tuple[tuple[str, ...], Plan]]] = {}
        self._callables: OrderedDict[tuple[str, tuple[str, ...], Plan], _Prepared] = OrderedDict()
        self.signature_defs: Mapping[str, Any] = dict(meta_graph.signature_def)
        self.signatures: dict[str, Signature] = {}
        self.unusable: dict[str, str] = {}
        for name, definition in sorted(meta_graph.signature_def.items()):
            try:
                self.signatures[name] = _signature(name, definition, meta_graph.graph_def)
            except ValueError as error:
                self.unusable[name] = str(error)
        # What is read from a reference variable is the variable's own memory: the next write would change
        # an answer that still waits to be sent. (Reads of TensorFlow 2's variables are protected from it.)
        self._copies_answers = any(signature.writes for signature in self.signatures.values()) and any(
            node.op in _REFERENCE_VARIABLES for node in meta_graph.graph_def.node
        )

    @classmethod
    def open(cls, directory: Path, settings: SessionSettings) -> Graph:
        """Load a SavedModel into a new graph and a new session on the chosen device.

        Raises:
            DeviceNotFound: TensorFlow has no such device.
            LoadError: there is no SavedModel, it is broken, or its initialisation fails.
        """
        started = time.monotonic()
        tags = _tags(directory)
        graph = tf.Graph()
        session = tf.compat.v1.Session(graph=graph, config=_session_config(settings))
        try:
            present = [_canonical(device.name) for device in session.list_devices()]
            if settings.canonical_device not in present:
                raise DeviceNotFound(settings.device, [name.replace("/device:", "/") for name in present])
            with graph.as_default(), tf.device(settings.canonical_device):
                meta_graph = _load(session, tags, directory)
            opened = cls(session, meta_graph, settings)
        except DeviceNotFound:
            session.close()
            raise
        except Exception as error:
            # Whatever a broken file makes TensorFlow raise (OpError, OSError, ValueError, KeyError,
            # DecodeError), to the user it is one thing: this folder cannot be served.
            session.close()
            raise LoadError(str(directory), f"TensorFlow cannot load it: {_first_line(error)}") from error
        _LOG.debug("opened %s with tags %s in %.2f s", directory, tags, time.monotonic() - started)
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
        plan = self._plans.get(signature.name, AS_SAVED)
        everything = signature.output_aliases
        if outputs == everything or signature.writes or self._knows(signature, outputs, plan):
            return self._run_as(plan, signature, outputs, inputs)
        # One choice too many. Computing the rest in vain costs less than preparing yet another.
        answers = self._run_as(plan, signature, everything, inputs)
        return [answers[everything.index(alias)] for alias in outputs]

    def settle(self) -> dict[str, Plan]:
        """Choose how each signature is run from now on, by trying (plan.py). Returns the plans by name."""
        self._assert_owner()
        if self._settings.plan == "auto":
            not_frozen = self._freeze()
            for signature in self.signatures.values():
                self._plans[signature.name] = self._best_plan(signature, not_frozen)
            self._callables.clear()
            if not not_frozen and all(plan.form is Form.FROZEN for plan in self._plans.values()):
                self._release_variables()
        else:
            self._plans = {name: replace(AS_SAVED, reason="by setting") for name in self.signatures}
        return dict(self._plans)

    def close(self) -> None:
        """Give the session back; the graph cannot be run any more."""
        self._assert_owner()
        self._callables.clear()
        self._session.close()

    def _run_as(
        self, plan: Plan, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
    ) -> list[Array]:
        self._assert_owner()
        try:
            answers = self._prepared(signature, outputs, plan)(inputs)
        except tf.errors.OpError as error:
            raise RunFailed(error.error_code, error.message) from error
        return [array.copy() for array in answers] if self._copies_answers else answers

    def _knows(self, signature: Signature, outputs: tuple[str, ...], plan: Plan) -> bool:
        """Is this choice of outputs prepared, or one of the few that shall be?"""
        choices = self._choices.setdefault(signature.name, set())
        if (outputs, plan) not in choices and len(choices) < _MAX_CHOICES:
            choices.add((outputs, plan))
        return (outputs, plan) in choices

    def _prepared(self, signature: Signature, outputs: tuple[str, ...], plan: Plan) -> _Prepared:
        key = (signature.name, outputs, plan)
        prepared = self._callables.get(key)
        if prepared is None:
            prepared = self._callables[key] = _Prepared(self._session, signature, outputs, plan)
            if len(self._callables) > _MAX_CALLABLES:
                self._callables.popitem(last=False)
        else:
            self._callables.move_to_end(key)
        return prepared

    def _best_plan(self, signature: Signature, not_frozen: str) -> Plan:
        def run(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
            return self._run_as(plan, signature, signature.output_aliases, inputs)

        if signature.writes:
            return replace(AS_SAVED, reason="it may change state, so nothing is tried")
        for inputs in generated_inputs(signature, rows=1):
            try:
                plan = choose_plan(inputs, run, can_freeze=not not_frozen)
            except RunFailed:
                continue
            return replace(plan, reason=f"{plan.reason}; not frozen: {not_frozen}") if not_frozen else plan
        return replace(AS_SAVED, reason="it takes no generated input, so nothing could be tried")

    def _freeze(self) -> str:
        """Add a copy of the graph in which variables are constants, under the name scope _FROZEN.

        Returns why there is none; empty: there is.
        """
        if any(signature.writes for signature in self.signatures.values()):
            return "a signature may change its variables"
        graph_def = self._session.graph.as_graph_def()
        variables = [node for node in graph_def.node if node.op in _VARIABLES]
        if not variables:
            return "there are no variables"
        if sum(map(_variable_bytes, variables)) > _MAX_FROZEN_BYTES:
            return "its variables are too large for a graph"
        specs = [spec for one in self.signatures.values() for spec in (*one.inputs, *one.outputs)]
        keep = sorted({spec.tensor.partition(":")[0] for spec in specs})
        try:
            frozen = convert_to_constants.convert_variables_to_constants_from_session_graph(
                self._session, graph_def, keep
            )
            for node in frozen.node:
                # What holds state is found by its node's name where it has no other: the copy of a hash table
                # must be the very table that was initialised.
                if "shared_name" in node.attr and not node.attr["shared_name"].s:
                    node.attr["shared_name"].s = node.name.encode()
            with self._session.graph.as_default(), tf.device(self._settings.canonical_device):
                tf.import_graph_def(frozen, name=_FROZEN)
        except Exception as error:
            # TensorFlow's converter knows not every graph, and says so in many ways. As saved is right too.
            _LOG.debug("could not freeze", exc_info=True)
            return f"TensorFlow cannot freeze it: {_first_line(error)}"
        return ""

    def _release_variables(self) -> None:
        """Give back the memory of variables that only the graph as saved would read."""
        graph = self._session.graph
        with graph.as_default():
            handles = [op.outputs[0] for op in graph.get_operations() if op.type == "VarHandleOp"]
            if any(handle.name.startswith(f"{_FROZEN}/") for handle in handles):
                # The converter left some variables as they are.
                return
            self._session.run([tf.raw_ops.DestroyResourceOp(resource=handle) for handle in handles])

    def _assert_owner(self) -> None:
        assert threading.get_ident() == self._owner, "only the thread that opened a session may touch it"


class _Prepared:
    """A signature with a choice of outputs, ready to run.

    TensorFlow refuses to fetch what it is fed, so an output that is the very tensor of an input is
    answered from the input. Two aliases of one tensor are fetched once.
    """

    def __init__(self, session: Any, signature: Signature, outputs: tuple[str, ...], plan: Plan) -> None:
        feeds = [spec.tensor for spec in signature.inputs]
        wanted = [signature.outputs_by_alias[alias] for alias in outputs]
        fetches = list(dict.fromkeys(spec.tensor for spec in wanted if spec.tensor not in feeds))
        # For each output: where it is found, among the inputs or among what the run gives.
        self._from_inputs = [feeds.index(spec.tensor) if spec.tensor in feeds else -1 for spec in wanted]
        self._from_run = [fetches.index(spec.tensor) if spec.tensor in fetches else -1 for spec in wanted]
        self._dtypes = [spec.dtype for spec in wanted]
        self._run: Callable[..., Sequence[Any]] | None = None
        if fetches:
            scope = f"{_FROZEN}/" if plan.form is Form.FROZEN else ""
            options = config_pb2.CallableOptions(
                feed=[scope + name for name in feeds], fetch=[scope + name for name in fetches]
            )
            if plan.threads is Threads.CALLER:
                options.run_options.inter_op_thread_pool = _CALLER_THREAD
            self._run = session._make_callable_from_options(options)

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        results = self._run(*inputs) if self._run is not None else ()
        return [
            inputs[source] if source >= 0 else _as_array(results[index], dtype)
            for source, index, dtype in zip(self._from_inputs, self._from_run, self._dtypes, strict=True)
        ]


def _as_array(value: Any, dtype: np.dtype[Any]) -> Array:
    """Scalars come out of TensorFlow as numpy scalars or bytes."""
    return value if isinstance(value, np.ndarray) else np.array(value, dtype)


def _load(session: Any, tags: Sequence[str], directory: Path) -> Any:
    """Load the MetaGraph with these tags, and return it. What devices the exporter's machine had is of no
    concern here: those that ops were pinned to are taken out, in the graph and in its functions."""
    loader = loader_impl.SavedModelLoader(str(directory))
    meta_graph = loader.get_meta_graph_def_from_tags(tags)
    for function in meta_graph.graph_def.library.function:
        for node in function.node_def:
            node.device = ""
    return loader.load(session, tags, clear_devices=True)


def _session_config(settings: SessionSettings) -> Any:
    config = tf.compat.v1.ConfigProto(
        # An op without a kernel for the device runs where it has one; strings on a GPU are the rule.
        allow_soft_placement=True,
        intra_op_parallelism_threads=settings.intra_op_threads,
        inter_op_parallelism_threads=settings.inter_op_threads,
        device_count={"CPU": settings.cpu_devices},
    )
    # Otherwise the first session takes all of a GPU's memory, and a second model has none.
    config.gpu_options.allow_growth = True
    return config


def _canonical(device: str) -> str:
    """``/job:localhost/replica:0/task:0/device:CPU:0`` to ``/device:CPU:0``."""
    return "/device:" + device.rpartition("/device:")[2]


def _tags(directory: Path) -> list[str]:
    """The tags of the MetaGraph to serve: ``serve`` if it is there, else the only one.

    Raises:
        LoadError: nothing there, not readable, or no choice possible.
    """
    binary, text = directory / "saved_model.pb", directory / "saved_model.pbtxt"
    saved_model = saved_model_pb2.SavedModel()
    try:
        if binary.is_file():
            saved_model.ParseFromString(binary.read_bytes())
        elif text.is_file():
            text_format.Parse(text.read_text(), saved_model)
        else:
            raise LoadError(
                str(directory), "no SavedModel here: neither saved_model.pb nor saved_model.pbtxt"
            )
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise LoadError(str(directory), f"saved_model.pb cannot be read: {_first_line(error)}") from error
    except OSError as error:
        raise LoadError(str(directory), error.strerror or str(error)) from error
    tag_sets = [sorted(meta_graph.meta_info_def.tags) for meta_graph in saved_model.meta_graphs]
    serving = [tf.saved_model.SERVING]
    if serving in tag_sets:
        return serving
    if len(tag_sets) == 1:
        return tag_sets[0]
    raise LoadError(str(directory), f"no graph is tagged 'serve'; there are {tag_sets}")


def _signature(name: str, definition: Any, graph_def: Any) -> Signature:
    """A SignatureDef in our words.

    Raises:
        ValueError: it cannot be called, with the reason.
    """
    if not definition.outputs:
        raise ValueError("it has no outputs")
    # Sorted, because a protobuf map has no order and the order is what callers see.
    inputs = tuple(_spec(alias, definition.inputs[alias]) for alias in sorted(definition.inputs))
    outputs = tuple(_spec(alias, definition.outputs[alias]) for alias in sorted(definition.outputs))
    if len({spec.tensor for spec in inputs}) < len(inputs):
        raise ValueError("two of its inputs are the same tensor")
    changes = state_changing_ops(
        graph_def, (spec.tensor for spec in outputs), (spec.tensor for spec in inputs), _is_stateful
    )
    return Signature(
        name=name,
        inputs=inputs,
        outputs=outputs,
        method_name=definition.method_name,
        defaults={alias: tf.make_ndarray(value) for alias, value in definition.defaults.items()},
        writes=bool(changes),
    )


def _spec(alias: str, info: Any) -> TensorSpec:
    if info.WhichOneof("encoding") != "name":
        kind = info.WhichOneof("encoding") or "nothing"
        raise ValueError(f"{alias!r} is no plain tensor but {kind}")
    dtype = dtype_of(info.dtype)
    if dtype is None:
        raise ValueError(f"{alias!r} has the TensorFlow dtype {info.dtype}, which no call can carry")
    shape: Shape | None = None
    if not info.tensor_shape.unknown_rank:
        shape = tuple(dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim)
    return TensorSpec(alias, info.name, dtype, shape)


def _is_stateful(op: str) -> bool:
    definition = op_def_registry.get(op)
    # None: the op is a function of the graph's own library, which effects.py enters.
    if definition is None:
        return False
    # TensorFlow 1's assignments are not stateful in the books; that they take a reference gives them away.
    return definition.is_stateful or any(argument.is_ref for argument in definition.input_arg)


def _variable_bytes(node: Any) -> int:
    count = 1
    for dimension in node.attr["shape"].shape.dim:
        count *= max(dimension.size, 0)
    dtype = dtype_of(node.attr["dtype"].type)
    return count * (dtype.itemsize if dtype is not None else 1)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
