"""The variables and tables of a TensorFlow 2 SavedModel, for the loader of TensorFlow 1.

TensorFlow 2 restores objects; TensorFlow 1's loader, which puts them into our session, runs the ops that were
saved for it. As a rule both come to the same. They do not

* where a Keras 3 variable is saved as two: the one that the functions use, and a copy of it. The ops restore
  the copy alone (``Variable._export_to_saved_model_graph`` in Keras makes it);
* where two variables have one name: for a session they are one;
* where a table has no name: a session makes a new one for each run, and the rows are in another;
* where no op restores a variable (``SaveOptions(experimental_skip_saver=True)``), or the one that does fails.

The first three are mended in the graph before it is loaded, by names alone; for the last the checkpoint is
read object by object. What the ops do well is left to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.saved_model import path_helpers

from hotgraph_server.graph.rewriting import needed
from hotgraph_server.row_independence.effects import variable_name

_SCOPE = "hotgraph_restored"
_VARIABLE = "VarHandleOp"

# Ops that make a table without a name, and those that make the same with one.
_NAMED = {
    "AnonymousHashTable": "HashTableV2",
    "AnonymousMutableHashTable": "MutableHashTableV2",
    "AnonymousMutableHashTableOfTensors": "MutableHashTableOfTensorsV2",
    "AnonymousMutableDenseHashTable": "MutableDenseHashTableV2",
}

_WITHOUT_TABLES = {_VARIABLE, "Placeholder", "Const"}

_RESOURCE = 20  # DT_RESOURCE of TensorFlow's types.proto

# What the checkpoint calls the value of a variable.
_VALUE = "VARIABLE_VALUE"


def name_objects(meta_graph: Any) -> None:
    """Let each object of a MetaGraphDef that has objects be one resource of the session: changes names."""
    graph_def = meta_graph.graph_def
    copies = _copies(graph_def, _restored(meta_graph))
    for name, node in _makers(graph_def):
        if node.op in _NAMED:
            node.op = _NAMED[node.op]
            node.attr["shared_name"].s = name.encode()
    taken: set[str] = set()
    for node in graph_def.node:
        if node.op == _VARIABLE and node.name not in copies:
            name = variable_name(node)
            if name in taken:
                name = _free(node.name, taken)
                node.attr["shared_name"].s = name.encode()
            taken.add(name)
    nodes = {node.name: node for node in graph_def.node}
    for copy, origin in copies.items():
        nodes[copy].attr["shared_name"].s = variable_name(nodes[origin]).encode()


def restores_variables_alone(meta_graph: Any) -> bool:
    """Does the op that restores touch nothing but variables? Then `restore_rest` can do in its place."""
    restored = needed(meta_graph.graph_def, [_restore_op(meta_graph)], ())
    return {node.op for node in restored if node.name != _restore_op(meta_graph)} <= _WITHOUT_TABLES


def restore_rest(session: Any, meta_graph: Any, directory: Path, *, restored: bool = True) -> list[str]:
    """Give the variables that signatures look at and no op restores their values from the checkpoint.

    Args:
        session: with the graph loaded.
        meta_graph: what was loaded.
        directory: of the SavedModel.
        restored: has the op that restores run?

    Returns:
        The nodes of those that the checkpoint does not have either, and which stay without a value.

    Raises:
        tensorflow.errors.OpError: the checkpoint cannot be read.
    """
    left_out = _left_out(meta_graph, _restored(meta_graph) if restored else frozenset())
    checkpoint = path_helpers.get_variables_path(str(directory))
    if not left_out or not tf.io.gfile.exists(f"{checkpoint}.index"):
        return list(left_out)
    keys = _checkpoint_keys(meta_graph.object_graph_def, checkpoint)
    found = {name: keys[number] for name, number in left_out.items() if number in keys}
    if found:
        _restore(session, found, checkpoint)
    return [name for name in left_out if name not in found]


def _restore(session: Any, keys: Mapping[str, str], checkpoint: str) -> None:
    """Assign to variables, by node, what is under these keys."""
    with session.graph.as_default(), tf.name_scope(_SCOPE):
        handles = [session.graph.get_operation_by_name(name) for name in keys]
        values = tf.raw_ops.RestoreV2(
            prefix=checkpoint,
            tensor_names=list(keys.values()),
            shape_and_slices=[""] * len(keys),
            dtypes=[handle.get_attr("dtype") for handle in handles],
        )
        assigned = []
        for handle, value in zip(handles, values, strict=True):
            with tf.device(handle.device):
                assigned.append(tf.raw_ops.AssignVariableOp(resource=handle.outputs[0], value=value))
    session.run(assigned)


def _makers(graph_def: Any) -> Iterator[tuple[str, Any]]:
    """The nodes that may make an object, each with a name of its own: those of the graph, and those in the
    functions that TensorFlow calls for what it has itself loaded before, which give nothing but a handle.

    In other functions tables may be made for a run and be gone with it.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    to_visit = [(node.name, node) for node in graph_def.node]
    seen: set[str] = set()
    while to_visit:
        name, node = to_visit.pop()
        yield name, node
        function = functions.get(node.attr["f"].func.name) if "f" in node.attr else None
        if function is None or function.signature.name in seen or function.signature.input_arg:
            continue
        if [output.type for output in function.signature.output_arg] == [_RESOURCE]:
            seen.add(function.signature.name)
            to_visit += [(f"{name}/{inner.name}", inner) for inner in function.node_def]


def _restore_op(meta_graph: Any) -> str:
    return str(meta_graph.saver_def.restore_op_name)


def _restored(meta_graph: Any) -> frozenset[str]:
    """The names of the nodes whose variables the saved op restores."""
    return frozenset(_variables_behind(meta_graph.graph_def, [_restore_op(meta_graph)]))


def _variables_behind(graph_def: Any, ends: Iterable[str]) -> Iterator[str]:
    yield from (node.name for node in needed(graph_def, ends, ()) if node.op == _VARIABLE)


def _copies(graph_def: Any, restored: Collection[str]) -> dict[str, str]:
    """The variables that are nothing but a restored copy of another, which is not restored; both by node."""
    nodes = {node.name: node for node in graph_def.node}
    copies = {}
    for node in graph_def.node:
        if node.op != "AssignVariableOp":
            continue
        copy, value = (nodes.get(tensor.partition(":")[0]) for tensor in node.input[:2])
        if copy is None or value is None or value.op != "ReadVariableOp":
            continue
        origin = nodes.get(value.input[0].partition(":")[0])
        if (
            origin is not None
            and copy.op == origin.op == _VARIABLE
            and copy.attr["dtype"].type == origin.attr["dtype"].type
            and copy.name in restored
            and origin.name not in restored
        ):
            copies[copy.name] = origin.name
    return copies


def _left_out(meta_graph: Any, restored: Collection[str]) -> dict[str, int]:
    """The nodes of variables that signatures use and that nothing gives a value, with their objects."""
    graph_def, objects = meta_graph.graph_def, meta_graph.object_graph_def
    nodes = {node.name: node for node in graph_def.node}
    have_value = {variable_name(nodes[name]) for name in restored}
    ends = {
        info.name.partition(":")[0]
        for definition in meta_graph.signature_def.values()
        for info in definition.outputs.values()
    }
    found = {}
    for call in needed(graph_def, ends, ()):
        function = objects.concrete_functions.get(call.attr["f"].func.name) if "f" in call.attr else None
        bound = list(function.bound_inputs) if function is not None else []
        inputs = [tensor for tensor in call.input if not tensor.startswith("^")]
        # What a function has captured comes behind what it is called with.
        for tensor, number in zip(reversed(inputs), reversed(bound), strict=False):
            node = nodes.get(tensor.partition(":")[0])
            if node is not None and node.op == _VARIABLE and variable_name(node) not in have_value:
                found[node.name] = number
    return found


def _checkpoint_keys(objects: Any, checkpoint: str) -> Mapping[int, str]:
    """The keys in the checkpoint of the variables among a SavedModel's objects, by their numbers there.

    Checkpoint and SavedModel number objects each for itself; from the root on both have the same names.
    """
    reader = tf.train.load_checkpoint(checkpoint)
    saved = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    )
    keys: dict[int, str] = {}
    seen: set[int] = set()
    to_visit = [(0, 0)]
    while to_visit:
        number, there = to_visit.pop()
        if number in seen:
            continue
        seen.add(number)
        keys.update(
            (number, value.checkpoint_key) for value in saved.nodes[there].attributes if value.name == _VALUE
        )
        children = {child.local_name: child.node_id for child in saved.nodes[there].children}
        to_visit += [
            (child.node_id, children[child.local_name])
            for child in objects.nodes[number].children
            if child.local_name in children
        ]
    return keys


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name
