"""What can be proven of a SavedModel's signatures from its graph as it was saved; for people who ask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tensorflow.python.framework import op_def_registry

from hotgraph_server.graph.loading import meta_graph_in
from hotgraph_server.row_independence.verdict import Input, Judgement, judge
from hotgraph_server.signatures import Signature


def judgements_in(
    directory: Path, graph_tag: str, signatures: Mapping[str, Signature]
) -> dict[str, Judgement]:
    """Whether rows of a batch can influence each other, by signature.

    Args:
        directory: of the SavedModel.
        graph_tag: as in the settings of the session.
        signatures: of that SavedModel, by name.

    Raises:
        LoadError: it cannot be read.
    """
    graph_def = meta_graph_in(directory, graph_tag).graph_def
    return {
        name: judge(
            graph_def,
            [Input(spec.alias, spec.tensor, spec.shape, spec.free_rows) for spec in signature.inputs],
            {spec.alias: spec.tensor for spec in signature.outputs},
            op_def_registry.get,
        )
        for name, signature in signatures.items()
    }
