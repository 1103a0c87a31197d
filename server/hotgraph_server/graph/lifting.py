"""Large constants of a SavedModel, lifted out of its graph into variables of the session.

TensorFlow copies a graph as one message each time that it extends a session, restores a checkpoint or
prepares a run, and each prepared run holds its constants once more: a constant of 400 MB took 7 GB to be
loaded, and 400 MB for each choice of outputs. A variable is held once, whatever reads it, and to read it
copies nothing.

Each constant becomes the identity of a variable's value, under the name that the constant had, so what
fetches, feeds or reads it finds it. Inside a function the variable is found by its name too. What is not
lifted:

* anything, in a graph whose constants together are small: TensorFlow computes ahead with constants, which it
  does not with variables (what pays of that, freezing.py gets back);
* what is small, because TensorFlow looks at shapes and axes while it builds the graph;
* numbers other than floats where the device is no CPU: it may have no variables of them;
* from functions, where some are marked to be compiled by XLA, which makes no variables.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf

from hotgraph_server.row_independence.effects import variable_name
from hotgraph_server.tensors import Array

LARGE_BYTES = 2**16
"""What is smaller, TensorFlow may look at (shapes, axes), and it costs little."""

MIN_BYTES = 2**24

_SCOPE = "hotgraph_lifted"
_IN_FUNCTIONS = "hotgraph_lifted_in"
_ASSIGNED = "hotgraph_assigned"

_FLOATS = frozenset({tf.float16, tf.bfloat16, tf.float32, tf.float64})
_NUMBERS = frozenset(
    {
        *(*_FLOATS, tf.complex64, tf.complex128, tf.bool),
        *(tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64),
    }
)


def lift_constants(graph_def: Any, device: str) -> dict[str, Array]:
    """Let large constants be read from variables.

    Args:
        graph_def: changed.
        device: where the variables will live.

    Returns:
        The values of the variables, by their names; empty: the graph is as it was.
    """
    constants = list(_constants(graph_def, device))
    if sum(constant_bytes(node) for _, node in constants) < MIN_BYTES:
        return {}
    bodies = {function.signature.name: function.node_def for function in graph_def.library.function}
    values = {}
    for function, node in constants:
        name = f"{_IN_FUNCTIONS}/{function}/{node.name}" if function else f"{_SCOPE}/{node.name}"
        values[name] = _take_value(node)
        nodes = bodies[function] if function else graph_def.node
        _read_variable(nodes, node, name, values[name].shape, device, in_function=bool(function))
    return values


def assign(session: Any, values: MutableMapping[str, Array], device: str) -> None:
    """Give the variables their values, which are taken out of `values` one by one.

    Before anything else is in the session's graph, all of which would be copied for each of them.
    """
    # Under names that the graph to come does not have.
    with session.graph.as_default(), tf.device(device), tf.name_scope(_ASSIGNED):
        while values:
            name, value = values.popitem()
            handle = tf.raw_ops.VarHandleOp(dtype=value.dtype, shape=value.shape, shared_name=name)
            fed = tf.compat.v1.placeholder(value.dtype, value.shape)
            session.run(tf.raw_ops.AssignVariableOp(resource=handle, value=fed), {fed: value})


def is_lifted(node: Any) -> bool:
    """Is this maker of a variable one that holds a constant?"""
    return variable_name(node).startswith((f"{_SCOPE}/", f"{_IN_FUNCTIONS}/"))


def is_in_function(variable: str) -> bool:
    """Does a variable of this name hold a constant that a function reads?"""
    return variable.startswith(f"{_IN_FUNCTIONS}/")


def constant_bytes(node: Any) -> int:
    """The memory that a constant takes; 0: it is none, or holds strings."""
    if node.op != "Const":
        return 0
    tensor = node.attr["value"].tensor
    dtype = tf.as_dtype(tensor.dtype)
    return dtype.size * prod(dim.size for dim in tensor.tensor_shape.dim) if dtype in _NUMBERS else 0


def _constants(graph_def: Any, device: str) -> Iterator[tuple[str, Any]]:
    """The constants that may be lifted, with the function that they are in; empty: none."""
    dtypes = {dtype.as_datatype_enum for dtype in (_NUMBERS if "CPU" in device else _FLOATS)}
    functions = graph_def.library.function
    places = [("", graph_def.node), *((function.signature.name, function.node_def) for function in functions)]
    attributes = [node.attr for _, nodes in places for node in nodes] + [one.attr for one in functions]
    if any("_XlaMustCompile" in attr and attr["_XlaMustCompile"].b for attr in attributes):
        del places[1:]
    for function, nodes in places:
        for node in nodes:
            if constant_bytes(node) >= LARGE_BYTES and node.attr["dtype"].type in dtypes:
                yield function, node


def _take_value(node: Any) -> Array:
    tensor = node.attr["value"].tensor
    dtype, content = tf.as_dtype(tensor.dtype), tensor.tensor_content
    if content:
        # TensorFlow's make_ndarray copies once more.
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        value = np.frombuffer(content, dtype.as_numpy_dtype).reshape(shape)
    else:
        value = tf.make_ndarray(tensor)
    tensor.Clear()
    return value


def _read_variable(
    nodes: Any, node: Any, name: str, shape: Sequence[int], device: str, *, in_function: bool
) -> None:
    """Turn the constant `node`, one of `nodes`, into the value of the variable `name`."""
    dtype = node.attr["dtype"].type
    # In a loop, control inputs are what tells that a node is in its frame.
    control = [tensor for tensor in node.input if tensor.startswith("^")]
    # Functions may have names that nodes cannot have.
    handle = nodes.add(op="VarHandleOp", name=f"{_SCOPE}/{node.name}", input=control, device=device)
    handle.attr["dtype"].type = dtype
    handle.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
    handle.attr["shared_name"].s = name.encode()
    # Under this name TensorFlow's converter looks for it, when the graph is frozen.
    read = nodes.add(op="ReadVariableOp", name=f"{handle.name}/Read/ReadVariableOp", device=device)
    read.attr["dtype"].type = dtype
    read.input.extend([handle.name + (":resource:0" if in_function else ""), *control])
    node.op = "Identity"
    node.input[:] = [read.name + (":value:0" if in_function else ""), *control]
    node.attr["T"].type = dtype
    for attribute in ("value", "dtype", "_class"):
        if attribute in node.attr:
            del node.attr[attribute]
