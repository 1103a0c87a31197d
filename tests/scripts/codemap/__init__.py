"""Tests of scripts/codemap, on packages made for the purpose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codemap.sources import Package


def package(folder: Path, sources: Mapping[str, str]) -> Package:
    """A package `p` in that folder, of sources by their paths without ``.py``."""
    for path, source in sources.items():
        file = (folder / "p" / path).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return Package(folder / "p")
