"""loadtest/histograms.py: the package's own recording is what ours is judged by."""

from __future__ import annotations

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.histograms import MOST_US, Histogram

VALUES = st.lists(st.integers(1, MOST_US) | st.integers(1, 5000), max_size=60)


def theirs(values: list[int]) -> HdrHistogram:
    histogram = HdrHistogram(1, MOST_US, 3)
    for value in values:
        assert histogram.record_value(value)
    return histogram


@given(VALUES)
def test_records_as_the_package_does(values: list[int]) -> None:
    assert Histogram.of(values).encode() == (theirs(values).encode() if values else b"")


@given(VALUES, st.floats(0.001, 1.0))
def test_percentile_is_at_most_a_thousandth_above_the_value_that_it_stands_for(
    values: list[int], share: float
) -> None:
    told_us = Histogram.of(values).percentile_ms(share) * 1e3
    if not values:
        assert told_us == 0.0
        return
    place = max(int(np.ceil(share * len(values) - 1e-9)), 1)
    exact = sorted(values)[place - 1]
    assert exact <= told_us + 1e-6
    assert told_us <= exact * 1.001 + 1e-6


@given(VALUES, VALUES)
def test_sum_of_two_is_the_histogram_of_both(one: list[int], other: list[int]) -> None:
    both = Histogram.of(one + other)
    assert (
        Histogram.merged([Histogram.of(one).encode(), Histogram.of(other).encode()]).encode() == both.encode()
    )
    added = Histogram.of(one)
    added.add(Histogram.of(other))
    assert added.encode() == both.encode()
    assert added.count == len(one) + len(other)


@given(VALUES)
def test_what_was_encoded_is_read_again(values: list[int]) -> None:
    histogram = Histogram.decode(Histogram.of(values).encode())
    assert histogram.encode() == Histogram.of(values).encode()
    assert histogram.count == len(values)


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: b"HISTFAAA" + text.encode()))
def test_what_is_no_histogram_raises_one_error(garbage: bytes) -> None:
    if garbage:
        with pytest.raises(ValueError, match="HdrHistogram"):
            Histogram.decode(garbage)


def test_histogram_of_other_digits_is_not_added() -> None:
    other = HdrHistogram(1, MOST_US, 2)
    other.record_value(5)
    with pytest.raises(ValueError, match="2 digits"):
        Histogram().add_encoded(other.encode())


def test_values_outside_the_bounds_count_as_the_bounds() -> None:
    histogram = Histogram.of([-5, 0, 10 * MOST_US])
    assert histogram.count == 3
    assert histogram.percentile_ms(0.5) == 0.001
    assert histogram.max_ms == pytest.approx(MOST_US / 1e3, rel=0.001)


def test_summary_has_the_keys_of_the_document() -> None:
    summary = Histogram.of(range(1, 1001)).summary_ms()
    assert summary == {
        "mean": 0.5005,
        "p50": 0.5,
        "p90": 0.9,
        "p99": 0.99,
        "p99.9": 0.999,
        "max": 1.0,
    }
    assert Histogram().summary_ms() == {}


def test_mean_weighs_by_counts() -> None:
    assert Histogram.of([100] * 3 + [500]).mean_ms == 0.2
    assert Histogram().mean_ms == 0.0


def test_distribution_goes_on_to_the_last_call_and_no_further() -> None:
    points = Histogram.of(range(1, 1001)).distribution()
    shares = [share for share, _ in points]
    assert shares == sorted(set(shares))
    assert points[0] == (0.0, 0.001)
    assert dict(points)[0.9] == 0.9
    assert points[-1][0] > 0.999
    assert points[-1][1] == 1.0
    assert points[-2][1] < 1.0
    assert Histogram().distribution() == []
