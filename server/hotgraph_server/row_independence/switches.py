"""Branches and loops of TensorFlow 1: Switch, Merge, and in loops Enter, Exit and NextIteration.

A Merge that closes no circle is the end of branches: what comes out of it is one of its inputs, chosen by
the Switches before it. Those before it by control inputs count too, for a branch may give a constant. Where a
constant decides a Switch, the other branch is never run: what is made of its tensors is dead, as TensorFlow
calls it, up to the Merge that leaves it out. A Merge that closes a circle is where the turns of a loop begin.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from hotgraph_server.row_independence import conditions, loops
from hotgraph_server.row_independence.alternatives import join
from hotgraph_server.row_independence.domain import Unknown, Value, Why
from hotgraph_server.row_independence.scopes import Scope, Source
from hotgraph_server.row_independence.table import Op

ValueOf = Callable[[Source], Value | None]
"""What is known of an input; None: nothing yet."""

DEAD = Value(Unknown(Why("", "", "", "what is fetched is in a branch that is never taken")))
"""Of a tensor that there never is; compared by identity, and unknown to what does not ask."""

_MERGES = frozenset({"Merge", "RefMerge"})
_PASSING = ("Identity", "RefIdentity", "NextIteration", "RefNextIteration")


def is_dead(op: Op) -> bool:
    """Is it never run, because a branch that it needs is never taken?"""
    dead = [value is DEAD for value in op.inputs]
    return any(dead) and (op.type not in _MERGES or all(dead))


class Agenda(Iterator[int]):
    """The steps that are to be gone through, the first in order first; each again if what it is made of has
    changed."""

    def __init__(self, following: list[list[int]]) -> None:
        self._following = following
        self._waiting = list(range(len(following)))
        self._is_waiting = [True] * len(following)

    def __next__(self) -> int:
        if not self._waiting:
            raise StopIteration
        position = heapq.heappop(self._waiting)
        self._is_waiting[position] = False
        return position

    def changed(self, position: int) -> None:
        """What is made of this step is to be gone through again."""
        for one in self._following[position]:
            if not self._is_waiting[one]:
                self._is_waiting[one] = True
                heapq.heappush(self._waiting, one)


class Switches:
    """The branches and loops of one scope.

    Args:
        scope: what is gone through.
        path: where it is called.
    """

    OPS = frozenset(
        one for name in ("Switch", "Merge", "Enter", "Exit", "NextIteration") for one in (name, f"Ref{name}")
    ) | {"LoopCond", "_SwitchN"}

    def __init__(self, scope: Scope, path: str) -> None:
        self._scope = scope
        self._path = path
        self._has_any = any(step.node.op in self.OPS for step in scope.steps)
        # Of each Merge that closes a circle, the name of its loop, and what is known when its turns begin.
        self._loops: dict[int, str] = {}
        self._turns: dict[int, Value] = {}
        self._before: list[frozenset[int]] = []
        if self._has_any:
            self._before = self._switches_before()
            self._loops = {
                position: self._frame(position) for position, step in enumerate(scope.steps) if step.back
            }

    def agenda(self, count: int) -> Agenda:
        following: list[list[int]] = [[] for _ in range(count)]
        if self._has_any:
            for position, step in enumerate(self._scope.steps):
                for source in step.inputs:
                    if source.step >= 0:
                        following[source.step].append(position)
                for origin in step.back:
                    following[origin].append(position)
                if step.node.op in ("Merge", "RefMerge"):
                    # It looks at what decides the Switches before it.
                    for switch in self._before[position]:
                        following[switch].append(position)
        return Agenda(following)

    def outputs(self, position: int, op: Op, value_of: ValueOf) -> list[Value]:
        """What is known of the outputs of one of OPS."""
        if op.type in ("Switch", "RefSwitch"):
            return self._switch(position, op)
        if op.type in ("Merge", "RefMerge"):
            whole = (
                self._turn(position, op, value_of)
                if position in self._loops
                else self._merged(position, op, value_of)
            )
            return [whole, Value(whole.place, ())]
        if op.type == "_SwitchN":
            return [op.unknown("is not followed")] * op.integer("num_outs", 1)
        return [op.inputs[0]]

    def _switch(self, position: int, op: Op) -> list[Value]:
        value, decider = op.inputs
        loop = self._loop_of(position)
        if loop is None:
            taken = conditions.taken(decider, 2, is_case=False)
            return [value if branch in taken else DEAD for branch in (0, 1)]
        merge = self._scope.steps[position].inputs[0].step
        changed = not self._is_unchanged(merge)
        return [
            loops.left(op, loop, value, decider, changed=changed),
            loops.entered(value, loop, decider),
        ]

    def _loop_of(self, switch: int) -> str | None:
        """The loop that a Switch is the way out of; None: it is a branch."""
        source = self._scope.steps[switch].inputs[1]
        if source.step < 0 or self._scope.steps[source.step].node.op != "LoopCond":
            return None
        merge = self._scope.steps[switch].inputs[0].step
        return self._loops.get(merge)

    def _turn(self, position: int, op: Op, value_of: ValueOf) -> Value:
        loop = self._loops[position]
        start = op.inputs[0]
        if self._is_unchanged(position):
            return start
        begun = loops.begun(start, loop)
        known = self._turns.get(position, begun)
        if known != begun:
            # The loop is in another, and begins again.
            why = op.why("begins with rows that are laid out in one way or in another")
            known = join(known, begun, why, keeps_sure=True)
        for origin in self._scope.steps[position].back:
            later = value_of(Source(origin, 0))
            if later is not None and later is not DEAD:
                known = loops.again(op, loop, known, later)
        self._turns[position] = known
        return known

    def _frame(self, merge: int) -> str:
        """The name of the loop that a Merge is in, from the Enter before it."""
        source = self._scope.steps[merge].inputs[0]
        while source.step >= 0:
            step = self._scope.steps[source.step]
            if step.node.op in ("Enter", "RefEnter"):
                return f"{self._path}{step.node.attr['frame_name'].s.decode()}"
            if step.node.op not in _PASSING:
                break
            source = step.inputs[0]
        return f"{self._path}{self._scope.steps[merge].node.name}"

    def _is_unchanged(self, merge: int) -> bool:
        """Does what goes round come back as it was?"""
        if merge < 0 or not self._scope.steps[merge].back:
            return False
        for origin in self._scope.steps[merge].back:
            position = origin
            while self._scope.steps[position].node.op in (*_PASSING, "Switch", "RefSwitch"):
                source = self._scope.steps[position].inputs[0]
                position = source.step
                if position < 0 or position == merge:
                    break
            if position != merge:
                return False
        return True

    def _merged(self, position: int, op: Op, value_of: ValueOf) -> Value:
        value, *others = [value for value in op.inputs if value is not DEAD]
        for other in others:
            value = join(value, other, op.why("gives rows laid out in one way or in another"))
        for switch in sorted(self._before[position]):
            decider = value_of(self._scope.steps[switch].inputs[1])
            if decider is None:
                return op.unknown("is decided by what comes later")
            value = conditions.decided(op, value, decider)
        return value

    def _switches_before(self) -> list[frozenset[int]]:
        """Of each step, the Switches of branches that it may depend on, by data or by control."""
        before: list[frozenset[int]] = []
        steps = self._scope.steps
        for position, step in enumerate(steps):
            origins = {source.step for source in step.inputs if source.step >= 0}
            origins |= {control for control in step.controls if control < position}
            gathered: frozenset[int] = frozenset().union(*(before[one] for one in origins))
            if step.node.op in ("Switch", "RefSwitch"):
                decider = step.inputs[1].step
                if decider < 0 or steps[decider].node.op != "LoopCond":
                    gathered |= {position}
            before.append(gathered)
        return before
