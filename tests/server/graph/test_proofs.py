from __future__ import annotations

import pytest

from hotgraph_server.graph.definitions import signatures_of
from hotgraph_server.graph.graph import Graph
from hotgraph_server.graph.loading import open_session
from hotgraph_server.graph.proofs import BUDGET_S, proofs_of
from hotgraph_server.row_independence.verdict import Verdict
from hotgraph_server.settings import SessionSettings
from hotgraph_server.warmup.first_runs import warm_up

from ...saved_models import SavedModels
from ..fakes import FakeClock


@pytest.mark.parametrize(
    ("kind", "verdict", "reason"),
    [
        ("tf2_mlp", Verdict.PROVEN, ""),
        ("square_output", Verdict.PROVEN, ""),
        ("batch_statistics", Verdict.REFUTED, "over the rows of the batch"),
        ("padded_text", Verdict.UNKNOWN, ""),
    ],
)
def test_signatures_are_judged_by_their_graph(
    saved_models: SavedModels, kind: str, verdict: Verdict, reason: str
) -> None:
    graph = Graph.open(saved_models[kind], SessionSettings())
    proof = graph.proofs["serving_default"]
    assert proof.verdict is verdict
    assert reason in proof.reason
    graph.close()


def test_nothing_is_said_of_signatures_that_cannot_share_batches_anyway(saved_models: SavedModels) -> None:
    for kind in ("counter", "fixed_batch"):
        graph = Graph.open(saved_models[kind], SessionSettings())
        assert not graph.proofs
        graph.close()


def test_what_is_refuted_is_not_even_tried_and_names_the_op(saved_models: SavedModels) -> None:
    graph = Graph.open(saved_models["batch_statistics"], SessionSettings())
    reason = warm_up(graph, "m").unbatched_reasons["serving_default"] or ""
    assert reason.startswith("refuted by structure: ")
    assert "(Mean)" in reason
    graph.close()


def test_no_further_signature_is_judged_when_the_time_is_over(saved_models: SavedModels) -> None:
    session, meta_graph = open_session(saved_models["example_scores"], SessionSettings())
    session.close()
    signatures, _ = signatures_of(meta_graph)
    assert len(proofs_of(meta_graph.graph_def, signatures)) == 2
    ticking = FakeClock()

    def slow() -> float:
        ticking.now += BUDGET_S / 2
        return ticking.now

    assert len(proofs_of(meta_graph.graph_def, signatures, slow)) == 1
