"""May calls of a signature share a batch? What can be said from its structure and its owner. Pure.

Structure can only forbid. What it does not forbid is tried (batch_safety.py) before the version is
live. The owner's word (`batching` in the settings: proven-only, tried, always, never) goes further
in both directions, with two limits: what has no rows cannot be joined, and a signature that may change state
runs call by call unless the owner has said just that it need not (`state.batch_writes`), because it can never
be tried.
"""

from __future__ import annotations

from hotgraph_server.batching.joining import is_whole
from hotgraph_server.row_independence.verdict import Judgement, Verdict
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING


def why_unbatched(
    signature: Signature,
    batching: str = "tried",
    *,
    batch_writes: bool = False,
    proof: Judgement | None = None,
) -> str | None:
    """Why calls of `signature` must run alone; None: neither its structure nor its owner says so.

    Args:
        signature: what is to be called.
        batching: what its owner says: ``proven-only``, ``tried``, ``always`` (rows do not influence each
            other) or ``never``.
        proof: what its graph's structure proves; None: it was not looked at.
        batch_writes: the owner says that rows of several calls may form one step of what changes state.
    """
    if signature.writes and not batch_writes:
        return "it may change the state of the session, so each call is one run, in arrival order"
    if batching == "never":
        return "the settings say so"
    none = _why_no_rows(signature)
    if none is not None or batching == "always" or signature.writes or is_proven(signature, proof):
        return none
    if proof is not None and proof.verdict is Verdict.REFUTED:
        return f"refuted by structure: {proof.reason}"
    if batching == "proven-only":
        why = proof.reason if proof is not None else "nobody has looked"
        return f"it is not proven that its rows are independent, and batching is proven-only: {why}"
    return _why_doubtful(signature)


def has_rows_to_join(signature: Signature) -> bool:
    """Could its calls be joined, if rows do not influence each other?"""
    return not signature.writes and _why_no_rows(signature) is None


def has_rows(signature: Signature, proof: Judgement | None) -> bool:
    """May dimension 0 of a call's inputs be a number of rows? If not, it is time, or anything else: a call is
    one row, however long it is."""
    if proof is not None and proof.verdict is Verdict.REFUTED:
        return False
    return all(
        spec.part is None and (spec.free_rows or spec.shape is None or spec.shape == ())
        for spec in signature.inputs
    )


def is_proven(signature: Signature, proof: Judgement | None) -> bool:
    """Is it proven that rows do not influence each other, and that outputs have rows where their shapes say
    so? By its shape an output is cut, or goes to everyone whole."""
    return (
        proof is not None
        and proof.verdict is Verdict.PROVEN
        and all(proof.outputs[spec.alias].has_rows != is_whole(spec) for spec in signature.outputs)
    )


def joined_because(signature: Signature, batching: str = "tried", proof: Judgement | None = None) -> str:
    """What it rests on, in words for people, that calls of `signature` share batches.

    Args:
        signature, batching, proof: as in `why_unbatched`.
    """
    if is_proven(signature, proof):
        return "proven by structure"
    return "not proven, on its owner's word" if batching == "always" else "tried, not proven"


def _why_no_rows(signature: Signature) -> str | None:
    if not signature.inputs:
        return "it has no inputs, so there are no rows to join"
    for spec in (*signature.inputs, *signature.outputs):
        if spec.part is not None:
            return f"{spec.part.whole!r} is a tensor of several parts, and none of them has its rows"
    for spec in signature.inputs:
        # Scalars join where they are equal. Anything larger that has no rows is no setting but data.
        if not spec.free_rows and spec.shape != ():
            return f"input {spec.alias!r} has no free dimension 0"
    if not any(spec.free_rows for spec in signature.inputs):
        return "all its inputs are scalars, so there are no rows to join"
    return None


def _why_doubtful(signature: Signature) -> str | None:
    for spec in signature.inputs:
        if spec.shape == () and spec.dtype == STRING:
            # A name of a mode, perhaps. Numbers can be tried; a name cannot be guessed.
            return f"input {spec.alias!r} is a string for the whole call, and its values cannot be tried"
    # Calls with different inner shapes never meet, so a free inner dimension of an output is safe where it
    # follows one of an input. Where the inputs have none, it can only come from their values, and then it
    # is the greatest among the neighbours that decides.
    from_inputs = any(None in (spec.shape or ())[1:] for spec in signature.inputs)
    for spec in signature.outputs:
        if not spec.free_rows:
            return f"output {spec.alias!r} has no free dimension 0"
        if None in (spec.shape or ())[1:] and not from_inputs:
            return f"the inner shape of output {spec.alias!r} depends on what is in the rows"
    return None
