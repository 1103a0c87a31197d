"""What a chart is: plain values, which assets/report.js draws. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..document import Step
from .judging import is_closed

Point = tuple[float, float | None]

Scale = Literal["linear", "log", "nines", "names"]

PERCENTILES = (("p50", "0"), ("p99", "1"), ("p99.9", "2"))
"""Those that are drawn, and their colours."""


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        scale: `nines`: a share q at -log10(1 - q); `names`: a place for each of `names`.
        unit: that stands behind a figure in what is shown at a point.
        least, greatest: where it begins and ends; None: as the data want it.
    """

    name: str
    scale: Scale = "linear"
    unit: str = ""
    names: tuple[str, ...] = ()
    least: float | None = None
    greatest: float | None = None


@dataclass(frozen=True)
class Series:
    """One set of points.

    Attributes:
        colour: a place among the page's colours, `muted`, or `ramp` and a share from 0 to 1.
        tips: what is said at each point, beside its figures.
    """

    name: str
    points: Sequence[Point]
    look: Literal["line", "bars", "area", "points"] = "line"
    colour: str = "0"
    dashed: bool = False
    tips: tuple[str, ...] = ()
    shape: str = "circle"
    size: int = 7


@dataclass(frozen=True)
class Mark:
    """A line across at a figure."""

    axis: Literal["x", "y"]
    at: float
    text: str


@dataclass(frozen=True)
class Table:
    """The figures of a chart where its points alone are no good table."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float | str | None, ...], ...]


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        summary: what it shows, in a sentence.
        heads: what is said at an x in place of its figure.
        group: charts of one group show the same moment.
        table: None: a line for each x, a column for each series.
    """

    id: str
    title: str
    summary: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    heads: tuple[tuple[float, str], ...] = ()
    group: str = ""
    table: Table | None = None


def label(step: Step) -> str:
    """What a step is called."""
    if found := step.get("label"):
        return found
    return (
        f"{step.get('concurrency')} callers" if is_closed(step) else f"{step.get('offered_per_s', 0.0):g}/s"
    )


def has_points(series: Series) -> bool:
    """There is something to draw."""
    return any(y is not None for _, y in series.points)
