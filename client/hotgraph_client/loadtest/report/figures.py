"""How figures are written: three digits that count, and no more than was measured. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

NONE = "\N{EN DASH}"
"""Where there is no figure."""


def number(value: float | None) -> str:
    """Three digits that count: 0.0482, 2.13, 18.4, 482, 1,240. assets/report.js writes the same."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    if size == 0:
        return "0"
    for least, digits in ((99.95, 0), (9.995, 1), (0.9995, 2), (0.09995, 3), (0.009995, 4)):
        if size >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def ms(value: float | None) -> str:
    """A time."""
    return NONE if value is None else f"{number(value)} ms"


def per_s(value: float | None) -> str:
    """A rate of calls."""
    return NONE if value is None else f"{number(value)}/s"


def calls_per_s(value: float | None) -> str:
    """A rate of calls, where a sentence speaks of it first."""
    return NONE if value is None else f"{number(value)} calls/s"


def count(value: float | None) -> str:
    """A whole number."""
    return NONE if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """A share; whatever is more than nothing is not written as 0 %."""
    if share is None or not math.isfinite(share):
        return NONE
    if share == 0:
        return "0 %"
    if abs(share) < 0.0001:
        return "< 0.01 %"
    return f"{100 * share:.3g} %"


def times(ratio: float | None) -> str:
    """A ratio: x 0.83."""
    return (
        NONE
        if ratio is None or not math.isfinite(ratio)
        else f"\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{ratio:.2f}"
    )


def moment(iso: str) -> str:
    """ISO 8601 as people write it."""
    return iso.replace("T", " ").replace("Z", " UTC")


def counts(errors: Mapping[str, int]) -> str:
    """Errors by status, the most frequent first."""
    if not errors:
        return "0"
    return ", ".join(f"{count(errors[status])} {status}" for status in by_count(errors))


def by_count(errors: Mapping[str, int]) -> list[str]:
    """Statuses, the most frequent first."""
    return sorted(errors, key=lambda status: (-errors[status], status))


def plural(amount: int, one: str, many: str = "") -> str:
    """`1 step`, `3 steps`."""
    return f"{count(amount)} {one if amount == 1 else many or one + 's'}"
