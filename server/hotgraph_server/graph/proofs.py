"""What the structure of a graph proves of its signatures: can rows of a batch influence each other?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from tensorflow.python.framework import op_def_registry

from hotgraph_server.row_independence.verdict import Input, Judgement, judge
from hotgraph_server.signatures import Signature
from hotgraph_server.warmup.batching_rules import has_rows_to_join

# A graph of 10,000 nodes takes a second or two for each signature; a model of fifty shall not take minutes.
BUDGET_S = 10.0


def proofs_of(
    graph_def: Any,
    signatures: Mapping[str, Signature],
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Judgement]:
    """By name, of those signatures whose calls have rows that could be joined, as far as the time lasts."""
    until = clock() + BUDGET_S
    proofs: dict[str, Judgement] = {}
    for name, signature in signatures.items():
        if has_rows_to_join(signature) and clock() < until:
            proofs[name] = judge(
                graph_def,
                [Input(spec.alias, spec.tensor, spec.shape, spec.free_rows) for spec in signature.inputs],
                {spec.alias: spec.tensor for spec in signature.outputs},
                op_def_registry.get,
            )
    return proofs
