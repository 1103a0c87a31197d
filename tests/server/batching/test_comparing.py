from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hotgraph_server.batching.comparing import alike, alike_by_row, excused, is_extreme, scale_of
from hotgraph_server.errors import RunFailed
from hotgraph_server.tensors import Array

FLOATS = arrays.arrays(np.float32, (3, 4), elements=st.floats(width=32))


@given(FLOATS)
def test_every_answer_is_like_itself_numbers_or_not(answer: Array) -> None:
    assert alike(answer, answer.copy())
    assert alike_by_row(answer, answer.copy()) == [True] * 3


@given(FLOATS, st.integers(0, 2))
def test_row_that_changes_is_found_whatever_is_beside_it(answer: Array, row: int) -> None:
    changed = answer.copy()
    changed[row] = 7.0
    answer[row] = 5.0
    found = alike_by_row(changed, answer)
    assert [index for index in range(3) if not found[index]] == [row]


def test_large_neighbour_hides_no_difference() -> None:
    answer = np.array([[1.0], [1e30], [3.0]])
    changed = np.array([[1.5], [1e30], [3.0]])
    assert alike(changed, answer)
    assert alike_by_row(changed, answer) == [False, True, True]


def test_number_that_is_next_to_nothing_by_chance_may_differ_as_its_neighbours_may() -> None:
    answer = np.array([[1.0], [1e-8], [3.0]])
    changed = np.array([[1.0], [1.1e-7], [3.0]])
    assert alike_by_row(changed, answer) == [True, False, True]
    assert alike_by_row(changed, answer, usual=1.0) == [True] * 3


def test_what_one_thread_takes_for_zero_is_zero() -> None:
    assert alike(np.array([1e-39], np.float32), np.array([0], np.float32))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.complex64])
def test_extreme_is_what_rounding_may_make_anything_of(dtype: type) -> None:
    for value in (0, 1, 0.01, 20):
        assert not is_extreme([np.full(3, value, dtype)])
    for value in (np.nan, np.inf):
        assert is_extreme([np.array([1, value], dtype)])
    assert not is_extreme([np.array([b"nan"], object), np.array([2**62])])


def test_numbers_whose_squares_overflow_are_extreme() -> None:
    assert is_extreme([np.array([1e30], np.float32)])
    assert is_extreme([np.array([1e-30], np.float32)])
    assert not is_extreme([np.array([1e10], np.float32)])
    assert is_extreme([np.array([1e3], np.float16)])


def excuse(compute: object, x: float, other: float, *, odd: bool = True) -> bool:
    def run(inputs: Sequence[Array]) -> list[Array]:
        return [compute(inputs[0])]  # type: ignore[operator]

    inputs = [np.array([x], np.float32)]
    return excused(run(inputs), [np.array([other], np.float32)], inputs, run, odd=odd)


def test_rounding_excuses_what_the_last_digits_of_the_input_decide() -> None:
    assert excuse(np.sin, 1e10, 0.3)
    assert not excuse(np.sin, 1.0, 0.3)
    assert not excuse(lambda x: x * 2, 1e10, 3e10)


def test_rounding_excuses_anything_of_extreme_inputs_that_were_made_so() -> None:
    with np.errstate(all="ignore"):
        assert excuse(lambda x: x * x, 1e30, 4.0)
        assert excuse(lambda x: np.exp(x) - np.exp(x), 100.0, 4.0)
        assert not excuse(lambda x: np.exp(x) - np.exp(x), 100.0, 4.0, odd=False)


def test_rounding_excuses_no_dice() -> None:
    random = np.random.default_rng(1)
    assert not excuse(lambda x: x + random.standard_normal(1).astype(np.float32), 1.0, 2.0)


def test_rounding_excuses_a_tie_of_classes_and_no_other_class() -> None:
    def argmax(inputs: Sequence[Array]) -> list[Array]:
        return [np.argmax(inputs[0], axis=1)]

    tie, clear = [np.ones((1, 2), np.float32)], [np.array([[0, 1]], np.float32)]
    assert excused([np.array([0])], [np.array([1])], tie, argmax, odd=True)
    assert not excused([np.array([1])], [np.array([0])], clear, argmax, odd=True)


def test_texts_and_integers_have_no_last_digits() -> None:
    one = [np.array([0.5], np.float32)]
    assert not excused(
        one, [np.array([0.6], np.float32)], [np.array([b"a"], object)], lambda _: one, odd=True
    )


def test_input_whose_neighbourhood_fails_is_not_excused() -> None:
    def run(_: Sequence[Array]) -> list[Array]:
        raise RunFailed(3, "no")

    one = [np.array([0.5], np.float32)]
    assert not excused(one, [np.array([0.6], np.float32)], one, run, odd=True)


@pytest.mark.parametrize(
    "other",
    [np.zeros((2, 1), np.float32), np.zeros(2, np.float64), np.array([b"", b""], object)],
    ids=["shape", "dtype", "strings"],
)
def test_answers_of_other_shapes_or_dtypes_are_never_the_same(other: Array) -> None:
    one = np.zeros(2, np.float32)
    assert not alike(one, other)
    assert alike_by_row(one, other) == [False, False]


def test_what_are_no_floats_must_be_equal_and_have_no_scale() -> None:
    texts, numbers = np.array([b"a", b"b"], object), np.array([1, 2])
    assert alike(texts, texts.copy())
    assert not alike(texts, np.array([b"a", b"c"], object))
    assert alike(numbers, numbers.copy())
    assert not alike(numbers, numbers + 1)
    assert (scale_of(texts), scale_of(np.array([1.0, -3.0, np.inf]))) == (0.0, 3.0)


@pytest.mark.parametrize("other", [2 + 1j, 1 + 2j], ids=["real", "imaginary"])
def test_complex_answers_are_the_same_only_in_both_parts(other: complex) -> None:
    one = np.array([1 + 1j], np.complex64)
    assert alike(one, one.copy())
    assert not alike(one, np.array([other], np.complex64))
    assert scale_of(np.array([3 + 4j], np.complex64)) == 5.0


def test_answer_of_another_shape_is_excused_by_no_rounding() -> None:
    inputs = [np.ones((1, 2), np.float32)]
    shapes = iter([(1, 2), (1, 3), (1, 3)])
    changing = [np.zeros((1, 2), np.float32)]
    assert not excused(
        changing,
        [np.ones((1, 2), np.float32)],
        inputs,
        lambda _: [np.zeros(next(shapes), np.float32)],
        odd=False,
    )
