"""The trial: does a graph give the same answers for rows together as for each row alone?

Shapes cannot tell: a batch-norm that was exported in training mode takes the mean over its neighbours
and has a perfect signature; a graph that pads its texts to the longest gives another answer when a longer
one is there. So rows that differ in content and length are run together and one by one before a version is
live, and only if the answers agree may its calls share a batch.

* Real data, where there is some, is tried first; then generated rows of the widest kind that the graph takes
  (probing.py). If the time is over before these are done, nothing has been shown.
* An ordinary row, and one of silence, must be answered beside copies of themselves as alone: there are no
  neighbours to blame, but kernels round otherwise for many rows, and some graphs make much of that.
* Then the trial refutes as hard as it can in a quarter of the time that is left: odd rows (adversarial.py),
  which have been run alone already (climbing.py), in companies of 2 rows to as many as a batch may have
  (row_groups.py). Nothing more is begun for which there is no time. Where structure has proven that rows are
  independent, this is left out.
* A row that fails alone must fail in company, and rows that are answered alone must be answered together. A
  run that ends for want of time or memory says nothing.
* Every output must show something: one that is empty, or the same whatever goes in, would not change with
  neighbours either. Nothing need be shown of one that is proven.

What a trial cannot find, because it takes the right rows to show, the checks in service do
(execution/verification.py).

Pure but for `run`, which the executor gives, and a line in the log where the owner overrules it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hotgraph_server.batching.comparing import alike as alike
from hotgraph_server.batching.comparing import alike_by_row, excused, is_extreme, scale_of
from hotgraph_server.batching.rules import is_proven, is_whole, whole_outputs, why_alone
from hotgraph_server.errors import RunFailed, first_line
from hotgraph_server.row_independence.verdict import Judgement, Verdict
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.climbing import Lone, says_nothing
from hotgraph_server.warmup.probing import BoundedRuns
from hotgraph_server.warmup.row_groups import companies
from hotgraph_server.warmup.synthetic_inputs import Kind, generate, scalar_choices

_LOG = logging.getLogger(__name__)

Run = Callable[[Sequence[Array]], Sequence[Array]]
"""Inputs in the signature's order to outputs in the signature's order; raises RunFailed."""

ROWS = 3

# Numbers drawn at random are telling by themselves; how a graph treats texts depends on which they are.
_ROUNDS_OF_TEXTS = 3
_MAX_SAMPLES = 4
"""Rows of real data, of each inner shape, that are tried with each other."""
_MAX_MIXED = 8
"""Rows of real data that are tried with odd ones."""
_MAX_REFUSED = 6

_SHARE_OF_TIME = 1 / 4
_SHARE_FOR_COPIES = 1 / 16

CURE = (
    "warm-up records would show what it takes, or batching = 'always' says that its rows do not influence"
    " each other"
)
"""What an owner can do where generated input does not tell."""


class NoEvidence(str):
    """Why a trial has shown nothing, neither that rows influence each other nor that they do not."""

    __slots__ = ()


class Rows(NamedTuple):
    """What a signature can be tried with.

    Attributes:
        samples: sets of inputs that were asked in earnest, or that the model brings; any number of rows each.
        kind: the generated input that the graph takes, ROWS rows at once; or why it takes none.
        lone: odd rows and ordinary ones, as they were answered alone.
        most: rows that a batch may have, and that are harmless to run.
    """

    samples: Sequence[Sequence[Array]] = ()
    kind: Kind | str = ""
    lone: Sequence[Lone] = ()
    most: int = ROWS


def why_not_joined(
    signature: Signature,
    run: BoundedRuns,
    batching: str = "tried",
    rows: Rows = Rows(),  # noqa: B008 - immutable
    proof: Judgement | None = None,
) -> str | None:
    """Why calls of `signature` must run alone; None: they may share a batch.

    Structure, the owner's word and the trial in one. Where structure proves that rows do not influence each
    other, the trial only confirms, and need not show anything; where it refutes it, nothing is tried; else a
    trial that has shown nothing joins nobody. Where the owner says ``always``, what the trial finds
    is only a warning, with one exception: an output without rows goes to everyone as it is, and that it is
    the same for everyone must be shown.

    Args:
        signature: what is tried.
        run: runs it.
        batching: what its owner says, as in the settings.
        rows: what it is tried with.
        proof: what the graph's structure proves; None: nobody has looked.
    """
    reason = why_alone(signature, batching, proof=proof)
    if reason is not None:
        return reason
    proven = is_proven(signature, proof)
    if proven:
        rows = rows._replace(lone=())
    reason = rows_influence_each_other(signature, run, rows, _proven_outputs(proof))
    if proven:
        if reason is None or isinstance(reason, NoEvidence):
            return None
        _LOG.error(
            "signature %r was taken to have independent rows by proof, and yet %s", signature.name, reason
        )
    if reason is None or batching != "always":
        return reason
    for alias in sorted(whole_outputs(signature)):
        return f"output {alias!r} has no free dimension 0, and was not shown to be everybody's: {reason}"
    _LOG.warning("calls of signature %r share batches by setting, though %s", signature.name, reason)
    return None


def rows_influence_each_other(
    signature: Signature,
    run: BoundedRuns,
    rows: Rows = Rows(),  # noqa: B008 - immutable
    proven: frozenset[str] = frozenset(),
) -> str | None:
    """Why rows of `signature` must not be joined; None: rows answered alike together and alone, and not all
    of them the same. NoEvidence: that has not been shown, nor the contrary.

    Args:
        signature, run, rows: as in `why_not_joined`.
        proven: aliases of the outputs of which nothing has to be shown.
    """
    trial = _Trial(signature, run)
    refusal = f"it could not be tried: {rows.kind or 'no input was generated'}; {CURE}"
    real = list(_alike_in_shape(signature, rows.samples))
    for calls in real:
        difference = trial.together([trial.alone(call) for call in calls[:_MAX_SAMPLES]])
        if difference is not None:
            return difference
        refusal = trial.refusal("the graph refuses the data that it brings") or refusal
    if not isinstance(rows.kind, str):
        for inputs in _varieties(signature, rows.kind):
            difference = trial.together([trial.alone(call) for call in single_rows(signature, inputs)])
            if difference is not None:
                return difference
            if not trial.has_shown:
                refusal = trial.refusal("it could not be tried: the graph refuses generated rows") or refusal
        difference = _among_copies(trial, run, rows, _plain_rows(signature, rows.kind))
        if difference is not None:
            return difference
    if run.left_s <= 0:
        return NoEvidence(f"the time was over (warm-up-budget-s) before rows had been tried; {CURE}")
    difference = None if isinstance(rows.kind, str) else _in_odd_company(trial, run, real, rows)
    if difference is not None:
        return difference
    if not trial.has_run:
        return NoEvidence(refusal)
    return trial.what_is_not_shown(proven)


class _Trial:
    """Of one signature: what has been run together, and what that has shown.

    Attributes:
        has_run: rows were answered together.
        has_shown: some output was seen to be the same in company as alone, and not for all rows.
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
                    return f"output {spec.alias!r} of a row changes with its neighbours"
            telling = [
                part
                for row, part, is_same in zip(rows, parts, same, strict=True)
                if is_same and not (row.odd and is_extreme(row.inputs))
            ]
            if whole.size and any(not alike(telling[0], part) for part in telling[1:]):
                self._shown.add(spec.alias)
        return None

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


def _among_copies(
    trial: _Trial, run: BoundedRuns, rows: Rows, plain: Iterator[Sequence[Array]]
) -> str | None:
    """Rows beside a copy of themselves, all of them first, and beside many as long as there is time; what
    differs."""
    least_s = run.left_s * (1 - _SHARE_FOR_COPIES)
    alone = []
    for inputs in plain:
        if run.interrupted:
            return None
        before_s = run.left_s
        row = trial.alone(inputs)
        difference = trial.among_copies(row, 2)
        if difference is not None:
            return difference
        # Of a row, a third of what all three took.
        alone.append((row, (before_s - run.left_s) / 3))
    for row, row_s in alone if rows.most > 2 else ():
        if run.interrupted or run.left_s - row_s * rows.most < least_s:
            return None
        difference = trial.among_copies(row, rows.most)
        if difference is not None:
            return difference
    return None


def _in_odd_company(
    trial: _Trial, run: BoundedRuns, real: Sequence[Sequence[Sequence[Array]]], rows: Rows
) -> str | None:
    """Rows that are odd, ordinary and real together, as long as there is time; what differs."""
    answered = [row for row in rows.lone if not row.is_refused]
    ordinary = [row for row in answered if not row.odd]
    odd = [row for row in answered if row.odd]
    refused = [row for row in rows.lone if row.is_refused][:_MAX_REFUSED]
    if ordinary and real:
        mixing = [call for calls in real for call in calls if _meet(call, ordinary[0].inputs)][:_MAX_MIXED]
        ordinary = [*ordinary, *(row for row in map(trial.alone, mixing) if not row.is_refused)]
    if len(ordinary) < 2 or rows.most < 2:
        return None
    least_s = run.left_s * (1 - _SHARE_OF_TIME)
    row_s = 0.0
    for company in companies(ordinary, odd, refused, rows.most):
        if run.interrupted or run.left_s - row_s * len(company) < least_s:
            break
        before_s = run.left_s
        difference = trial.together(company)
        if difference is not None:
            return difference
        # What a small company takes is mostly what any run takes.
        row_s = (before_s - run.left_s) / max(len(company), len(ordinary))
    return None


def _varieties(signature: Signature, kind: Kind) -> Iterator[list[Array]]:
    """Rows; rows of which two are alike; other texts; other scalars."""
    rows = generate(signature, ROWS, kind)
    yield rows
    yield [
        array if is_whole(spec) else array[[0, *range(len(array) - 1)]]
        for spec, array in zip(signature.inputs, rows, strict=True)
    ]
    if any(spec.dtype == STRING for spec in signature.inputs):
        for seed in range(1, _ROUNDS_OF_TEXTS):
            yield generate(signature, ROWS, kind, seed=seed)
    for scalars in scalar_choices(signature):
        yield generate(signature, ROWS, kind, scalars=scalars)


def _plain_rows(signature: Signature, kind: Kind) -> Iterator[list[Array]]:
    """An ordinary row, and one of silence, or of a blank image."""
    ordinary = generate(signature, 1, kind)
    yield ordinary
    if any(spec.dtype.kind == "f" and not is_whole(spec) for spec in signature.inputs):
        yield [
            np.zeros_like(array) if array.dtype.kind == "f" and not is_whole(spec) else array
            for spec, array in zip(signature.inputs, ordinary, strict=True)
        ]


def single_rows(signature: Signature, inputs: Sequence[Array]) -> list[list[Array]]:
    """A call for each row; inputs that have no rows are in all of them."""
    specs = list(zip(signature.inputs, inputs, strict=True))
    count = next(len(array) for spec, array in specs if not is_whole(spec))
    return [
        [array if is_whole(spec) else array[row : row + 1] for spec, array in specs] for row in range(count)
    ]


def _alike_in_shape(signature: Signature, samples: Sequence[Sequence[Array]]) -> Iterator[list[list[Array]]]:
    """Rows of real data that could share a batch, where there are at least two."""
    groups: dict[object, list[list[Array]]] = {}
    for sample in samples:
        for call in single_rows(signature, sample):
            key = tuple(
                (array.tolist() if is_whole(spec) else array.shape).__repr__()
                for spec, array in zip(signature.inputs, call, strict=True)
            )
            groups.setdefault(key, []).append(call)
    return (calls for calls in groups.values() if len(calls) > 1)


def _meet(call: Sequence[Array], other: Sequence[Array]) -> bool:
    """Could rows of these share a batch?"""
    return all(
        one.shape == two.shape and (one.ndim > 0 or one.tolist() == two.tolist())
        for one, two in zip(call, other, strict=True)
    )


def _proven_outputs(proof: Judgement | None) -> frozenset[str]:
    if proof is None:
        return frozenset()
    return frozenset(alias for alias, one in proof.outputs.items() if one.verdict is Verdict.PROVEN)
