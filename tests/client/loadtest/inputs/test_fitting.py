"""fitting.py: given arrays as the model takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.loadtest.inputs.fitting import fitted
from hotgraph_client.loadtest.inputs.items import InputError

from ..dialects.samples import COMPLEX, SAMPLES, assert_same


def tensor(datatype: str, *shape: int) -> TensorMetadata:
    return TensorMetadata("x", datatype, shape)


@pytest.mark.parametrize("datatype", [*SAMPLES, *COMPLEX])
def test_what_fits_stays_as_it_is(datatype: str) -> None:
    array = {**SAMPLES, **COMPLEX}[datatype]
    for shape in ((-1, 2), (2, 2), (-1,), (-1, -1)):
        assert_same(fitted(array, tensor(datatype, *shape), "f"), array)


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([1.0, 2.5]), "FP32"),
        (np.array([1.0, 2.5]), "BF16"),
        (np.array([1, 2]), "UINT8"),
        (np.array([1, 2]), "FP16"),
        (np.array([1.0, 2.5]), "COMPLEX64"),
        (np.array([1.0, 2.5], ">f8"), "FP64"),
    ],
)
def test_datatypes_change_where_no_value_does(array: Any, datatype: str) -> None:
    found = fitted(array, tensor(datatype, -1), "f")
    assert found.dtype == {**SAMPLES, **COMPLEX}[datatype].dtype
    assert found.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([0.1]), "FP32"),
        (np.array([300]), "UINT8"),
        (np.array([1.0]), "INT32"),
        (np.array(["1"]), "INT32"),
        (np.array([1]), "BYTES"),
        (np.array([1]), "BOOL"),
        (np.array([1j]), "FP32"),
        (np.zeros(1, "datetime64[s]"), "INT64"),
        (np.array([None]), "BYTES"),
    ],
)
def test_a_change_of_values_is_refused_and_names_the_file(array: Any, datatype: str) -> None:
    with pytest.raises(InputError, match=r"^file\.npy: "):
        fitted(array, tensor(datatype, -1), "file.npy")


def test_a_row_without_rows_becomes_one() -> None:
    assert fitted(np.zeros((4, 3), np.float32), tensor("FP32", -1, 4, 3), "f").shape == (1, 4, 3)
    assert fitted(np.array(1, np.float32), tensor("FP32", -1), "f").shape == ()
    # what fits as it is stays so
    assert fitted(np.zeros((4, 3), np.float32), tensor("FP32", -1, 3), "f").shape == (4, 3)


@pytest.mark.parametrize("shape", [(4, 2), (3,), (1, 1, 4, 3)])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"is not what the input x \(FP32 \[-1, 4, 3\]\) takes"):
        fitted(np.zeros(shape, np.float32), tensor("FP32", -1, 4, 3), "f")


def test_texts_become_bytes() -> None:
    found = fitted(np.array(["na\u00efve", "b"]), tensor("BYTES", -1), "f")
    assert found.tolist() == ["na\u00efve".encode(), b"b"]
