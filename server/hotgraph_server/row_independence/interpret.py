"""Goes through a graph and tells of each fetched tensor where its rows are.

Functions are entered at each of their calls, with what is known of the arguments there; a loop is gone
through until nothing changes any more, and what is known of both ways of a branch counts after it. What a
loop or a branch is decided by matters too: where it is the rows that decide, whatever comes out is made of
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hotgraph_server.row_independence import conditions, loops
from hotgraph_server.row_independence.alternatives import join
from hotgraph_server.row_independence.domain import Unknown, Value, Why
from hotgraph_server.row_independence.scopes import MISSING, Library, OpDefs, Scope, Source
from hotgraph_server.row_independence.switches import DEAD, Switches, is_dead
from hotgraph_server.row_independence.table import Op
from hotgraph_server.row_independence.transfer import transfer

_MAX_OPS = 400_000
"""Ops that are looked at before a graph is given up, those in functions as often as they are called."""

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall", "RemoteCall"})
_BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})
_LOOPS = frozenset({"While", "StatelessWhile"})

# Outputs of a node, by their numbers.
Outputs = list[Value]


class TooLarge(Exception):
    """The graph has more ops than are looked at."""


class Interpreter:
    """Goes through one graph.

    Args:
        graph_def: a GraphDef with its function library.
        op_def: the OpDef of an op's type, from TensorFlow's book of ops; None: it is not there.
    """

    def __init__(self, graph_def: Any, op_def: OpDefs) -> None:
        self._nodes = graph_def.node
        self._library = Library(graph_def, op_def)
        self._known: dict[tuple[str, str, tuple[Value, ...]], Outputs] = {}
        self._looked_at = 0

    def places(self, fetches: Sequence[str], fed: Sequence[str], values: Sequence[Value]) -> Outputs:
        """What is known of `fetches`, where `values` are known of the tensors `fed`.

        Raises:
            TooLarge: there are too many ops to look at.
        """
        scope = self._library.graph(self._nodes, fetches, fed)
        return self._through(scope, values, "")

    def _call(self, function: str, arguments: Sequence[Value], path: str) -> Outputs:
        """The results of a function that is called at `path`.

        The path is part of what is remembered: what makes stretches of its own in one call makes others in
        another, though they look alike.
        """
        key = (path, function, tuple(arguments))
        if key not in self._known:
            self._known[key] = self._through(self._library.body(function), arguments, f"{path}/")
        return self._known[key]

    def _through(self, scope: Scope, arguments: Sequence[Value], path: str) -> Outputs:
        switches = Switches(scope, path)
        found: list[Outputs | None] = [None] * len(scope.steps)

        def value_of(source: Source) -> Value | None:
            if source is MISSING or -1 - source.step >= len(arguments):
                return _missing(scope)
            if source.step < 0:
                return arguments[-1 - source.step]
            outputs = found[source.step]
            if outputs is None:
                return None
            return outputs[source.output] if source.output < len(outputs) else _missing(scope)

        def result(source: Source) -> Value:
            return value_of(source) or _missing(scope)

        # All in order; in TensorFlow 1's loops, again what has come round to be different.
        waiting = switches.agenda(len(scope.steps))
        for position in waiting:
            self._looked_at += 1
            if self._looked_at > _MAX_OPS:
                raise TooLarge
            step = scope.steps[position]
            inputs = [value for source in step.inputs if (value := value_of(source)) is not None]
            if len(inputs) < len(step.inputs):
                # Its turn comes when what it is made of is known.
                continue
            op = Op(step.node, inputs, scope.function, path)
            if is_dead(op):
                outputs = [DEAD] * (step.count or 1)
            elif step.node.op in switches.OPS:
                outputs = switches.outputs(position, op, value_of)
            else:
                outputs = self._outputs(op, step.count)
            if outputs != found[position]:
                waiting.changed(position)
            found[position] = outputs
        return [result(source) for source in scope.results]

    def _outputs(self, op: Op, count: int | None) -> Outputs:
        if op.type in self._library.functions:
            return self._call(op.type, op.inputs, op.key)
        if op.type in _CALLS:
            function = op.node.attr["f"].func.name
            arguments = op.inputs[1:] if op.type == "RemoteCall" else op.inputs
            if function in self._library.functions:
                return self._call(function, arguments, op.key)
        elif op.type in _BRANCHES:
            return self._branches(op, count or 0)
        elif op.type in _LOOPS:
            return self._loop(op)
        if op.type not in ("Placeholder", "PlaceholderV2") and count is not None:
            return transfer(op, count, self._library.is_stateful)
        return [op.unknown("is not fed" if count is not None else "is no op that is known")] * (count or 1)

    def _branches(self, op: Op, count: int) -> Outputs:
        decider, *arguments = op.inputs
        names = _functions(op)
        taken = conditions.taken(decider, len(names), is_case=op.type in ("Case", "StatelessCase"))
        results = [self._call(names[one], arguments, f"{op.key}:{one}") for one in taken]
        merged = results[0]
        for other in results[1:]:
            why = op.why("gives rows laid out in one way or in another")
            merged = [join(one, two, why) for one, two in zip(merged, other, strict=True)]
        if len(taken) > 1:
            merged = [conditions.decided(op, value, decider) for value in merged]
        return merged[:count] if count else merged

    def _loop(self, op: Op) -> Outputs:
        condition, body = op.node.attr["cond"].func.name, op.node.attr["body"].func.name
        unchanged = loops.unchanged(self._library.body(body))
        fixed = set(unchanged)
        state = loops.started(op, fixed)
        while True:
            decider = self._call(condition, state, f"{op.key}:cond")[0]
            entering = [loops.entered(value, op.key, decider) for value in state]
            leaving = self._call(body, entering, f"{op.key}:body")
            pairs = list(zip(state, leaving, strict=True))
            wrong = {index for index, pair in enumerate(pairs) if loops.counts_turns(*pair, op.key) is False}
            if wrong - fixed:
                # What was taken for the number of the turn is none: all that was made of it, from the start.
                fixed |= wrong
                state = loops.started(op, fixed)
                continue
            after = [
                value if index in unchanged else loops.again(op, op.key, value, later)
                for index, (value, later) in enumerate(pairs)
            ]
            if after == state:
                break
            state = after
        return [
            loops.left(op, op.key, value, decider, changed=index not in unchanged)
            for index, value in enumerate(state)
        ]


def _functions(op: Op) -> list[str]:
    attributes = op.node.attr
    if "branches" in attributes:
        return [one.name for one in attributes["branches"].list.func]
    return [attributes["else_branch"].func.name, attributes["then_branch"].func.name]


def _missing(scope: Scope) -> Value:
    return Value(Unknown(Why("", scope.function, "", "an input is not in the graph")))
