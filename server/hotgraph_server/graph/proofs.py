"""What the structure of a graph proves of its signatures: can rows of a batch influence each other?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow.python.framework import op_def_registry

from hotgraph_server.batching.rules import has_rows_to_join
from hotgraph_server.row_independence.verdict import Input, Judgement, judge
from hotgraph_server.signatures import Signature


def proofs_of(graph_def: Any, signatures: Mapping[str, Signature]) -> dict[str, Judgement]:
    """By name, of those signatures whose calls have rows that could be joined."""
    return {
        name: judge(
            graph_def,
            [Input(spec.alias, spec.tensor, spec.shape, spec.free_rows) for spec in signature.inputs],
            {spec.alias: spec.tensor for spec in signature.outputs},
            op_def_registry.get,
        )
        for name, signature in signatures.items()
        if has_rows_to_join(signature)
    }
