from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.settings import SessionSettings


@pytest.fixture
def opened() -> Iterator[Callable[..., Any]]:
    """Opens graphs, of a folder and settings of a session, and closes them in the end."""
    # Here, because it brings TensorFlow.
    from hotgraph_server.graph.graph import Graph

    graphs: list[Graph] = []

    def open_graph(directory: Path, **settings: Any) -> Graph:
        graphs.append(Graph.open(directory, SessionSettings(**settings)))
        return graphs[-1]

    yield open_graph
    for graph in graphs:
        graph.close()
