"""SignatureDefs in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import constants

from hotgraph_server.graph.bounds import GraphValues
from hotgraph_server.graph.compiling import compiling_op
from hotgraph_server.graph.composites import flattened_inputs, is_composite, shape_of, spread
from hotgraph_server.graph.contents import contents_of
from hotgraph_server.graph.lifting import is_lifted
from hotgraph_server.graph.python_calls import python_calls
from hotgraph_server.row_independence.effects import VARIABLES, effects_of, variable_name, varying_ops
from hotgraph_server.signatures import Part, Signature, TensorSpec
from hotgraph_server.tensors import STRING, dtype_of

_FOR_LOADERS = frozenset({constants.INIT_OP_SIGNATURE_KEY, constants.TRAIN_OP_SIGNATURE_KEY})


def signatures_of(
    meta_graph: Any, assets: Sequence[Path] = ()
) -> tuple[dict[str, Signature], dict[str, str]]:
    """The signatures of a MetaGraphDef that can be called, and why the others cannot; both by name.

    Args:
        assets: its files, which may be vocabularies.
    """
    signatures, unusable = {}, {}
    values = GraphValues(meta_graph.graph_def, assets)
    for name, definition in sorted(signature_defs_of(meta_graph).items()):
        try:
            signatures[name] = _signature(name, definition, meta_graph, values)
        except ValueError as error:
            unusable[name] = str(error)
    return signatures, unusable


def signature_defs_of(meta_graph: Any) -> dict[str, Any]:
    """The SignatureDefs of a MetaGraphDef that are meant for callers, by name: TensorFlow 2 writes those that
    it loads a SavedModel by among them."""
    return {name: one for name, one in meta_graph.signature_def.items() if name not in _FOR_LOADERS}


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
    held in variables are none: nothing writes them."""
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


def _signature(name: str, definition: Any, meta_graph: Any, values: GraphValues) -> Signature:
    """Raises ValueError: it cannot be called, with the reason."""
    if not definition.outputs:
        raise ValueError("it has no outputs")
    inputs = _specs(definition.inputs)
    if meta_graph.HasField("object_graph_def"):
        parts = flattened_inputs(meta_graph, inputs)
        inputs = tuple(replace(spec, part=parts.get(spec.alias, spec.part)) for spec in inputs)
    outputs = _specs(_carried(definition.outputs))
    graph_def = meta_graph.graph_def
    if len({spec.tensor for spec in inputs}) < len(inputs):
        raise ValueError("two of its inputs are the same tensor")
    ends, fed = [spec.tensor for spec in outputs], [spec.tensor for spec in inputs]
    effects = effects_of(graph_def, ends, fed, is_stateful, handles_in)
    variables = effects.variables
    if effects.unknown:
        variables = frozenset(variable_name(node) for node in variables_in(graph_def))
    call, always = python_calls(graph_def, ends, fed)
    if always:
        raise ValueError(
            f"every run calls a function of the Python program that saved it ({call}), which is not here;"
            " save it without tf.py_function and tf.numpy_function"
        )
    texts = {spec.alias: spec.tensor for spec in inputs if spec.dtype == STRING}
    told = values.of(ends, fed)
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
        contents=contents_of(graph_def, texts, told),
        values=told,
        compiles=compiling_op(graph_def, ends, fed),
        python_call=call,
    )


def _carried(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Without composite tensors of which a call cannot carry some part, if anything is left then."""
    carried = {}
    for alias, info in outputs.items():
        try:
            _specs({alias: info})
        except ValueError:
            if not is_composite(info):
                raise
            continue
        carried[alias] = info
    return carried or dict(outputs)


def _specs(infos: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    entries = [entry for alias, info in infos.items() for entry in spread(alias, info)]
    # Sorted, because a protobuf map has no order and the order is what callers see.
    specs = tuple(sorted((_spec(*entry) for entry in entries), key=lambda spec: spec.alias))
    for one, other in pairwise(specs):
        if one.alias == other.alias:
            raise ValueError(f"{one.alias!r} is the name of a tensor and of a part of another")
    return specs


def _spec(alias: str, info: Any, part: Part | None) -> TensorSpec:
    if info.WhichOneof("encoding") != "name" or not info.name:
        kind = info.WhichOneof("encoding") if is_composite(info) else "nothing"
        raise ValueError(f"{alias!r} is no plain tensor but {kind}")
    dtype = dtype_of(info.dtype)
    if dtype is None:
        raise ValueError(f"{alias!r} has the TensorFlow dtype {info.dtype}, which no call can carry")
    return TensorSpec(alias, info.name, dtype, shape_of(info.tensor_shape), part)
