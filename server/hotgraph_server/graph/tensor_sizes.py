"""The tensors that a graph holds whatever is run: its variables, and its constants."""

from __future__ import annotations

from typing import Any

from hotgraph_server.graph.freezing import variable_bytes
from hotgraph_server.graph.lifting import constant_bytes
from hotgraph_server.row_independence.effects import VARIABLES, variable_name


def tensor_bytes(graph_def: Any) -> int:
    """Bytes of variables and constants, each counted once, at least: strings count nothing, and a variable
    with a free dimension is as large as whatever was assigned to it.

    Args:
        graph_def: as saved.
    """
    nodes = [*graph_def.node, *(node for body in graph_def.library.function for node in body.node_def)]
    variables = {variable_name(node): variable_bytes(node) for node in nodes if node.op in VARIABLES}
    return sum(variables.values()) + sum(map(constant_bytes, nodes))
