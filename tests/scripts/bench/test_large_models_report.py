"""The section of large models: figures in sizes of the SavedModel, each with its verdict."""

from __future__ import annotations

from typing import Any

import pytest

from bench import large_models_report

SIZE = 10**9


def model(peak: float, loaded: float, chosen: float) -> dict[str, Any]:
    keys = ("peak_bytes", "loaded_bytes", "chosen_bytes")
    return {
        "model": "m",
        "size_bytes": SIZE,
        **dict(zip(keys, (int(SIZE * of) for of in (peak, loaded, chosen)), strict=True)),
    }


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (model(2.0, 1.0, 1.1), True),
        (model(2.05, 1.0, 1.15), True),
        (model(2.06, 1.0, 1.0), False),
        (model(1.0, 1.0, 1.16), False),
    ],
)
def test_marks_are_judged_with_their_slack(found: dict[str, Any], met: bool) -> None:
    assert large_models_report.met(found) == met
    made = large_models_report.section({"started": "2030-01-01 00:00", "models": [found]})
    assert made.splitlines()[-1].endswith("| yes |" if met else "| **no** |")


def test_figures_are_told_in_sizes_of_the_saved_model() -> None:
    made = large_models_report.section({"started": "2030-01-01 00:00", "models": [model(1.5, 1.04, 1.07)]})
    assert "| m | 1000 MB | 1.50 | 1.04 | 1.07 | yes |" in made


def test_without_figures_there_is_no_section() -> None:
    assert large_models_report.section({}) == ""
