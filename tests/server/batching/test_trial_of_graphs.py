"""The trial on real graphs: no honest one is refuted, and what it finds of those whose rows influence each
other, without any help from the structure of the graph."""

from __future__ import annotations

import tensorflow as tf

from hotgraph_server.graph import Graph
from hotgraph_server.settings import SessionSettings, WarmupSettings
from hotgraph_server.warmup import FirstRuns, warm_up

from ..row_independence.library.cases import Built, Case

_SETTINGS = WarmupSettings(warm_up_budget_s=20)


def tried(case: Case, max_rows: int = 16) -> str | None:
    """What the trial says of a case, of which nothing is proven or refuted by structure."""
    built = Built(case)
    graph = as_graph(built)
    graph.proofs = {}
    try:
        return first_runs(graph, max_rows).alone["serving_default"]
    finally:
        graph.close()


def as_graph(built: Built) -> Graph:
    with built.graph.as_default():
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=built.graph)
        inputs = {
            alias: tf.compat.v1.saved_model.build_tensor_info(built.graph.get_tensor_by_name(name))
            for alias, name in built.fed.items()
        }
        outputs = {
            f"y{index}": tf.compat.v1.saved_model.build_tensor_info(built.graph.get_tensor_by_name(name))
            for index, name in enumerate(built.outputs)
        }
    meta_graph.signature_def["serving_default"].CopyFrom(
        tf.compat.v1.saved_model.build_signature_def(inputs, outputs)
    )
    return Graph(built.session, meta_graph, SessionSettings())


def first_runs(graph: Graph, max_rows: int) -> FirstRuns:
    return warm_up(graph, "m", samples={}, settings=_SETTINGS, max_rows=max_rows)
