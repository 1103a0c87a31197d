"""SignatureDefs in our words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from hotgraph_server.effects import VARIABLES, effects_of, variable_name, varying_ops
from hotgraph_server.graph.lifting import is_lifted
from hotgraph_server.signatures import Shape, Signature, TensorSpec
from hotgraph_server.tensors import dtype_of


def signatures_of(meta_graph: Any) -> tuple[dict[str, Signature], dict[str, str]]:
    """The signatures of a MetaGraphDef that can be called, and why the others cannot; both by name."""
    signatures, unusable = {}, {}
    for name, definition in sorted(meta_graph.signature_def.items()):
        try:
            signatures[name] = _signature(name, definition, meta_graph.graph_def)
        except ValueError as error:
            unusable[name] = str(error)
    return signatures, unusable


def is_stateful(op: str) -> bool:
    """Does TensorFlow's own book of ops say that this type holds or looks at state?"""
    definition = op_def_registry.get(op)
    # None: the op is a function of the graph's own library, which effects.py enters.
    if definition is None:
        return False
    # TensorFlow 1's assignments are not stateful in the books; that they take a reference gives them away.
    return definition.is_stateful or any(argument.is_ref for argument in definition.input_arg)


def handles_in(node: Any) -> list[int]:
    """The indices of a node's inputs that are resources or references, by TensorFlow's own book of ops."""
    definition = op_def_registry.get(node.op)
    if definition is None:
        return []
    return [index for index, is_handle in enumerate(_are_handles(definition, node)) if is_handle]


def variables_in(graph_def: Any) -> Iterator[Any]:
    """The nodes that make variables, those in functions too; two may make the same one. Constants that are
    held in variables are none: nobody writes them."""
    nodes = [graph_def.node, *(function.node_def for function in graph_def.library.function)]
    yield from (node for body in nodes for node in body if node.op in VARIABLES and not is_lifted(node))


def _are_handles(definition: Any, node: Any) -> Iterator[bool]:
    for argument in definition.input_arg:
        if argument.type_list_attr:
            types = list(node.attr[argument.type_list_attr].list.type)
        else:
            kind = argument.type or node.attr[argument.type_attr].type
            types = [kind] * (node.attr[argument.number_attr].i if argument.number_attr else 1)
        yield from (argument.is_ref or kind == tf.resource.as_datatype_enum for kind in types)


def _signature(name: str, definition: Any, graph_def: Any) -> Signature:
    """Raises ValueError: it cannot be called, with the reason."""
    if not definition.outputs:
        raise ValueError("it has no outputs")
    # Sorted, because a protobuf map has no order and the order is what callers see.
    inputs = tuple(_spec(alias, definition.inputs[alias]) for alias in sorted(definition.inputs))
    outputs = tuple(_spec(alias, definition.outputs[alias]) for alias in sorted(definition.outputs))
    if len({spec.tensor for spec in inputs}) < len(inputs):
        raise ValueError("two of its inputs are the same tensor")
    ends, fed = [spec.tensor for spec in outputs], [spec.tensor for spec in inputs]
    effects = effects_of(graph_def, ends, fed, is_stateful, handles_in)
    variables = effects.variables
    if effects.unknown:
        variables = frozenset(variable_name(node) for node in variables_in(graph_def))
    return Signature(
        name=name,
        inputs=inputs,
        outputs=outputs,
        method_name=definition.method_name,
        defaults={alias: tf.make_ndarray(value) for alias, value in definition.defaults.items()},
        writes=bool(effects.ops),
        variables=variables,
        other_state=effects.others,
        varies=bool(varying_ops(graph_def, ends, fed)),
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
