from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from hotgraph_server.models.shadow_figures import ShadowFigures, Told, compare
from hotgraph_server.tensors import Array


def floats(*values: float) -> Array:
    return np.array(values, np.float32).reshape(-1, 1)


def test_answers_within_the_tolerance_are_the_same() -> None:
    found = compare(["y"], [floats(1.0, 2.0)], [floats(1.00001, 2.0)], 1e-4)
    assert found.difference is None
    assert 0 < found.largest < 1e-4


def test_difference_says_which_output_and_by_how_much() -> None:
    found = compare(["a", "b"], [floats(1), floats(2)], [floats(1), floats(3)], 1e-4)
    assert found.difference == "output 'b' differs by 0.333 of the largest number"
    assert found.largest == pytest.approx(1 / 3)


def test_large_row_hides_no_change_of_a_small_one() -> None:
    assert compare(["y"], [floats(1e6, 1.0)], [floats(1e6, 2.0)], 1e-4).difference is not None


def test_what_is_no_float_must_be_the_same() -> None:
    one, other = np.array([b"cat"], object), np.array([b"dog"], object)
    assert compare(["y"], [one], [one.copy()], 1.0).difference is None
    assert compare(["y"], [one], [other], 1.0).difference == "output 'y' differs"
    assert compare(["y"], [np.array([3])], [np.array([4])], 1.0).difference == "output 'y' differs"


def test_other_shape_or_type_differs() -> None:
    assert "[1, 1] and float32[2, 1]" in str(compare(["y"], [floats(1)], [floats(1, 1)], 1.0).difference)
    wide = floats(1).astype(np.float64)
    assert "float32" in str(compare(["y"], [floats(1)], [wide], 1.0).difference)


def test_no_number_where_there_was_one_differs() -> None:
    assert compare(["y"], [floats(1)], [floats(math.nan)], 0.5).difference is not None
    assert compare(["y"], [floats(math.nan)], [floats(math.nan)], 0.5).difference is None


ARRAYS = of_numpy.arrays(
    st.sampled_from([np.float32, np.float64, np.int32]), of_numpy.array_shapes(max_dims=2, max_side=4)
)


@given(ARRAYS, ARRAYS, st.floats(0, 1))
def test_whatever_two_versions_answer_can_be_compared(one: Array, other: Array, tolerance: float) -> None:
    with np.errstate(all="ignore"):
        found = compare(["y"], [one], [other], tolerance)
        assert math.isfinite(found.largest)
        assert compare(["y"], [one], [one.copy()], tolerance).difference is None


def test_figures_count_and_keep_the_last_reason() -> None:
    figures = ShadowFigures(of=1, tolerance=1e-4)
    figures.answered(compare(["y"], [floats(1)], [floats(2)], 1e-4), 2.0)
    figures.answered(compare(["y"], [floats(1)], [floats(1)], 1e-4), 4.0)
    figures.answered(compare(["y"], [floats(1)], [floats(1)], 1e-4), None)
    figures.failed("it broke")
    figures.dropped()
    assert figures.told() == Told(3, 1, 1, 1, 3.0, 0.5, "it broke")


def test_nothing_is_known_of_the_time_before_a_run_was_compared() -> None:
    assert ShadowFigures(of=1, tolerance=0.0).told() == Told()
