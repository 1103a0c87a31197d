"""A copy of the graph in which variables are constants, in the same session beside the graph as saved.

Two copies where XLA is to be tried: the second is marked for it. Before any work it is asked whether the
graph can be copied at all, and in the time there is: a graph with its constants is one message, which
TensorFlow copies again and again while it prepares a run of it.

Constants are held four times (in the graph, in the session, and twice in a prepared run), and more than a
dozen times while a run is prepared; and each signature that is run frozen has its own. Variables are held
once. So where constants would be many, the large ones stay variables in the copy, the same ones as in the
graph as saved.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from hotgraph_server.graph.large_constants import ValuesApart, add_constants
from hotgraph_server.graph.lifting import constant_bytes, is_in_function
from hotgraph_server.graph.loading import told
from hotgraph_server.graph.rewriting import (
    functions_of,
    mark_for_xla,
    name_what_is_shared,
    needed,
    read_variables_first,
    rename_functions,
)
from hotgraph_server.row_independence.effects import VARIABLES, variable_name
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import dtype_of

_LOG = logging.getLogger(__name__)

FROZEN = "hotgraph_frozen"
"""The name scope of the copy whose variables are constants."""

COMPILED = "hotgraph_xla"
"""The name scope of the copy that is marked for XLA as well."""

REFERENCE_VARIABLES = frozenset({"VariableV2", "Variable"})

# Protobuf takes 2 GiB; the rest is for everything else in the message.
MAX_FROZEN_BYTES = 3 * 2**29

# Of all signatures together. What has no more is frozen whole; MobileNetV2 has 14 MB for each signature.
MAX_COPIED_BYTES = 2**25
# Otherwise so much of the variables' size that, while runs are prepared, as much again is not exceeded.
_COPIED_SHARE = 1 / 16

# To copy a graph and to prepare its first run, measured on a slow machine with matrices of 25 MB each.
S_PER_BYTE = 60e-9


def too_large_to_copy(
    graph_def: Any, signatures: Iterable[Signature], written: Collection[str]
) -> frozenset[str]:
    """The names of those variables, besides `written`, that stay variables in the copy for their size.

    The smallest are frozen first, each counted once for every signature that reads it.
    """
    sizes: dict[str, int] = {}
    readers: Counter[str] = Counter()
    for signature in signatures:
        nodes = needed(graph_def, _ends([signature]), _fed([signature]))
        read = {variable_name(node): variable_bytes(node) for node in nodes if _is_constant(node, written)}
        sizes |= read
        readers.update(read.keys())
    copied = {name: size * readers[name] for name, size in sizes.items()}
    left = sum(copied.values())
    if left <= MAX_COPIED_BYTES:
        return frozenset()
    most = sum(sizes.values()) * _COPIED_SHARE
    kept = set()
    for name in sorted(copied, key=copied.__getitem__, reverse=True):
        if left <= most:
            break
        kept.add(name)
        left -= copied[name]
    return frozenset(kept)


def why_not_frozen(
    graph_def: Any, signatures: Iterable[Signature], variables: Collection[str], left_s: float
) -> str:
    """Why no copy is to be made within `left_s` seconds; empty: nothing speaks against it.

    Args:
        graph_def: as saved.
        signatures: those that shall be run frozen.
        variables: the names of those that stay variables in the copy.
        left_s: seconds.
    """
    signatures = list(signatures)
    nodes = needed(graph_def, _ends(signatures), _fed(signatures))
    frozen = sum(variable_bytes(node) for node in nodes if _is_constant(node, variables))
    size = frozen + sum(node.ByteSize() for node in nodes)
    if size > MAX_FROZEN_BYTES:
        return f"with its variables it is {_mb(size)}, and a graph can have {_mb(MAX_FROZEN_BYTES)}"
    if size * S_PER_BYTE > left_s:
        return f"{_mb(size)} of constants would take longer than plan-budget-s allows"
    return ""


def has_variables(graph_def: Any, signatures: Iterable[Signature], variables: Collection[str]) -> bool:
    """Do runs of `signatures` look at variables that are none of `variables`?"""
    signatures = list(signatures)
    nodes = needed(graph_def, _ends(signatures), _fed(signatures))
    return any(_is_constant(node, variables) for node in nodes)


def copied_bytes(graph_def: Any, signature: Signature, variables: Collection[str] | None = None) -> int:
    """The size of the constants that each prepared run of a signature has for itself.

    Args:
        graph_def: as saved.
        signature: which.
        variables: the names of those that stay variables in the frozen form; None: it is run as saved.
    """
    nodes = needed(graph_def, _ends([signature]), _fed([signature]))
    size = sum(constant_bytes(node) for node in nodes)
    size += sum(constant_bytes(node) for body in functions_of(graph_def, nodes) for node in body.node_def)
    if variables is not None:
        size += sum(variable_bytes(node) for node in nodes if _is_constant(node, variables))
    return size


def add_frozen(
    session: Any, signatures: Sequence[Signature], variables: Collection[str], device: str, *, xla: bool
) -> str:
    """Add a copy of the graph under the name scope FROZEN, and one for XLA under COMPILED.

    In both, the variables named `variables` are the very same ones as in the graph as saved.

    Returns why TensorFlow could not, in which case there is none; empty: it could.
    """
    graph_def = session.graph.as_graph_def()
    keep = sorted({*_ends(signatures), *_fed(signatures)})
    nodes = [
        node.name for node in graph_def.node if node.op in VARIABLES and variable_name(node) in variables
    ]
    read_variables_first(graph_def)
    try:
        values = ValuesApart(session, keep)
        frozen = convert_to_constants.convert_variables_to_constants_from_session_graph(
            values, graph_def, keep, variable_names_denylist=nodes or None
        )
        name_what_is_shared(frozen)
        # What looks rows up in a variable has been changed in functions that the converter has left alone.
        rename_functions(frozen, FROZEN)
        constants = add_constants(session, values.large, device)
        _import(session, frozen, FROZEN, device, constants)
        if xla:
            mark_for_xla(frozen, COMPILED)
            _import(session, frozen, COMPILED, device, constants)
    except Exception as error:
        # TensorFlow's converter knows not every graph, and says so in many ways. As saved is right too.
        _LOG.debug("could not freeze", exc_info=True)
        return f"TensorFlow cannot freeze it: {told(error)}"
    return ""


def release_variables(session: Any) -> None:
    """Give back the memory of variables that only the graph as saved would read."""
    with session.graph.as_default():
        handles = [op for op in session.graph.get_operations() if op.type == "VarHandleOp"]
        copies = (f"{FROZEN}/", f"{COMPILED}/")
        kept = {variable_name(op.node_def) for op in handles if op.name.startswith(copies)}
        released = {variable_name(op.node_def): op.outputs[0] for op in handles}
        for name in kept | {name for name in released if is_in_function(name)}:
            released.pop(name, None)
        session.run([tf.raw_ops.DestroyResourceOp(resource=handle) for handle in released.values()])


def _import(session: Any, graph_def: Any, scope: str, device: str, constants: Mapping[str, Any]) -> None:
    with session.graph.as_default(), tf.device(device):
        tf.import_graph_def(graph_def, input_map=dict(constants), name=scope)


def _ends(signatures: Iterable[Signature]) -> set[str]:
    """The nodes whose outputs are fetched."""
    return {spec.tensor.partition(":")[0] for one in signatures for spec in one.outputs}


def _fed(signatures: Iterable[Signature]) -> set[str]:
    return {spec.tensor.partition(":")[0] for one in signatures for spec in one.inputs}


def _is_constant(node: Any, variables: Collection[str]) -> bool:
    """Is it a variable that is none of `variables`, so that it can be a constant?"""
    return node.op in VARIABLES and variable_name(node) not in variables


def variable_bytes(node: Any) -> int:
    """Of the variable that a node makes, at least: what has a free dimension is as large as whatever was
    assigned to it."""
    dtype = dtype_of(node.attr["dtype"].type)
    sizes: list[int] = [max(dimension.size, 1) for dimension in node.attr["shape"].shape.dim]
    return prod(sizes) * (dtype.itemsize if dtype is not None else 1)


def _mb(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e9:.3g} GB"
