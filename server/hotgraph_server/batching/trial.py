"""The trial: does a graph give the same answers for rows together as for each row alone?

Shapes cannot tell: a batch-norm that was exported in training mode takes the mean over its neighbours
and has a perfect signature; a graph that pads its texts to the longest gives another answer when a longer
one is there. So rows that differ in content and length are run together and one by one before a version is
live, and only if the answers agree may its calls share a batch. Real data, where the model brings some, is
tried first; then generated rows of the widest kind that the graph takes (probing.py).

What a trial cannot find, because it takes the right rows to show, the checks in service do (checking.py).

Pure but for `run`, which the executor gives, and a line in the log where the owner overrules it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import ml_dtypes
import numpy as np

from hotgraph_server.batching.generated import Kind, generate, scalar_choices
from hotgraph_server.batching.rules import is_proven, is_whole, whole_outputs, why_alone
from hotgraph_server.errors import RunFailed
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array

_LOG = logging.getLogger(__name__)

Run = Callable[[Sequence[Array]], Sequence[Array]]
"""Inputs in the signature's order to outputs in the signature's order; raises RunFailed."""

ROWS = 3
TOLERANCE = 1e-4
"""Kernels for one row and for many differ by some 1e-6 through no fault of anyone."""

# Numbers drawn at random are telling by themselves; how a graph treats texts depends on which they are.
_ROUNDS_OF_TEXTS = 3
_MAX_SAMPLES = 4
"""Rows of real data, of each inner shape, that are tried."""

CURE = (
    "warm-up records would show what it takes, or batching = 'always' says that its rows do not influence"
    " each other"
)
"""What an owner can do where generated input does not tell."""


class NoEvidence(str):
    """Why a trial has shown nothing, neither that rows influence each other nor that they do not."""

    __slots__ = ()


def why_not_joined(
    signature: Signature,
    run: Run,
    batching: str = "tried",
    samples: Sequence[Sequence[Array]] = (),
    kind: Kind | str = "",
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
        samples: sets of inputs that the model brings to be warmed up with; any number of rows each.
        kind: the generated input that the graph takes, ROWS rows at once; or why it takes none.
        proof: what the graph's structure proves; None: nobody has looked.
    """
    reason = why_alone(signature, batching, proof=proof)
    if reason is not None:
        return reason
    reason = rows_influence_each_other(signature, run, samples, kind)
    if is_proven(signature, proof):
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
    run: Run,
    samples: Sequence[Sequence[Array]] = (),
    kind: Kind | str = "",
) -> str | None:
    """Why rows of `signature` must not be joined; None: rows answered alike together and alone, and not all
    of them the same. NoEvidence: that has not been shown, nor the contrary.

    Args:
        signature, run, samples, kind: as in `why_not_joined`.
    """
    refusal = f"it could not be tried: {kind or 'no input was generated'}; {CURE}"
    tried = False
    for calls in _alike_in_shape(signature, samples):
        try:
            reason = _difference(signature, calls, run)
        except RunFailed as error:
            refusal = f"the graph refuses the data that it brings: {_first_line(error)}"
            continue
        if reason is not None and not isinstance(reason, NoEvidence):
            return reason
        refusal = reason or refusal
        tried |= reason is None
    if not isinstance(kind, str):
        try:
            reason = _difference(signature, _single_rows(signature, generate(signature, ROWS, kind)), run)
        except RunFailed as error:
            refusal = f"it could not be tried: the graph refuses generated rows: {_first_line(error)}; {CURE}"
        else:
            reason = _both(reason, _differs_elsewhere(signature, kind, run))
            return None if tried and isinstance(reason, NoEvidence) else reason
    return None if tried else NoEvidence(refusal)


def _differs_elsewhere(signature: Signature, kind: Kind, run: Run) -> str | None:
    """The same with other texts and other scalars; what the graph refuses among these says nothing."""
    found: str | None = NoEvidence("nothing else was tried")
    for inputs in _varieties(signature, kind):
        try:
            found = _both(found, _difference(signature, _single_rows(signature, inputs), run))
        except RunFailed:
            continue
        if found is not None and not isinstance(found, NoEvidence):
            return found
    return found


def _both(one: str | None, other: str | None) -> str | None:
    """Of what two trials say, what stands for both: a difference, else that there was none, else nothing."""
    for reason in (one, other):
        if reason is not None and not isinstance(reason, NoEvidence):
            return reason
    return None if one is None or other is None else one


def _varieties(signature: Signature, kind: Kind) -> Iterator[list[Array]]:
    """Rows of which two are alike; other texts; other scalars."""
    yield [
        array if is_whole(spec) else array[[0, *range(len(array) - 1)]]
        for spec, array in zip(signature.inputs, generate(signature, ROWS, kind), strict=True)
    ]
    if any(spec.dtype == STRING for spec in signature.inputs):
        for seed in range(1, _ROUNDS_OF_TEXTS):
            yield generate(signature, ROWS, kind, seed=seed)
    for scalars in scalar_choices(signature):
        yield generate(signature, ROWS, kind, scalars=scalars)


def _single_rows(signature: Signature, inputs: Sequence[Array]) -> list[list[Array]]:
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
        for call in _single_rows(signature, sample):
            key = tuple(
                (array.tolist() if is_whole(spec) else array.shape).__repr__()
                for spec, array in zip(signature.inputs, call, strict=True)
            )
            groups.setdefault(key, []).append(call)
    return (calls[:_MAX_SAMPLES] for calls in groups.values() if len(calls) > 1)


def _difference(signature: Signature, calls: Sequence[Sequence[Array]], run: Run) -> str | None:
    """What differs between some calls of one row each run together and the same run alone."""
    joined = [
        arrays[0] if is_whole(spec) else np.concatenate(arrays)
        for spec, arrays in zip(signature.inputs, zip(*calls, strict=True), strict=True)
    ]
    together = run(joined)
    alone = [run(call) for call in calls]
    shown = False
    for index, spec in enumerate(signature.outputs):
        whole, parts = together[index], [answer[index] for answer in alone]
        if is_whole(spec):
            if not all(alike(whole, part) for part in parts):
                return f"output {spec.alias!r} has no rows and changes with them"
            continue
        if any(part.ndim == 0 or part.shape[0] != 1 for part in parts) or whole.shape[:1] != (len(calls),):
            return f"output {spec.alias!r} does not have the rows that go in"
        one_below_the_other = np.concatenate(parts) if len({part.shape for part in parts}) == 1 else None
        if one_below_the_other is None or one_below_the_other.shape != whole.shape:
            return f"the shape of output {spec.alias!r} depends on the neighbours"
        if not alike(whole, one_below_the_other):
            return f"output {spec.alias!r} of a row changes with its neighbours"
        shown |= whole.size > 0 and any(not alike(parts[0], part) for part in parts[1:])
    # What is empty, or the same whatever goes in, would not change with neighbours either.
    return (
        None
        if shown
        else NoEvidence(f"its outputs are empty, or the same for all rows that were tried; {CURE}")
    )


def alike(one: Array, other: Array) -> bool:
    """Are these the same answer? Floats within TOLERANCE of the largest among them, or within what their own
    digits allow; others exactly."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in "fcV":
        return bool(np.array_equal(one, other))
    tolerance = TOLERANCE
    if one.dtype.kind != "c":
        # Half floats have fewer digits than the tolerance asks for.
        digits = float(ml_dtypes.finfo(one.dtype).eps)  # type: ignore[no-untyped-call]
        tolerance = max(tolerance, 4 * digits)
    wide = np.complex128 if one.dtype.kind == "c" else np.float64
    left, right = one.astype(wide), other.astype(wide)
    # Probabilities over many classes are all small: what counts is the scale that they have themselves.
    finite = np.abs(left[np.isfinite(left)])
    scale = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(left, right, rtol=tolerance, atol=tolerance * scale, equal_nan=True))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
