"""Latencies as HdrHistograms: 1 us to 1 h, three digits, merged and never averaged. Pure.

The package `hdrhistogram` has the buckets and the form in which they travel; recording and reading go by
numpy here, for it does both value by value, in Python.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from .document import Distribution

MOST_US = 3_600_000_000
_DIGITS = 3
_MAGNITUDE = 11
"""Of the 2048 values that are told apart one by one: twice what three digits need, as a power of two."""
_HALF = 1 << (_MAGNITUDE - 1)

# Ten places for each nine: 0, 20.6 %, 36.9 % ... 90 % ... 99.999 %.
_NINES = tuple(1.0 - 10.0 ** (-place / 10) for place in range(51))
_SUMMARY = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


class Histogram:
    """Counts of microseconds.

    A percentile is the greatest value of the bucket in which it lies, as HdrHistogram has it: at most 0.1 %
    too high, never too low.
    """

    def __init__(self) -> None:
        self._hdr = HdrHistogram(1, MOST_US, _DIGITS)
        self._counts: NDArray[np.uint64] = np.frombuffer(self._hdr.counts, dtype=np.uint64)

    @classmethod
    def of(cls, values_us: Sequence[int] | NDArray[np.integer]) -> Histogram:
        """Of these microseconds."""
        histogram = cls()
        histogram.record(values_us)
        return histogram

    @classmethod
    def decode(cls, encoded: bytes) -> Histogram:
        """What `encode` wrote; of nothing, an empty one.

        Raises:
            ValueError: that is no histogram, or one of other bounds or digits.
        """
        histogram = cls()
        histogram.add_encoded(encoded)
        return histogram

    @classmethod
    def merged(cls, encoded: Iterable[bytes]) -> Histogram:
        """The sum of histograms in their encoded form.

        Raises:
            ValueError: as `decode`.
        """
        histogram = cls()
        for one in encoded:
            histogram.add_encoded(one)
        return histogram

    def record(self, values_us: Sequence[int] | NDArray[np.integer]) -> None:
        """Count microseconds; what is below 1 counts as 1, what is above an hour as an hour."""
        values = np.clip(np.asarray(values_us, dtype=np.int64), 1, MOST_US)
        if values.size:
            counts = np.bincount(_places(values))
            self._count(counts.astype(np.uint64), int(values.min()), int(values.max()))

    def add(self, other: Histogram) -> None:
        """Count what the other has counted."""
        if other.count:
            self._count(other._counts, other._hdr.min_value, other._hdr.max_value)

    def add_encoded(self, encoded: bytes) -> None:
        """Count what an encoded one has counted.

        Raises:
            ValueError: as `decode`.
        """
        if not encoded:
            return
        try:
            other = HdrHistogram.decode(encoded)
        except (HdrCookieException, HdrLengthException, zlib.error, binascii.Error, TypeError) as error:
            raise ValueError(f"that is no HdrHistogram: {str(error) or type(error).__name__}") from None
        same = (other.significant_figures, other.lowest_trackable_value, other.highest_trackable_value)
        if same != (_DIGITS, 1, MOST_US):
            raise ValueError(f"an HdrHistogram of {same[0]} digits from {same[1]} to {same[2]}")
        if other.total_count:
            counts = np.frombuffer(other.counts, dtype=np.uint64)
            self._count(counts, other.min_value, other.max_value)

    def encode(self) -> bytes:
        """HdrHistogram's V2 form, compressed and in base64, which its other tools read; empty: of nothing."""
        return bytes(self._hdr.encode()) if self.count else b""

    @property
    def count(self) -> int:
        """Of all values."""
        return int(self._hdr.total_count)

    @property
    def mean_ms(self) -> float:
        """0 of nothing."""
        if not self.count:
            return 0.0
        used = np.flatnonzero(self._counts)
        middle = (_lowest(used) + _highest(used)) / 2
        return float(middle @ self._counts[used]) / self.count / 1e3

    @property
    def max_ms(self) -> float:
        """0 of nothing."""
        return self.percentiles_ms([1.0])[0]

    def percentile_ms(self, share: float) -> float:
        """The least value that so many of all (0 to 1) are not above; 0 of nothing."""
        return self.percentiles_ms([share])[0]

    def percentiles_ms(self, shares: Sequence[float]) -> list[float]:
        """The same of several."""
        if not self.count:
            return [0.0] * len(shares)
        upto = np.cumsum(self._counts, dtype=np.int64)
        # 1e-9: a share such as 0.9 times 10 is no more than 9
        wanted = np.maximum(np.ceil(np.asarray(shares) * self.count - 1e-9), 1)
        return [float(value) / 1e3 for value in _highest(np.searchsorted(upto, wanted))]

    def count_upto_ms(self, ms: float) -> int:
        """Of the values that are not above that; those of its own bucket are among them."""
        value = min(int(ms * 1e3), MOST_US)
        return int(self._counts[: int(_places(np.array([value], np.int64))[0]) + 1].sum()) if value > 0 else 0

    def summary_ms(self) -> dict[str, float]:
        """mean, p50, p90, p99, p99.9 and max; of nothing, empty."""
        if not self.count:
            return {}
        percentiles = self.percentiles_ms(tuple(_SUMMARY.values()))
        return {
            "mean": self.mean_ms,
            **dict(zip(_SUMMARY, percentiles, strict=True)),
            "max": self.max_ms,
        }

    def distribution(self) -> Distribution:
        """The latency that a share of calls had at most, for an axis of nines; up to the last call."""
        if not self.count:
            return []
        # Past it, each share would be the greatest value again.
        told = [share for share in _NINES if (1.0 - share) * self.count >= 1.0 or share == 0.0]
        told += [share for share in _NINES[len(told) : len(told) + 1]]
        return list(zip(told, self.percentiles_ms(told), strict=True))

    def _count(self, counts: NDArray[np.uint64], least: int, greatest: int) -> None:
        self._counts[: len(counts)] += counts
        hdr = self._hdr
        hdr.total_count += int(counts.sum())
        hdr.min_value = min(hdr.min_value, least)
        hdr.max_value = max(hdr.max_value, greatest)


def _places(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """In the array of counts: 2048 values one by one, and from there 1024 for each power of two."""
    powers = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    buckets = np.maximum(powers - _MAGNITUDE, 0)
    places: NDArray[np.int64] = ((buckets + 1) << (_MAGNITUDE - 1)) + (values >> buckets) - _HALF
    return places


def _lowest(places: NDArray[np.integer]) -> NDArray[np.int64]:
    """The least value that is counted there."""
    places = places.astype(np.int64)
    buckets = np.maximum((places >> (_MAGNITUDE - 1)) - 1, 0)
    least: NDArray[np.int64] = (places - (buckets << (_MAGNITUDE - 1))) << buckets
    return least


def _highest(places: NDArray[np.integer]) -> NDArray[np.int64]:
    """The greatest value that is counted there."""
    places = places.astype(np.int64)
    buckets = np.maximum((places >> (_MAGNITUDE - 1)) - 1, 0)
    greatest: NDArray[np.int64] = _lowest(places) + (np.int64(1) << buckets) - 1
    return greatest
