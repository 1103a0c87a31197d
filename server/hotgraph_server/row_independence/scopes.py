"""A graph, or the body of a function, made ready to be gone through: its nodes in an order in which each
comes after what it is made of, as far as the fetched tensors need them, with positions instead of names.

Where TensorFlow 1's loops close a circle (NextIteration into Merge), the order leaves that one edge out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Source(NamedTuple):
    """Where an input comes from.

    Attributes:
        step: the position of the node in the scope's order; below 0: argument number -1 - step of the scope.
        output: which of the node's outputs.
    """

    step: int
    output: int


@dataclass
class Step:
    """One node.

    Attributes:
        node: its NodeDef.
        count: how many outputs it has; None: the op is not known.
        inputs: its data inputs.
        controls: the nodes that must have run, by their positions.
        back: of a Merge in a loop: the NextIteration nodes that come back to it.
    """

    node: Any
    count: int | None
    inputs: list[Source] = field(default_factory=list)
    controls: list[int] = field(default_factory=list)
    back: list[int] = field(default_factory=list)


@dataclass
class Scope:
    """A body.

    Attributes:
        function: its name; empty: the graph itself.
        steps: in order.
        results: what is fetched, in the order of the fetches.
    """

    function: str
    steps: list[Step]
    results: list[Source]


OpDefs = Callable[[str], Any]
"""The OpDef of an op's type, from TensorFlow's book of ops; None: it is not there."""


class Library:
    """The functions of a graph.

    Args:
        graph_def: a GraphDef with its function library.
        op_def: TensorFlow's book of ops.
    """

    def __init__(self, graph_def: Any, op_def: OpDefs) -> None:
        self.functions = {function.signature.name: function for function in graph_def.library.function}
        self._op_def = op_def
        self._scopes: dict[str, Scope] = {}
        self._definitions: dict[str, Any] = {}

    def definition(self, op: str) -> Any:
        """The OpDef of an op, or of a function that is used as one; None: it is not known."""
        if op not in self._definitions:
            function = self.functions.get(op)
            self._definitions[op] = self._op_def(op) if function is None else function.signature
        return self._definitions[op]

    def is_stateful(self, op: str) -> bool:
        """Does it hold or look at state? What is not known counts as if it did."""
        definition = self.definition(op)
        return definition is None or definition.is_stateful or any(one.is_ref for one in definition.input_arg)

    def body(self, name: str) -> Scope:
        """A function's body, up to what it returns; its arguments are the scope's."""
        if name not in self._scopes:
            function = self.functions[name]
            arguments = {one.name: index for index, one in enumerate(function.signature.input_arg)}
            results = [function.ret[one.name] for one in function.signature.output_arg]
            self._scopes[name] = self._scope(name, function.node_def, results, arguments)
        return self._scopes[name]

    def graph(self, nodes: Sequence[Any], fetches: Sequence[str], fed: Sequence[str]) -> Scope:
        """The graph itself, up to `fetches`; the tensors that are fed are its arguments."""
        arguments = {tensor: index for index, tensor in enumerate(map(full_name, fed))}
        return self._scope("", nodes, fetches, arguments)

    def _scope(
        self, function: str, nodes: Iterable[Any], results: Sequence[str], arguments: Mapping[str, int]
    ) -> Scope:
        by_name = {node.name: node for node in nodes}
        switches = any(node.op in ("Switch", "RefSwitch") for node in by_name.values())
        order = _Order(
            by_name, lambda tensor: self._source_name(function, by_name, arguments, tensor), switches
        )
        wanted = [order.visit(tensor) for tensor in results]
        steps = [Step(node, self._count(node)) for node in order.nodes]
        for step, inputs in zip(steps, order.inputs, strict=True):
            step.inputs = [order.resolve(found) for found in inputs]
            if switches:
                names = map(control_name, step.node.input)
                step.controls = [order.positions[name] for name in names if name in order.positions]
        for merge, source in order.back:
            steps[merge].back.append(order.positions[source])
        return Scope(function, steps, [order.resolve(found) for found in wanted])

    def _source_name(
        self, function: str, by_name: Mapping[str, Any], arguments: Mapping[str, int], tensor: str
    ) -> _Name:
        """``op``, ``op:1`` in a graph, ``op:output:1`` in a function."""
        if function:
            name, _, rest = tensor.partition(":")
            if name in arguments and not rest:
                return _Name("", arguments[name])
            output, _, index = rest.partition(":")
            node = by_name.get(name)
            start = 0 if node is None else self._first_of(node, output)
            return _Name(name, start + int(index or 0))
        name, _, index = full_name(tensor).rpartition(":")
        if full_name(tensor) in arguments:
            return _Name("", arguments[full_name(tensor)])
        return _Name(name, int(index))

    def _first_of(self, node: Any, output: str) -> int:
        """The number of the first of the outputs that have this name."""
        position = 0
        definition = self.definition(node.op)
        for one in definition.output_arg if definition is not None else ():
            if one.name == output:
                return position
            position += _how_many(one, node)
        return 0

    def _count(self, node: Any) -> int | None:
        definition = self.definition(node.op)
        return None if definition is None else sum(_how_many(one, node) for one in definition.output_arg)


class _Name(NamedTuple):
    """A tensor: output `output` of node `node`; no name: an argument."""

    node: str
    output: int


class _Order:
    """Puts nodes in order, depth first and without recursion, for graphs are deep."""

    def __init__(self, by_name: Mapping[str, Any], named: Callable[[str], _Name], switches: bool) -> None:
        self._by_name = by_name
        self._named = named
        self._switches = switches
        self.nodes: list[Any] = []
        self.inputs: list[list[_Name]] = []
        self.positions: dict[str, int] = {}
        self.back: list[tuple[int, str]] = []
        # Of each loop, by the name of its frame, what comes back to it.
        self._coming_back: dict[str, list[str]] = {}
        for node in by_name.values() if switches else ():
            if node.op in ("Merge", "RefMerge"):
                coming_back = [one.node for one in map(named, node.input) if self._is_back(one.node)]
                self._coming_back.setdefault(self._frame(node.name), []).extend(coming_back)

    def visit(self, tensor: str) -> _Name:
        """Put what `tensor` is made of in order."""
        found = self._named(tensor)
        waiting = [found.node]
        while waiting:
            self._visit_from(waiting.pop())
            # A circle is closed by what is only reached from within it.
            waiting += [source for _, source in self.back if source not in self.positions]
        return found

    def resolve(self, found: _Name) -> Source:
        """Where it is. What is not in the graph has no position, and counts as an argument too many."""
        if not found.node:
            return Source(-1 - found.output, 0)
        position = self.positions.get(found.node)
        return MISSING if position is None else Source(position, found.output)

    def _visit_from(self, first: str) -> None:
        # Each with its inputs once these have been visited.
        stack: list[tuple[str, list[_Name] | None]] = [(first, None)]
        entered: set[str] = set()
        while stack:
            name, inputs = stack.pop()
            node = self._by_name.get(name)
            if node is None or name in self.positions:
                continue
            if inputs is not None:
                self._leave(node, inputs)
                continue
            if name in entered:
                continue
            entered.add(name)
            inputs = [self._named(one) for one in node.input if not one.startswith("^")]
            stack.append((name, inputs))
            stack += [(one.node, None) for one in inputs if one.node and not self._closes(node, one)]
            if not self._switches:
                continue
            if node.op in ("Exit", "RefExit"):
                # First the turns of the loop, then what comes after it.
                stack += [(one, None) for one in self._coming_back.get(self._frame(name), ())]
            # Which branch a node is in is told by what controls it.
            controls = map(control_name, node.input)
            stack += [(control, None) for control in controls if control in self._by_name]

    def _leave(self, node: Any, inputs: Sequence[_Name]) -> None:
        self.positions[node.name] = len(self.nodes)
        closing = [one for one in inputs if self._closes(node, one)]
        self.back += [(len(self.nodes), one.node) for one in closing]
        self.nodes.append(node)
        self.inputs.append([one for one in inputs if one not in closing])

    def _closes(self, node: Any, source: _Name) -> bool:
        """Does this input close a circle?"""
        return node.op in ("Merge", "RefMerge") and self._is_back(source.node)

    def _frame(self, name: str) -> str:
        """The frame of the loop that an Exit, a Switch or a Merge belongs to; empty: of none."""
        node = self._by_name.get(name)
        while node is not None and node.input:
            if node.op in ("Enter", "RefEnter"):
                return str(node.attr["frame_name"].s.decode())
            if node.op not in ("Exit", "RefExit", "Switch", "RefSwitch", "Merge", "RefMerge"):
                break
            node = self._by_name.get(self._named(node.input[0]).node)
        return ""

    def _is_back(self, name: str) -> bool:
        node = self._by_name.get(name)
        return node is not None and node.op in ("NextIteration", "RefNextIteration")


MISSING = Source(-(10**9), 0)
"""Where an input comes from that is not in the graph."""


def full_name(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"


def control_name(tensor: str) -> str:
    """The node that a control input names; empty: it is none."""
    return tensor[1:] if tensor.startswith("^") else ""


def _how_many(argument: Any, node: Any) -> int:
    if argument.number_attr:
        return int(node.attr[argument.number_attr].i)
    if argument.type_list_attr:
        return len(node.attr[argument.type_list_attr].list.type)
    return 1
