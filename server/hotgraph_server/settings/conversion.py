"""What may be made of files that are no SavedModels; owned by conversion/."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting


@dataclass(frozen=True)
class ConversionSettings:
    """How a model's file (.keras, .h5, a frozen graph) becomes the SavedModel that is served."""

    allow_lambda: bool = setting(
        False,
        "run the Python code that Lambda layers bring along in a .keras or .h5 file; off: such"
        " files are refused",
    )
    conversion_cache: bool = setting(
        True,
        "keep what was made of a model's file in the user's cache, and take it from there the next time",
    )
    conversion_timeout_s: float = setting(
        600.0,
        "seconds that making a SavedModel of a model's file may take; 0: as many as it needs",
        flag=False,
    )

    def __post_init__(self) -> None:
        check(
            math.isfinite(self.conversion_timeout_s) and self.conversion_timeout_s >= 0,
            f"conversion-timeout-s must be 0 or more, got {self.conversion_timeout_s}",
        )
