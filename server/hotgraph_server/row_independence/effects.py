"""What running a signature touches: ops with side effects that its fetches reach, and what they write. Pure.

Walks a GraphDef backwards from the fetched tensors, through control inputs and into the bodies of
functions, and stops at what is fed. Then it follows handles (resources, and TensorFlow 1's references) from
where they are made, through loops, branches and calls, to the ops that write through them. Where a function
is called from two places with two variables, both count in both: too much is safe here, too little not.

It takes no TensorFlow: the messages come in from graph/, and so do the answers to "is this op stateful?" and
"which of its inputs are handles?".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# They leave the session as it was, and give something else each time they run, or when a file has changed.
_VARYING = frozenset(
    {
        *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "RandomShuffle"),
        *("Multinomial", "RandomGamma", "RandomPoisson", "RandomPoissonV2", "ParameterizedTruncatedNormal"),
        *("RestoreV2", "Restore", "ReadFile"),
    }
)

# Stateful in TensorFlow's books, because they hold or look at state or may not be folded away, but
# running them twice or not at all leaves the session as it was.
_HARMLESS = frozenset(
    {
        *("Placeholder", "PlaceholderV2", "NoOp", "Print", "PrintV2", "Assert"),
        *("VarHandleOp", "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VarIsInitializedOp"),
        *("Variable", "VariableV2", "IsVariableInitialized", "VariableShape", "TemporaryVariable"),
        *("HashTable", "HashTableV2", "AnonymousHashTable"),
        *("MutableHashTable", "MutableHashTableV2", "MutableDenseHashTable", "MutableDenseHashTableV2"),
        *("LookupTableFind", "LookupTableFindV2", "LookupTableSize", "LookupTableSizeV2"),
        *("LookupTableExport", "LookupTableExportV2"),
        *("PartitionedCall", "StatefulPartitionedCall", "RemoteCall", "SymbolicGradient"),
        *("If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase"),
        # They take a reference and pass it on, or are done with it at the end of the run.
        *("RefIdentity", "RefSwitch", "RefMerge", "RefSelect", "RefEnter", "RefExit", "RefNextIteration"),
        "DestroyTemporaryVariable",
        # What loops keep their rows in; made for each run and gone with it.
        *("TensorArrayV3", "TensorArrayGradV3", "TensorArrayWriteV3", "TensorArrayReadV3"),
        *("TensorArrayGatherV3", "TensorArrayScatterV3", "TensorArrayConcatV3", "TensorArraySplitV3"),
        *("TensorArraySizeV3", "TensorArrayCloseV3"),
        *("StackV2", "StackPushV2", "StackPopV2", "StackCloseV2"),
        *("CheckNumerics", "CheckNumericsV2"),
        *("DecodeProtoV2", "StringFormat", "XlaLaunch", "XlaCallModule"),
        *_VARYING,
    }
)


VARIABLES = frozenset({"VarHandleOp", "VariableV2", "Variable"})
"""The ops that a variable is made by."""

BEFORE_ARGUMENTS = {
    **dict.fromkeys(("PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile"), 0),
    **dict.fromkeys(("If", "StatelessIf", "Case", "StatelessCase", "RemoteCall"), 1),
}
"""How many of a node's inputs come before those that its function gets."""

_LOOPS = frozenset({"While", "StatelessWhile"})


@dataclass(frozen=True)
class Effects:
    """What a run changes.

    Attributes:
        ops: the types of the ops that may change the session's state.
        variables: the names of the variables that they may write; see `variable_name`.
        others: what else they may write, which is no variable: type of the op that makes it and its name.
        unknown: those of `ops` of which it cannot be told what they write.
    """

    ops: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


def variable_name(node: Any) -> str:
    """What a session knows a variable by: two nodes with one name are one variable."""
    shared = node.attr["shared_name"].s.decode() if "shared_name" in node.attr else ""
    return shared or str(node.name)


def state_changing_ops(
    graph_def: Any, fetches: Iterable[str], fed: Iterable[str], is_stateful: Callable[[str], bool]
) -> frozenset[str]:
    """The types of the ops on the way to `fetches` that may change the session's state.

    Args:
        graph_def: a GraphDef with its function library.
        fetches: tensor names, ``op:index``.
        fed: tensor names that a run replaces; nothing behind them is executed.
        is_stateful: whether an op type holds or looks at state, from TensorFlow's own books; what does
            and is not known to be harmless counts as changing state.
    """
    return frozenset(node.op for _, node in _changing(_reached(graph_def, fetches, fed), is_stateful))


def varying_ops(graph_def: Any, fetches: Iterable[str], fed: Iterable[str]) -> frozenset[str]:
    """The types of the ops on the way to `fetches` that change no state, and yet give another answer to the
    same question: they draw random numbers, or read files.

    Args:
        graph_def, fetches, fed: as in `state_changing_ops`.
    """
    return frozenset(node.op for _, node in _reached(graph_def, fetches, fed) if node.op in _VARYING)


def reached_nodes(graph_def: Any, fetches: Iterable[str], fed: Iterable[str]) -> Iterator[Any]:
    """All nodes that a run for `fetches` may execute, those in the bodies of functions too.

    Args:
        graph_def, fetches, fed: as in `state_changing_ops`.
    """
    return (node for _, node in _reached(graph_def, fetches, fed))


def effects_of(
    graph_def: Any,
    fetches: Iterable[str],
    fed: Iterable[str],
    is_stateful: Callable[[str], bool],
    handles_in: Callable[[Any], Collection[int]],
) -> Effects:
    """What a run for `fetches` may change.

    Args:
        graph_def: a GraphDef with its function library.
        fetches: tensor names, ``op:index``.
        fed: tensor names that a run replaces; nothing behind them is executed.
        is_stateful: as in `state_changing_ops`.
        handles_in: the indices of those inputs of a node, control inputs not counted, that are resources or
            references; of no matter for nodes whose op is a function of the library.
    """
    reached = _reached(graph_def, fetches, fed)
    changing = _changing(reached, is_stateful)
    if not changing:
        return Effects()
    targets = _Handles(graph_def, reached, handles_in)
    variables: set[str] = set()
    others: set[str] = set()
    unknown: set[str] = set()
    for scope, node in changing:
        inputs = _data_inputs(node)
        for index in handles_in(node):
            found = targets.of(scope, inputs[index])
            if not found:
                unknown.add(node.op)
            for target in found:
                (variables if target.is_variable else others).add(target.name)
    ops = frozenset(node.op for _, node in changing)
    return Effects(ops, frozenset(variables), frozenset(others), frozenset(unknown))


class _Target(NamedTuple):
    """What a handle leads to."""

    name: str
    is_variable: bool


@dataclass
class _Reached:
    """What a run may execute: nodes of the graph itself, and whole bodies by the function's name."""

    nodes: list[Any]
    bodies: Mapping[str, Any]
    functions: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Each node with the function that it is in; empty: none."""
        for node in self.nodes:
            yield "", node
        for name in self.functions:
            for node in self.bodies[name].node_def:
                yield name, node


def _reached(graph_def: Any, fetches: Iterable[str], fed: Iterable[str]) -> _Reached:
    nodes = {node.name: node for node in graph_def.node}
    bodies = {function.signature.name: function for function in graph_def.library.function}
    stop_at = {_tensor_name(tensor) for tensor in fed}
    seen = {_op_name(tensor) for tensor in fetches if _tensor_name(tensor) not in stop_at}
    to_visit = list(seen)
    reached = _Reached([], bodies)
    functions_to_visit: list[str] = []
    while to_visit:
        node = nodes.get(to_visit.pop())
        if node is None:
            continue
        reached.nodes.append(node)
        functions_to_visit.extend(functions_of(node, bodies))
        for tensor in node.input:
            name = _op_name(tensor)
            if name not in seen and _tensor_name(tensor) not in stop_at:
                seen.add(name)
                to_visit.append(name)
    while functions_to_visit:
        name = functions_to_visit.pop()
        if name not in reached.functions:
            reached.functions.add(name)
            # A body counts whole: side effects in a function run whether or not its results are used.
            for node in bodies[name].node_def:
                functions_to_visit.extend(functions_of(node, bodies))
    return reached


def _changing(
    reached: Iterable[tuple[str, Any]], is_stateful: Callable[[str], bool]
) -> list[tuple[str, Any]]:
    return [(scope, node) for scope, node in reached if node.op not in _HARMLESS and is_stateful(node.op)]


class _Handles:
    """Which variables, tables and the like each handle in a graph may lead to.

    Of each node only one set is kept, for all its outputs: what passes several handles on passes each on as
    any of them.
    """

    def __init__(
        self, graph_def: Any, reached: _Reached, handles_in: Callable[[Any], Collection[int]]
    ) -> None:
        self._found: dict[tuple[str, str], set[_Target]] = {}
        # From whom to whom handles go, each by function and name.
        flows: list[tuple[tuple[str, str], tuple[str, str]]] = []
        for scope, node in reached:
            if node.op in VARIABLES:
                self._found[scope, node.name] = {_Target(variable_name(node), True)}
                continue
            inputs = _data_inputs(node)
            functions = list(functions_of(node, reached.bodies))
            if functions:
                handles = [(scope, _op_name(tensor)) for tensor in inputs]
                for name in functions:
                    flows += _into(reached.bodies[name], node.op, handles)
                    flows += [((name, _op_name(end)), (scope, node.name)) for end in _ends(reached, name)]
                continue
            carried = [(scope, _op_name(inputs[index])) for index in handles_in(node)]
            flows += [(origin, (scope, node.name)) for origin in carried]
            if not carried and node.op not in ("Placeholder", "PlaceholderV2", "_Arg"):
                # What asks for a handle of it, asks for what it makes: a table, a queue.
                self._found[scope, node.name] = {_Target(f"{node.op} {node.name}", False)}
        self._follow(flows)

    def of(self, scope: str, tensor: str) -> set[_Target]:
        """What the handle may lead to; nothing: that cannot be told."""
        return self._found.get((scope, _op_name(tensor)), set())

    def _follow(self, flows: Sequence[tuple[tuple[str, str], tuple[str, str]]]) -> None:
        following: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for origin, end in flows:
            following.setdefault(origin, []).append(end)
        changed = list(self._found)
        while changed:
            origin = changed.pop()
            for end in following.get(origin, ()):
                there = self._found.setdefault(end, set())
                if not self._found[origin] <= there:
                    there |= self._found[origin]
                    changed.append(end)


def _into(
    function: Any, op: str, handles: Sequence[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """What goes from a call into the arguments of the function, and in a loop from its end to its start."""
    name = function.signature.name
    arguments = [(name, argument.name) for argument in function.signature.input_arg]
    before = 0 if op == name else BEFORE_ARGUMENTS.get(op)
    if before is None:
        # An op that we do not know may hand on anything as anything.
        yield from ((handle, argument) for handle in handles for argument in arguments)
        return
    yield from zip(handles[before:], arguments, strict=False)
    if op in _LOOPS:
        ends = [function.ret.get(output.name) for output in function.signature.output_arg]
        for end, argument in zip(ends, arguments, strict=False):
            if end is not None:
                yield (name, _op_name(end)), argument


def _ends(reached: _Reached, function: str) -> Iterable[str]:
    ends: Mapping[str, str] = reached.bodies[function].ret
    return ends.values()


def _data_inputs(node: Any) -> list[str]:
    return [tensor for tensor in node.input if not tensor.startswith("^")]


def _op_name(tensor: str) -> str:
    """``^op`` (control input), ``op`` or ``op:1`` to ``op``."""
    return tensor.lstrip("^").partition(":")[0]


def _tensor_name(tensor: str) -> str:
    """``op`` to ``op:0``; everything else is left as it is, control inputs too, which no feed replaces."""
    return tensor if ":" in tensor or tensor.startswith("^") else f"{tensor}:0"


def functions_of(node: Any, bodies: Any) -> Iterator[str]:
    """The names of those of `bodies` (by name) that a node calls."""
    # Before functions had attributes of their own type, a node named its function by its op.
    if node.op in bodies:
        yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield from (name for name in (value.func.name,) if name in bodies)
        elif value.HasField("list"):
            yield from (function.name for function in value.list.func if function.name in bodies)
