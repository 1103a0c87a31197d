"""Batch safety: does a graph give the same answers for rows together as for each row alone?

Shapes cannot tell: a batch-norm that was exported in training mode takes the mean over its neighbours
and has a perfect signature; a graph that pads its texts to the longest gives another answer when a longer
one is there. So rows that differ in content and length are run together and one by one before a version is
live, and only if the answers agree may its calls share a batch.

* Real data, where there is some, is tried first; then generated rows of the widest kind that the graph takes
  (probing.py). If the time is over before these are done, nothing has been shown.
* An ordinary row, and one of silence, must be answered beside copies of themselves as alone: there are no
  neighbours to blame, but kernels round otherwise for many rows, and some graphs make much of that.
* Then it is tried to refute it, as hard as a quarter of the time that is left allows: odd rows
  (adversarial.py), which have been run alone already (climbing.py), in groups of 2 rows to as many as a
  batch may have (row_groups.py). Nothing more is begun for which there is no time. Where structure has
  proven that rows are independent, this is left out.

What counts as a difference, and what must have been shown, is said in row_comparison.py. What cannot be
found so, because it takes the right rows to show, the checks in service do (execution/verification.py).

Pure but for `run`, which the executor gives, and a line in the log where the owner overrules it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hotgraph_server.batching.joining import whole_outputs
from hotgraph_server.row_independence.verdict import Judgement, Verdict
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.batching_rules import is_proven, why_unbatched
from hotgraph_server.warmup.climbing import Lone
from hotgraph_server.warmup.probing import BoundedRuns
from hotgraph_server.warmup.row_comparison import CURE, NoEvidence, RowComparison
from hotgraph_server.warmup.row_groups import alike_in_shape, could_meet, row_groups, single_rows
from hotgraph_server.warmup.synthetic_inputs import Kind, plain_rows, varieties

_LOG = logging.getLogger(__name__)


ROWS = 3

_MAX_SAMPLES = 4
"""Rows of real data, of each inner shape, that are tried with each other."""
_MAX_MIXED = 8
"""Rows of real data that are tried with odd ones."""
_MAX_REFUSED = 6

_SHARE_OF_TIME = 1 / 4
_SHARE_FOR_COPIES = 1 / 16


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

    Structure, the owner's word and trying it in one. Where structure proves that rows do not influence each
    other, trying only confirms, and need not show anything; where it refutes it, nothing is tried; else what
    has shown nothing joins no calls. Where the owner says ``always``, what is found is only a warning, with
    one exception: an output without rows goes to everyone as it is, and that it is the same for everyone
    must be shown.

    Args:
        signature: what is tried.
        run: runs it.
        batching: what its owner says, as in the settings.
        rows: what it is tried with.
        proof: what the graph's structure proves; None: it was not looked at.
    """
    reason = why_unbatched(signature, batching, proof=proof)
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
    comparison = RowComparison(signature, run)
    refusal = f"it could not be tried: {rows.kind or 'no input was generated'}; {CURE}"
    real = list(alike_in_shape(signature, rows.samples))
    for calls in real:
        difference = comparison.together([comparison.alone(call) for call in calls[:_MAX_SAMPLES]])
        if difference is not None:
            return difference
        refusal = comparison.refusal("the graph refuses the data that it brings") or refusal
    if not isinstance(rows.kind, str):
        for inputs in varieties(signature, ROWS, rows.kind):
            difference = comparison.together(
                [comparison.alone(call) for call in single_rows(signature, inputs)]
            )
            if difference is not None:
                return difference
            if not comparison.has_shown:
                refusal = (
                    comparison.refusal("it could not be tried: the graph refuses generated rows") or refusal
                )
        difference = _among_copies(comparison, run, rows, plain_rows(signature, rows.kind))
        if difference is not None:
            return difference
    if run.left_s <= 0:
        return NoEvidence(f"the time was over (warm-up-budget-s) before rows had been tried; {CURE}")
    difference = None if isinstance(rows.kind, str) else _among_odd(comparison, run, real, rows)
    if difference is not None:
        return difference
    if not comparison.has_run:
        return NoEvidence(refusal)
    return comparison.what_is_not_shown(proven)


def _among_copies(
    comparison: RowComparison, run: BoundedRuns, rows: Rows, plain: Iterator[Sequence[Array]]
) -> str | None:
    """Rows beside a copy of themselves, all of them first, and beside many as long as there is time; what
    differs."""
    least_s = run.left_s * (1 - _SHARE_FOR_COPIES)
    alone = []
    for inputs in plain:
        if run.interrupted:
            return None
        before_s = run.left_s
        row = comparison.alone(inputs)
        difference = comparison.among_copies(row, 2)
        if difference is not None:
            return difference
        # Of a row, a third of what all three took.
        alone.append((row, (before_s - run.left_s) / 3))
    for row, row_s in alone if rows.most > 2 else ():
        if run.interrupted or run.left_s - row_s * rows.most < least_s:
            return None
        difference = comparison.among_copies(row, rows.most)
        if difference is not None:
            return difference
    return None


def _among_odd(
    comparison: RowComparison, run: BoundedRuns, real: Sequence[Sequence[Sequence[Array]]], rows: Rows
) -> str | None:
    """Rows that are odd, ordinary and real together, as long as there is time; what differs."""
    answered = [row for row in rows.lone if not row.is_refused]
    ordinary = [row for row in answered if not row.odd]
    odd = [row for row in answered if row.odd]
    refused = [row for row in rows.lone if row.is_refused][:_MAX_REFUSED]
    if ordinary and real:
        mixing = [call for calls in real for call in calls if could_meet(call, ordinary[0].inputs)][
            :_MAX_MIXED
        ]
        ordinary = [*ordinary, *(row for row in map(comparison.alone, mixing) if not row.is_refused)]
    if len(ordinary) < 2 or rows.most < 2:
        return None
    least_s = run.left_s * (1 - _SHARE_OF_TIME)
    row_s = 0.0
    for group in row_groups(ordinary, odd, refused, rows.most):
        if run.interrupted or run.left_s - row_s * len(group) < least_s:
            break
        before_s = run.left_s
        difference = comparison.together(group)
        if difference is not None:
            return difference
        # What a small group takes is mostly what any run takes.
        row_s = (before_s - run.left_s) / max(len(group), len(ordinary))
    return None


def _proven_outputs(proof: Judgement | None) -> frozenset[str]:
    if proof is None:
        return frozenset()
    return frozenset(alias for alias, one in proof.outputs.items() if one.verdict is Verdict.PROVEN)
