"""What large models cost in memory, as Markdown, from what scripts/bench/memory --large wrote. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.report import table

PEAK_MARK = 2.0
"""The most resident memory while a model loads, in sizes of its SavedModel."""

CHOICES_MARK = 0.1
"""What all choices of outputs may add, in the same."""

_SLACK = 0.05
"""Of a size, or 32 MiB if that is more: runs need some, and the C library keeps some that was freed."""
_SLACK_BYTES = 2**25


def met(model: Mapping[str, Any]) -> bool:
    """Are both marks met?"""
    slack = max(_SLACK * model["size_bytes"], _SLACK_BYTES)
    added = model["chosen_bytes"] - model["loaded_bytes"]
    return bool(
        model["peak_bytes"] <= PEAK_MARK * model["size_bytes"] + slack
        and added <= CHOICES_MARK * model["size_bytes"] + slack
    )


def section(figures: Mapping[str, Any]) -> str:
    """A heading, what was done, and each model.

    Args:
        figures: as in docs/performance/memory.json; with none there is no section.
    """
    if not figures:
        return ""
    return "\n\n".join(
        [
            "### Memory of large models",
            f"`scripts/bench/memory --large`, {figures['started'][:10]}: resident memory above that of a "
            "server with a small model, in sizes of the SavedModel: the most while it loads, once it is "
            "live, and after eight choices of one output have been called. Marks: at most "
            f"{PEAK_MARK:g}, and no more than {CHOICES_MARK:g} added by the choices; runs themselves and the "
            "C library may have 32 MiB or a twentieth.",
            model_table(figures),
        ]
    )


def model_table(figures: Mapping[str, Any]) -> str:
    """Of each model one row."""
    rows = [
        [
            model["model"],
            f"{model['size_bytes'] / 1e6:.0f} MB",
            *(f"{model[key] / model['size_bytes']:.2f}" for key in ("peak_bytes", "loaded_bytes")),
            f"{model['chosen_bytes'] / model['size_bytes']:.2f}",
            "yes" if met(model) else "**no**",
        ]
        for model in figures["models"]
    ]
    heads = ["model", "SavedModel", "peak / size", "live / size", "after 8 choices / size", "met"]
    return table(heads, rows)
