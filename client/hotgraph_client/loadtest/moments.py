"""--trace: a file that says when calls come, a line for each. Pure.

A line holds seconds from the beginning, as a decimal number. What comes after white space or a comma is
passed over, so that a table whose first column are moments is one too; so are empty lines and those that
begin with #. The order of lines does not matter.
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

MOST = 10_000_000
"""Calls of a trace: some hours of what one machine can send."""

_LONGEST_S = 10_000_000.0
_FIRST = re.compile(r"[^\s,]+")


def read_moments(text: str, where: str) -> NDArray[np.float64]:
    """Seconds from the beginning, ascending.

    Args:
        where: the text is from, for errors.

    Raises:
        ValueError: a line is none, there are none, or too many of them.
    """
    found: list[float] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _FIRST.search(line)
        if match is None or match[0].startswith("#"):
            continue
        if len(found) == MOST:
            raise ValueError(f"{where} has more than {MOST:,} moments: send it in parts")
        found.append(_moment(match[0], f"{where}, line {number}"))
    if not found:
        raise ValueError(
            f"{where} has no moments: expected a line with seconds from the beginning for each call"
        )
    return np.sort(np.asarray(found, np.float64))


def _moment(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_S:
        raise ValueError(
            f"{where}: {text[:40]!r} is no moment: expected seconds from the beginning, such as 0.25"
        )
    return seconds
