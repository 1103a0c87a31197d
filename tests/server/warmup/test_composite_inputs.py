from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hotgraph_server.signatures import Part, Role, Shape, Signature, TensorSpec
from hotgraph_server.warmup.synthetic_inputs import Kind, generate, sizes

INT64, FLOAT32 = np.dtype(np.int64), np.dtype(np.float32)


def sparse(shape: Shape | None) -> Signature:
    def part(role: Role, dtype: np.dtype[np.generic], *size: int | None) -> TensorSpec:
        return TensorSpec(f"x/{role}", f"{role}:0", dtype, size, Part("x", role, shape=shape))

    rank = None if shape is None else len(shape)
    return Signature(
        "s",
        (
            part("dense_shape", INT64, rank),
            part("indices", INT64, None, rank),
            part("values", FLOAT32, None),
        ),
        (),
    )


def ragged(*levels: int, dtype: np.dtype[np.generic] = INT64) -> Signature:
    """With its splits in the order of these levels."""
    splits = [
        TensorSpec(f"x_{level}", f"x_{level}:0", dtype, (None,), Part("x", "row_splits", level))
        for level in levels
    ]
    values = TensorSpec("x", "x:0", FLOAT32, (None, 3), Part("x", "flat_values"))
    return Signature("s", (*splits, values, TensorSpec("z", "z:0", FLOAT32, (None,))), ())


@pytest.mark.parametrize(
    "shape", [(None, 5), (None, None), (None,), (None, 2, 3), (2, 2**40), (None, 0), None]
)
@pytest.mark.parametrize("rows", [1, 3])
def test_indices_rise_and_lie_in_the_dense_shape_and_each_has_its_value(
    shape: Shape | None, rows: int
) -> None:
    for seed in range(10):
        dense_shape, indices, values = generate(sparse(shape), rows, Kind(8, 1000), seed=seed)
        assert (indices.dtype, dense_shape.dtype) == (INT64, INT64)
        assert indices.shape == (len(values), len(dense_shape))
        assert (indices >= 0).all()
        assert (indices < dense_shape).all()
        places = [tuple(index) for index in indices.tolist()]
        assert places == sorted(set(places))
        for size, known in zip(dense_shape.tolist(), shape or (), strict=shape is not None):
            assert known in (None, size)
        if shape is not None and shape[0] is None:
            assert dense_shape[0] == rows
        if 0 not in dense_shape:
            assert set(indices[:, 0].tolist()) == set(range(dense_shape[0]))


@pytest.mark.parametrize("dtype", [INT64, np.dtype(np.int32)])
@pytest.mark.parametrize("levels", [(0,), (0, 1), (1, 0), (2, 0, 1)])
def test_each_level_of_row_splits_ends_where_the_next_one_does(
    levels: tuple[int, ...], dtype: np.dtype[np.generic]
) -> None:
    for seed in range(10):
        *splits, values, z = generate(ragged(*levels, dtype=dtype), 3, Kind(8, 1000), seed=seed)
        count = 3
        for _, split in sorted(zip(levels, splits, strict=True), key=lambda numbered: numbered[0]):
            assert split.dtype == dtype
            assert (split[0], len(split)) == (0, count + 1)
            assert (np.diff(split) > 0).all()
            count = split[-1]
        assert values.shape == (count, 3)
        assert z.shape == (3,)


def test_free_sizes_of_a_sparse_tensor_are_tried_though_no_part_has_them() -> None:
    assert sizes(sparse((None, None)), 3) == [8, 32, 224]


def test_inputs_of_a_signature_without_parts_are_what_they_were() -> None:
    plain = Signature("s", (TensorSpec("z", "z:0", FLOAT32, (None, 2)),), ())
    beside = replace(plain, inputs=(*plain.inputs, *sparse((None, 5)).inputs))
    assert len(generate(beside, 3, Kind(8, 1000))) == 4
    expected = np.random.default_rng(20_240_229).standard_normal((3, 2)).astype(np.float32)
    assert generate(plain, 3, Kind(8, 1000))[0].tolist() == expected.tolist()
