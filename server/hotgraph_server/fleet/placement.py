"""Which models are on which replicas: what a planner decides. Values, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Placement:
    """
    Attributes:
        models: of each replica, by its id.
        reasons: by model: why so many copies, and why there, a line each.
        unplaced: by model: why it (or one copy of it) found no place.
        replicas_wanted: so many would be needed for all.
    """

    models: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    unplaced: Mapping[str, str] = field(default_factory=dict)
    replicas_wanted: int = 0
