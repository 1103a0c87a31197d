"""The figures of versions in the shadow of others as a scrape shows them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from hotgraph_server.models.shadow_figures import Compared, ShadowFigures, compare
from hotgraph_server.observability.metrics.shadows import shadow_metrics


def version(number: int, figures: ShadowFigures | None) -> Any:
    return SimpleNamespace(name="m", number=number, shadowing=figures)


def samples(*versions: Any) -> dict[tuple[str, str, str], float]:
    """By name, version and outcome."""
    return {
        (sample.name, sample.labels["version"], sample.labels.get("outcome", "")): sample.value
        for metric in shadow_metrics(versions)
        for sample in metric.samples
    }


def test_calls_are_counted_by_what_came_of_them() -> None:
    figures = ShadowFigures(of=1, tolerance=0.0)
    one, other = np.ones((1, 2), np.float32), np.full((1, 2), 2, np.float32)
    figures.answered(compare(["y"], [one], [other], 0.0), 1.5)
    figures.answered(Compared(None, 0.0), 2.5)
    figures.failed("it broke")
    figures.dropped()
    figures.dropped()
    found = samples(version(1, None), version(2, figures))
    assert found == {
        ("hotgraph_shadow_calls_total", "2", "alike"): 1,
        ("hotgraph_shadow_calls_total", "2", "differed"): 1,
        ("hotgraph_shadow_calls_total", "2", "failed"): 1,
        ("hotgraph_shadow_calls_total", "2", "dropped"): 2,
        ("hotgraph_shadow_slower_ratio", "2", ""): 2.0,
        ("hotgraph_shadow_largest_difference_ratio", "2", ""): 0.5,
    }


def test_how_slow_it_is_is_told_when_it_is_known() -> None:
    found = samples(version(2, ShadowFigures(of=1, tolerance=0.0)))
    assert ("hotgraph_shadow_slower_ratio", "2", "") not in found
    assert found["hotgraph_shadow_calls_total", "2", "alike"] == 0
