from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.models.reshaping import fits, matches, reshaped


@pytest.mark.parametrize(
    ("dims", "reshape", "fit"),
    [
        ([1], [], True),
        ([], [1, 1], True),
        ([4], [2, 2], True),
        ([4], [2, 3], False),
        ([-1], [-1], True),
        ([-1], [1, -1], True),
        ([-1, 4], [-1, 2, 2], True),
        ([-1, 4], [2, -1, 2], False),
        ([-1], [], False),
        ([-1], [-1, -1], False),
        ([2, -1, 3, -1], [2, -1, 3, 1, -1], True),
    ],
)
def test_shapes_fit_where_each_part_has_as_many_elements(
    dims: list[int], reshape: list[int], fit: bool
) -> None:
    assert fits(dims, reshape) is fits(reshape, dims) is fit


@pytest.mark.parametrize(
    ("shape", "given_", "wanted", "batched", "expected"),
    [
        ((5, 1), [1], [], True, (5,)),
        ((5,), [], [1], True, (5, 1)),
        ((1,), [1], [], False, ()),
        ((5, 7, 4), [-1, 4], [-1, 2, 2], True, (5, 7, 2, 2)),
        ((7, 2, 9), [-1, 2, -1], [1, -1, 2, -1], False, (1, 7, 2, 9)),
    ],
)
def test_free_sizes_keep_their_order(
    shape: tuple[int, ...], given_: list[int], wanted: list[int], batched: bool, expected: tuple[int, ...]
) -> None:
    assert reshaped(shape, given_, wanted, batched=batched) == expected
    assert reshaped(expected, wanted, given_, batched=batched) == shape


@pytest.mark.parametrize(
    ("shape", "dims", "batched"),
    [((), [], True), ((3,), [3], True), ((2, 3), [3], False), ((4,), [3], False)],
)
def test_other_shapes_are_refused(shape: tuple[int, ...], dims: list[int], batched: bool) -> None:
    with pytest.raises(ValueError, match="expected shape"):
        reshaped(shape, dims, dims, batched=batched)


@st.composite
def fitting(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Two shapes that fit: the parts between free sizes as they are, as one size, or with ones between."""
    dims: list[int] = []
    reshape: list[int] = []
    for index in range(draw(st.integers(1, 3))):
        part = draw(st.lists(st.integers(1, 4), max_size=3))
        whole = math.prod(part)
        other = draw(
            st.sampled_from([part, [whole], [1, whole], [one for size in part for one in (size, 1)]])
        )
        dims += [*([-1] if index else []), *part]
        reshape += [*([-1] if index else []), *other]
    return dims, reshape


@given(fitting(), st.integers(0, 5), st.data())
def test_any_shape_that_fits_goes_there_and_back(
    shapes: tuple[list[int], list[int]], rows: int, data: st.DataObject
) -> None:
    dims, reshape = shapes
    assert fits(dims, reshape)
    inner = [size if size > 0 else data.draw(st.integers(0, 6)) for size in dims]
    assert matches(inner, dims)
    there = reshaped((rows, *inner), dims, reshape, batched=True)
    assert math.prod(there) == rows * math.prod(inner)
    assert reshaped(there, reshape, dims, batched=True) == (rows, *inner)
