from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.signatures import Content, Signature, TensorSpec, Values
from hotgraph_server.tensors import STRING
from hotgraph_server.warmup.adversarial import MAX_ROWS, Row, adversarial_rows, odd_texts
from hotgraph_server.warmup.synthetic_inputs import Kind

from ..fakes import FLOAT32, signature
from .test_batch_safety import ALL_DTYPES

KIND = Kind(8, 100)


def of(dtype: np.dtype[Any], values: Values | None = None, **inputs: Any) -> Signature:
    specs = tuple(
        TensorSpec(alias, f"{alias}:0", dtype, shape) for alias, shape in (inputs or {"x": (None, 3)}).items()
    )
    return Signature("s", specs, (TensorSpec("y", "y:0", FLOAT32, (None,)),), values=values or Values())


def odd(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.odd]


@pytest.mark.parametrize("kind", ALL_DTYPES, ids=lambda kind: np.dtype(kind).name)
def test_rows_of_every_dtype_are_single_rows_of_it(kind: type) -> None:
    dtype = np.dtype(kind)
    rows = adversarial_rows(of(dtype), KIND)
    assert 3 < len(rows) <= MAX_ROWS
    assert [row.odd for row in rows[:4]] == [False, False, False, True]
    for row in rows:
        assert (row.inputs[0].dtype, row.inputs[0].shape) == (dtype, (1, 3))


def test_floats_are_of_all_scales_and_some_are_no_numbers() -> None:
    arrays = [row.inputs[0] for row in adversarial_rows(of(FLOAT32), KIND)]
    sizes = {float(np.abs(array).max()) for array in arrays if np.isfinite(array).all()}
    assert min(sizes - {0.0}) < 1e-29
    assert max(sizes) > 1e29
    assert 0.0 in sizes
    nan = [int(np.isnan(array).sum()) for array in arrays]
    assert {1, 3} <= set(nan)
    assert any(np.isposinf(array).any() for array in arrays)
    assert any(np.isneginf(array).all() for array in arrays)


def test_integers_are_at_the_bounds_of_the_graph_and_where_there_might_be_one() -> None:
    rows = adversarial_rows(of(np.dtype(np.int64), Values(numbers=(30522.0,))), KIND)
    largest = {int(row.inputs[0].flat[0]) for row in odd(rows)}
    assert {30521, 30522, 30523, 0, -1, 5001, 50_000, 1_000_000} <= largest


def test_thresholds_of_the_graph_are_exceeded() -> None:
    rows = adversarial_rows(of(FLOAT32, Values(numbers=(123_456.0,))), KIND)
    assert any(123_456 < row.inputs[0].max() < 250_000 for row in rows)


def test_texts_are_of_several_scripts_and_lengths_and_of_the_vocabulary() -> None:
    texts = odd_texts(Values(texts=(b"amber", b"birch", b"coral")))
    whole = b"\n".join(texts).decode(errors="replace")
    for letter in "\u6771\ud55c\u041f\u03ba\u0645\u0928\u05e9\U0001f600\u0301":
        assert letter in whole
    lengths = {len(text) for text in texts}
    assert {0, 1} <= lengths
    assert max(lengths) >= 1800
    assert any(b"amber" in text and b"birch" in text for text in texts)
    assert b"amber" in texts


def test_numerals_stay_numerals() -> None:
    rows = adversarial_rows(of(STRING, x=(None,)), Kind(8, 100, numerals=True))
    assert {row.inputs[0][0] for row in odd(rows)} >= {b"0", b"nan", b"1e30"}


def test_strings_of_a_known_kind_are_of_it() -> None:
    one = signature(inputs={"x": (None,)}, dtype=STRING)
    contents = {"x": Content("PNG images", (b"one", b"two"), (b"odd",))}
    rows = adversarial_rows(Signature("s", one.inputs, one.outputs, contents=contents), KIND)
    assert {row.inputs[0][0] for row in odd(rows)} == {b"one", b"two", b"odd"}


def test_inputs_without_rows_are_the_same_in_all_rows() -> None:
    rows = adversarial_rows(of(FLOAT32, x=(None, 2), factor=()), KIND)
    assert len({float(row.inputs[1]) for row in rows}) == 1


def test_of_several_inputs_each_is_odd_by_itself_too() -> None:
    rows = adversarial_rows(of(FLOAT32, a=(None, 2), b=(None, 2)), KIND)
    usual = {index: rows[-1].inputs[index].tobytes() for index in range(2)}
    alone = [[array.tobytes() == usual[i] for i, array in enumerate(row.inputs)] for row in odd(rows)]
    assert [False, False] in alone
    assert [True, False] in alone or [False, True] in alone


@given(st.integers(1, 60))
def test_many_inputs_make_no_more_rows(count: int) -> None:
    rows = adversarial_rows(of(FLOAT32, None, **{f"x{index}": (None, 1) for index in range(count)}), KIND)
    assert len(rows) <= MAX_ROWS


@given(st.floats(width=32), st.floats(width=32))
def test_magnitude_is_that_of_the_largest_and_infinite_of_what_is_no_number(a: float, b: float) -> None:
    from hotgraph_server.warmup.adversarial import magnitude

    found = magnitude([np.array([a]), np.array([b]), np.array([b"text"], object)])
    assert found == (max(abs(a), abs(b)) if np.isfinite([a, b]).all() else np.inf)
