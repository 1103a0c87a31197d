"""May calls of a signature share a batch? What can be said from its structure alone. Pure.

Structure can only forbid. What it does not forbid is put to the trial (trial.py) before the version
is live.
"""

from __future__ import annotations

from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING


def why_alone(signature: Signature) -> str | None:
    """Why calls of `signature` must run alone; None: nothing in its structure says so."""
    if signature.writes:
        return "it may change the state of the session, so each call is one run, in arrival order"
    if not signature.inputs:
        return "it has no inputs, so there are no rows to join"
    for spec in signature.inputs:
        if not spec.free_rows:
            return f"input {spec.alias!r} has no free dimension 0"
        if spec.dtype == STRING:
            # Merging strings looks legal by shape, but a graph that pads its strings to the longest
            # gives another answer when a longer one is in the batch.
            return f"input {spec.alias!r} holds strings, whose length may reach a neighbour's answer"
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
