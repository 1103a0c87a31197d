"""Changes to a GraphDef that leave its answers as they are. Pure: messages in, the same messages changed.

In a graph a tensor is ``node:index``, in the body of a function ``node:name_of_output:index``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

# The type of op that looks at a variable itself, and that which does the same to its value.
_READERS = {"ResourceGather": "GatherV2", "ResourceGatherNd": "GatherNd"}
_ADDED = "hotgraph"


def read_variables_first(graph_def: Any) -> None:
    """Let lookups in a variable read it first and look in its value.

    An embedding is looked up in the variable itself, which an optimiser may write to row by row. A
    constant has no such thing, and the conversion of variables knows only how plain reads are replaced.
    ``ResourceGather`` with so many `batch_dims` is ``GatherV2`` along the axis behind them.
    """
    _rewrite_readers(graph_def.node, "", "")
    for function in graph_def.library.function:
        _rewrite_readers(function.node_def, ":value:0", ":output:0")


def _rewrite_readers(nodes: Any, value: str, output: str) -> None:
    """`value` and `output` are what the name of a reading and a constant node is followed by."""
    for node in [node for node in nodes if node.op in _READERS]:
        dtype = node.attr["dtype"].type
        read = nodes.add(op="ReadVariableOp", name=f"{node.name}/{_ADDED}/read", device=node.device)
        read.attr["dtype"].type = dtype
        read.input.append(node.input[0])
        # What must have happened before the lookup must have happened before the reading.
        read.input.extend(name for name in node.input if name.startswith("^"))
        node.input[0] = read.name + value
        node.attr["Tparams"].type = dtype
        if node.op == "ResourceGather":
            axis = nodes.add(op="Const", name=f"{node.name}/{_ADDED}/axis", device=node.device)
            # Looking at an attribute that is not there would add it, empty.
            _fill_scalar_int32(axis, node.attr["batch_dims"].i if "batch_dims" in node.attr else 0)
            # Control inputs come last.
            node.input.insert(2, axis.name + output)
            node.attr["Taxis"].type = axis.attr["dtype"].type
        node.op = _READERS[node.op]
        for name in ("dtype", "validate_indices", "_class"):
            if name in node.attr:
                del node.attr[name]


def _fill_scalar_int32(node: Any, value: int) -> None:
    int32 = 3  # DT_INT32 of TensorFlow's types.proto
    node.attr["dtype"].type = int32
    tensor = node.attr["value"].tensor
    tensor.dtype = int32
    tensor.tensor_shape.SetInParent()
    tensor.int_val.append(value)


def name_what_is_shared(graph_def: Any) -> None:
    """Give what holds state its own node's name to be found by, where it has none other: the copy of a hash
    table must be the very table that was initialised."""
    for node in graph_def.node:
        if "shared_name" in node.attr and not node.attr["shared_name"].s:
            node.attr["shared_name"].s = node.name.encode()


def rename_functions(graph_def: Any, scope: str) -> None:
    """Give functions names of their own, ``scope_`` + name: a graph can hold but one of each name."""
    names = {
        function.signature.name: f"{scope}_{function.signature.name}"
        for function in graph_def.library.function
    }
    for node in _all_nodes(graph_def):
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            for function in _functions_in(value):
                function.name = names.get(function.name, function.name)
    for function in graph_def.library.function:
        function.signature.name = names[function.signature.name]
    for gradient in graph_def.library.gradient:
        gradient.function_name = names.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = names.get(gradient.gradient_func, gradient.gradient_func)


def mark_for_xla(graph_def: Any, scope: str) -> None:
    """Ask TensorFlow to compile with XLA what XLA can compile, and leave the rest to the usual kernels.

    Functions get names of their own.
    """
    for node in _all_nodes(graph_def):
        # What is fed is outside of everything that is compiled.
        if node.op not in ("Placeholder", "PlaceholderWithDefault"):
            node.attr["_XlaCompile"].b = True
            node.attr["_XlaScope"].s = scope.encode()
    rename_functions(graph_def, scope)


def needed(graph_def: Any, fetches: Iterable[str], fed: Iterable[str]) -> list[Any]:
    """The nodes that runs with these fetches and feeds (both names of nodes) execute, and those that are
    fed; in the order of the graph."""
    nodes = {node.name: node for node in graph_def.node}
    stop_at = set(fed)
    seen: set[str] = set()
    to_visit = [*fetches, *stop_at]
    while to_visit:
        name = to_visit.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        if name not in stop_at:
            to_visit.extend(tensor.lstrip("^").partition(":")[0] for tensor in nodes[name].input)
    return [node for node in graph_def.node if node.name in seen]


def functions_of(graph_def: Any, nodes: Iterable[Any]) -> list[Any]:
    """The functions that `nodes` call, and those that these call."""
    bodies = {function.signature.name: function for function in graph_def.library.function}
    found: dict[str, Any] = {}
    to_visit = list(nodes)
    while to_visit:
        node = to_visit.pop()
        called = [
            node.op,
            *(function.name for value in node.attr.values() for function in _functions_in(value)),
        ]
        for name in called:
            if name in bodies and name not in found:
                found[name] = bodies[name]
                to_visit.extend(bodies[name].node_def)
    return list(found.values())


def _all_nodes(graph_def: Any) -> Iterator[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _functions_in(value: Any) -> Iterator[Any]:
    if value.HasField("func"):
        yield value.func
    elif value.HasField("list"):
        yield from value.list.func
