"""What is shown of processes."""

from __future__ import annotations

from pathlib import Path

from hotgraph_server.observability.metrics import merged
from hotgraph_server.observability.metrics.processes import ProcessFigures, process_metrics

DOCS = Path(__file__).parents[4] / "docs" / "metrics.md"


def test_each_process_has_its_figures_and_the_page_names_them() -> None:
    metrics = process_metrics([ProcessFigures(True, 3, 0), ProcessFigures(False, 0, 2)])
    text = merged.written(metrics, "")[0].decode()
    assert 'hotgraph_process_up{process="1"} 0.0' in text
    assert 'hotgraph_process_connections{process="0"} 3.0' in text
    assert 'hotgraph_process_restarts_total{process="1"} 2.0' in text
    documented = DOCS.read_text("utf-8")
    assert all(f"`{sample.name}`" in documented for metric in metrics for sample in metric.samples)
