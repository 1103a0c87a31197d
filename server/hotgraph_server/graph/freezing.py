"""A copy of the graph in which variables are constants, in the same session beside the graph as saved.

Two copies where XLA is to be tried: the second is marked for it. Before any work it is asked whether the
graph can be copied at all, and in the time there is: a graph with its constants is one message, which
TensorFlow copies again and again while it prepares a run of it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from hotgraph_server.effects import VARIABLES, variable_name
from hotgraph_server.graph.large_constants import ValuesApart, add_constants
from hotgraph_server.graph.loading import first_line
from hotgraph_server.graph.rewriting import (
    mark_for_xla,
    name_what_is_shared,
    needed,
    read_variables_first,
)
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import dtype_of

_LOG = logging.getLogger(__name__)

FROZEN = "hotgraph_frozen"
"""The name scope of the copy whose variables are constants."""

COMPILED = "hotgraph_xla"
"""The name scope of the copy that is marked for XLA as well."""

REFERENCE_VARIABLES = frozenset({"VariableV2", "Variable"})

# Protobuf takes 2 GiB; the rest is for everything else in the message.
_MAX_FROZEN_BYTES = 3 * 2**29

# To copy a graph and to prepare its first run, measured on a slow machine with matrices of 25 MB each.
_S_PER_BYTE = 60e-9


def why_not_frozen(
    graph_def: Any, signatures: Iterable[Signature], written: Collection[str], left_s: float
) -> str:
    """Why no copy is to be made within `left_s` seconds; empty: nothing speaks against it.

    Args:
        graph_def: as saved.
        signatures: those that shall be run frozen.
        written: the names of variables that any signature may write, which stay variables in the copy.
        left_s: seconds.
    """
    signatures = list(signatures)
    nodes = needed(graph_def, _ends(signatures), _fed(signatures))
    variables = sum(_variable_bytes(node) for node in nodes if _is_constant(node, written))
    size = variables + sum(node.ByteSize() for node in nodes)
    if size > _MAX_FROZEN_BYTES:
        return f"with its variables it is {_mb(size)}, and a graph can have {_mb(_MAX_FROZEN_BYTES)}"
    if size * _S_PER_BYTE > left_s:
        return f"{_mb(size)} of constants would take longer than plan-budget-s allows"
    return ""


def has_variables(graph_def: Any, signatures: Iterable[Signature], written: Collection[str]) -> bool:
    """Do runs of `signatures` look at variables that are none of `written`?"""
    signatures = list(signatures)
    nodes = needed(graph_def, _ends(signatures), _fed(signatures))
    return any(_is_constant(node, written) for node in nodes)


def add_frozen(
    session: Any, signatures: Sequence[Signature], written: Collection[str], device: str, *, xla: bool
) -> str:
    """Add a copy of the graph under the name scope FROZEN, and one for XLA under COMPILED.

    In both, the variables named `written` are the very same variables as in the graph as saved.

    Returns why TensorFlow could not, in which case there is none; empty: it could.
    """
    graph_def = session.graph.as_graph_def()
    keep = sorted({*_ends(signatures), *_fed(signatures)})
    nodes = [node.name for node in graph_def.node if node.op in VARIABLES and variable_name(node) in written]
    read_variables_first(graph_def)
    try:
        values = ValuesApart(session, keep)
        frozen = convert_to_constants.convert_variables_to_constants_from_session_graph(
            values, graph_def, keep, variable_names_denylist=nodes or None
        )
        name_what_is_shared(frozen)
        constants = add_constants(session, values.large, device)
        _import(session, frozen, FROZEN, device, constants)
        if xla:
            mark_for_xla(frozen, COMPILED)
            _import(session, frozen, COMPILED, device, constants)
    except Exception as error:
        # TensorFlow's converter knows not every graph, and says so in many ways. As saved is right too.
        _LOG.debug("could not freeze", exc_info=True)
        return f"TensorFlow cannot freeze it: {first_line(error)}"
    return ""


def release_variables(session: Any) -> None:
    """Give back the memory of variables that only the graph as saved would read."""
    with session.graph.as_default():
        handles = [op.outputs[0] for op in session.graph.get_operations() if op.type == "VarHandleOp"]
        if any(handle.name.startswith((f"{FROZEN}/", f"{COMPILED}/")) for handle in handles):
            # The converter left some variables as they are.
            return
        session.run([tf.raw_ops.DestroyResourceOp(resource=handle) for handle in handles])


def _import(session: Any, graph_def: Any, scope: str, device: str, constants: Mapping[str, Any]) -> None:
    with session.graph.as_default(), tf.device(device):
        tf.import_graph_def(graph_def, input_map=dict(constants), name=scope)


def _ends(signatures: Iterable[Signature]) -> set[str]:
    """The nodes whose outputs are fetched."""
    return {spec.tensor.partition(":")[0] for one in signatures for spec in one.outputs}


def _fed(signatures: Iterable[Signature]) -> set[str]:
    return {spec.tensor.partition(":")[0] for one in signatures for spec in one.inputs}


def _is_constant(node: Any, written: Collection[str]) -> bool:
    """Is it a variable that nobody writes?"""
    return node.op in VARIABLES and variable_name(node) not in written


def _variable_bytes(node: Any) -> int:
    """At least; what has a free dimension is as large as whatever was assigned to it."""
    dtype = dtype_of(node.attr["dtype"].type)
    sizes: list[int] = [max(dimension.size, 1) for dimension in node.attr["shape"].shape.dim]
    return prod(sizes) * (dtype.itemsize if dtype is not None else 1)


def _mb(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e9:.3g} GB"
