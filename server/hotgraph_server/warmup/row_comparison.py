"""Rows run together, and the same rows run alone: are the answers the same, and what has that shown? Pure
but for `run`.

* A row that fails alone must fail among others, and rows that are answered alone must be answered together. A
  run that ends for want of time or memory says nothing.
* Every output must show something: one that is empty, or the same whatever goes in, would not change with
  neighbours either. Nothing need be shown of one that is proven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hotgraph_server.batching.comparing import alike as alike
from hotgraph_server.batching.comparing import alike_by_row, excused, is_extreme, scale_of
from hotgraph_server.batching.joining import is_whole
from hotgraph_server.errors import RunFailed, first_line
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.climbing import Lone, says_nothing

Run = Callable[[Sequence[Array]], Sequence[Array]]
"""Inputs in the signature's order to outputs in the signature's order; raises RunFailed."""


CURE = (
    "warm-up records would show what it takes, or batching = 'always' says that its rows do not influence"
    " each other"
)
"""What an owner can do where generated input does not tell."""


class NoEvidence(str):
    """Why nothing has been shown, neither that rows influence each other nor that they do not."""

    __slots__ = ()


class RowComparison:
    """Of one signature: what has been run together, and what that has shown.

    Attributes:
        has_run: rows were answered together.
        has_shown: some output was seen to be the same among others as alone, and not for all rows.
    """

    def __init__(self, signature: Signature, run: Run) -> None:
        self._signature = signature
        self._run = run
        self._shown: set[str] = set()
        self._refusal: RunFailed | None = None
        self.has_run = False

    @property
    def has_shown(self) -> bool:
        return bool(self._shown)

    def alone(self, inputs: Sequence[Array]) -> Lone:
        """An ordinary row by itself."""
        try:
            return Lone(inputs, self._run(inputs), odd=False)
        except RunFailed as error:
            return Lone(inputs, error, odd=False)

    def refusal(self, what: str) -> str:
        """Words for the last refusal; empty: there was none."""
        return f"{what}: {first_line(self._refusal)}; {CURE}" if self._refusal is not None else ""

    def what_is_not_shown(self, proven: frozenset[str]) -> str | None:
        """None: each output has shown that it changes with what goes in, and not with neighbours."""
        rowed = [spec.alias for spec in self._signature.outputs if not is_whole(spec)]
        missing = [alias for alias in rowed if alias not in self._shown | proven]
        if not missing:
            return None
        if len(missing) == len(rowed):
            return NoEvidence(f"its outputs are empty, or the same for all rows that were tried; {CURE}")
        return NoEvidence(f"output {missing[0]!r} is empty, or the same for all rows that were tried; {CURE}")

    def together(self, rows: Sequence[Lone]) -> str | None:
        """What differs between these rows run together and the same run alone; None: nothing was found."""
        refused = [row.outcome for row in rows if isinstance(row.outcome, RunFailed)]
        if any(says_nothing(error) for error in refused):
            self._refusal = refused[0]
            return None
        try:
            answers = self._run(
                [
                    arrays[0] if is_whole(spec) else np.concatenate(arrays)
                    for spec, arrays in zip(
                        self._signature.inputs, zip(*(row.inputs for row in rows), strict=True), strict=True
                    )
                ]
            )
        except RunFailed as error:
            self._refusal = error
            if refused or says_nothing(error):
                return None
            return f"rows that are answered alone fail together: {first_line(error)}"
        if refused:
            return f"a row that fails alone is answered among others: {first_line(refused[0])}"
        self.has_run = True
        return self._difference(rows, answers)

    def among_copies(self, row: Lone, count: int) -> str | None:
        """What differs between a row alone and so many of it (a level that is normalised by what little there
        is of it may)."""
        if isinstance(row.outcome, RunFailed):
            return None
        try:
            answers = self._run(
                [
                    array if is_whole(spec) else np.concatenate([array] * count)
                    for spec, array in zip(self._signature.inputs, row.inputs, strict=True)
                ]
            )
        except RunFailed as error:
            self._refusal = error
            return None
        for spec, whole, part in zip(self._signature.outputs, answers, row.outcome, strict=True):
            if is_whole(spec) or whole.shape[:1] != (count,) or whole.shape[1:] != part.shape[1:]:
                continue
            if not alike(whole, np.concatenate([part] * count)):
                return f"output {spec.alias!r} of a row changes with the number of rows"
        return None

    def _difference(self, rows: Sequence[Lone], answers: Sequence[Array]) -> str | None:
        alone = [row.outcome for row in rows if not isinstance(row.outcome, RunFailed)]
        for index, spec in enumerate(self._signature.outputs):
            whole, parts = answers[index], [one[index] for one in alone]
            if is_whole(spec):
                if not all(alike(whole, part) for part in parts):
                    return f"output {spec.alias!r} has no rows and changes with them"
                continue
            if any(part.ndim == 0 or part.shape[0] != 1 for part in parts) or whole.shape[:1] != (len(rows),):
                return f"output {spec.alias!r} does not have the rows that go in"
            if any(part.shape[1:] != whole.shape[1:] for part in parts):
                return f"the shape of output {spec.alias!r} depends on the neighbours"
            usual = max(
                (scale_of(part) for row, part in zip(rows, parts, strict=True) if not row.odd), default=0.0
            )
            same = alike_by_row(whole, np.concatenate(parts), usual)
            for number, row in enumerate(rows):
                if not same[number] and not self._is_excused(row, answers, number):
                    if self._varies(row, index):
                        return f"output {spec.alias!r} differs from run to run for the same row, alone too"
                    return f"output {spec.alias!r} of a row changes with its neighbours"
            telling = [
                part
                for row, part, is_same in zip(rows, parts, same, strict=True)
                if is_same and not (row.odd and is_extreme(row.inputs))
            ]
            if whole.size and any(not alike(telling[0], part) for part in telling[1:]):
                self._shown.add(spec.alias)
        return None

    def _varies(self, row: Lone, index: int) -> bool:
        """Is an output another one when the row is run again, by itself? Random numbers do that, and then its
        neighbours are not to blame."""
        assert not isinstance(row.outcome, RunFailed)
        try:
            return not alike(self._run(row.inputs)[index], row.outcome[index])
        except RunFailed:
            return False

    def _is_excused(self, row: Lone, answers: Sequence[Array], number: int) -> bool:
        """May rounding be why a row is answered otherwise?"""
        assert not isinstance(row.outcome, RunFailed)
        specs = self._signature.outputs
        rowed = [index for index, spec in enumerate(specs) if not is_whole(spec)]
        alone, other = (
            [row.outcome[index] for index in rowed],
            [answers[index][number : number + 1] for index in rowed],
        )
        return excused(
            alone,
            other,
            row.inputs,
            lambda inputs: [self._run(inputs)[index] for index in rowed],
            odd=row.odd,
        )
