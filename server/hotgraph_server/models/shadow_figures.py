"""What comes of calls that two versions were asked: are the answers the same, and how long did each take? The
comparing is pure; the figures are under a lock of their own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

from hotgraph_server.batching.comparing import alike_in_rows, scale_of
from hotgraph_server.tensors import Array

# Of so many calls the median is taken: what was long ago says nothing of now.
_RATIOS = 501
_MAX_TEXT = 300
# JSON has no infinity.
_MOST = 1e9


class Compared(NamedTuple):
    """Two answers to one call.

    Attributes:
        difference: in words; None: they are the same, within the tolerance.
        largest: difference of floats, of the largest number of their output.
    """

    difference: str | None
    largest: float


def compare(
    outputs: Sequence[str], served: Sequence[Array], shadowed: Sequence[Array], tolerance: float
) -> Compared:
    """
    Args:
        outputs: aliases.
        served: what the caller got, an array for each.
        shadowed: what the other version says.
        tolerance: of floats, of the largest in their row; everything else has to be the same.
    """
    difference, largest = None, 0.0
    for alias, one, other in zip(outputs, served, shadowed, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            shapes = f"{one.dtype}{list(one.shape)} and {other.dtype}{list(other.shape)}"
            return Compared(f"output {alias!r} is {shapes}"[:_MAX_TEXT], largest)
        apart = _apart(one, other)
        largest = max(largest, apart)
        if difference is None and not alike_in_rows(one, other, tolerance):
            by = f" by {apart:.3g} of the largest number" if one.dtype.kind in "fcV" else ""
            difference = f"output {alias!r} differs{by}"[:_MAX_TEXT]
    return Compared(difference, largest)


def _apart(one: Array, other: Array) -> float:
    """Of floats of one shape, those that both have as numbers; 0 of others."""
    if one.dtype.kind not in "fcV" or not one.size:
        return 0.0
    wide = np.complex128 if one.dtype.kind == "c" else np.float64
    left, right = one.astype(wide), other.astype(wide)
    numbers = np.isfinite(left) & np.isfinite(right)
    if not numbers.any():
        return 0.0
    scale = max(scale_of(one), scale_of(other))
    distance = float(np.abs(left[numbers] - right[numbers]).max())
    return min(distance / scale, _MOST) if scale else 0.0


class Told(NamedTuple):
    """The figures at a moment.

    Attributes:
        compared: calls that both have answered.
        differed: of these, those whose answers were not the same.
        failed: calls that the version in service has answered, and this one has not.
        dropped: calls that were to be compared, and were not for want of time or room.
        slower: its run takes so many times the other's, the median of the last calls; None: not known.
        largest: difference of floats, of the largest number of their output.
        reason: what was found last, of a call that differed or failed; empty: none did.
    """

    compared: int = 0
    differed: int = 0
    failed: int = 0
    dropped: int = 0
    slower: float | None = None
    largest: float = 0.0
    reason: str = ""


class ShadowFigures:
    """Of a version that answers in the shadow of another; any thread.

    Args:
        of: the number of the version in service.
        tolerance: that is compared by.
    """

    def __init__(self, of: int, tolerance: float) -> None:
        self.of = of
        self.tolerance = tolerance
        self._lock = threading.Lock()  # guards what follows
        self._told = Told()
        self._ratios: deque[float] = deque(maxlen=_RATIOS)

    def told(self) -> Told:
        """What there is now."""
        with self._lock:
            return self._told._replace(slower=median(self._ratios) if self._ratios else None)

    def answered(self, compared: Compared, slower: float | None) -> None:
        """Both have answered a call; `slower`: so many times as long, None: that is not known of it."""
        with self._lock:
            told = self._told
            if slower is not None:
                self._ratios.append(slower)
            self._told = told._replace(
                compared=told.compared + 1,
                differed=told.differed + (compared.difference is not None),
                largest=max(told.largest, compared.largest),
                reason=compared.difference or told.reason,
            )

    def failed(self, reason: str) -> None:
        """It has not answered a call."""
        with self._lock:
            self._told = self._told._replace(failed=self._told.failed + 1, reason=reason[:_MAX_TEXT])

    def dropped(self) -> None:
        """A call was not compared."""
        with self._lock:
            self._told = self._told._replace(dropped=self._told.dropped + 1)
