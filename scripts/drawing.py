"""Small pictures in a terminal, for the quickstart. Values in, lines of text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INKS = " ░▒▓█"
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def bar(share: float, width: int) -> str:
    """A horizontal bar, `width` characters long at a share of 1; shares outside [0, 1] are cut off."""
    return "█" * round(width * min(max(share, 0.0), 1.0))


def digit_picture(image: NDArray[np.float32]) -> list[str]:
    """Draw an image, float32 [784] with pixels in [0, 1], in 14 lines of 28 characters.

    A character is about twice as high as it is wide, so each stands for two pixels, one above the other.
    """
    halves = image.reshape(14, 2, 28).mean(axis=1)
    inks = np.ceil(np.clip(halves, 0, 1) * (len(_INKS) - 1)).astype(int)
    return ["".join(_INKS[ink] for ink in row) for row in inks]


def probability_bars(probabilities: NDArray[np.float32], width: int = 24) -> list[str]:
    """One line for each class of float32 [n]: its number, a bar, its probability."""
    return [f"{digit}  {bar(float(p), width):<{width}}  {p:.3f}" for digit, p in enumerate(probabilities)]


def histogram(values: Sequence[float] | NDArray[Any], width: int = 48) -> tuple[str, float, float]:
    """How often values occur, as one line of blocks between two ends, and these ends.

    The ends are the smallest value and the 99th percentile: a single straggler would flatten everything else.
    Values beyond are counted in the last block. A block that counts anything is never blank.
    """
    low, high = float(np.min(values)), float(np.percentile(values, 99))
    counts, _ = np.histogram(
        np.minimum(values, high), bins=width, range=(low, high if high > low else low + 1)
    )
    tops = np.ceil(counts / counts.max() * (len(_EIGHTHS) - 1)).astype(int)
    return "".join(_EIGHTHS[top] for top in tops), low, high


def side_by_side(left: Sequence[str], right: Sequence[str], gap: int = 4) -> list[str]:
    """Two columns of lines; the shorter one is centred against the other."""
    height, width = max(len(left), len(right)), max(map(len, left), default=0)

    def centred(lines: Sequence[str]) -> list[str]:
        above = (height - len(lines)) // 2
        return [*[""] * above, *lines, *[""] * (height - len(lines) - above)]

    return [
        f"{a:<{width}}{' ' * gap}{b}".rstrip() for a, b in zip(centred(left), centred(right), strict=True)
    ]
