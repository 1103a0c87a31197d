from __future__ import annotations

import pytest

from hotgraph_server.graph import Graph
from hotgraph_server.graph.explaining import judgements_in
from hotgraph_server.row_independence.verdict import Verdict
from hotgraph_server.settings import SessionSettings

from ...saved_models import SavedModels


@pytest.mark.parametrize(
    ("kind", "verdict", "reason"),
    [
        ("tf2_mlp", Verdict.PROVEN, ""),
        ("square_output", Verdict.PROVEN, ""),
        ("batch_statistics", Verdict.REFUTED, "over the rows of the batch"),
        ("counter", Verdict.UNKNOWN, "it may change state"),
    ],
)
def test_saved_model_is_judged_by_its_graph_as_it_was_saved(
    saved_models: SavedModels, kind: str, verdict: Verdict, reason: str
) -> None:
    graph = Graph.open(saved_models[kind], SessionSettings())
    judged = judgements_in(saved_models[kind], "", graph.signatures)
    assert judged.keys() == graph.signatures.keys()
    found = [one for one in judged.values() if one.verdict is verdict]
    assert found
    assert reason in found[0].reason
    graph.close()
