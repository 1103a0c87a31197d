from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.tensors import STRING, dtype_of, number_of, tensorflow_name

from ..saved_models import DTYPES


@pytest.mark.parametrize("name", DTYPES)
def test_table_agrees_with_tensorflow(name: str) -> None:
    import tensorflow as tf

    theirs = tf.as_dtype(name)
    dtype = dtype_of(theirs.as_datatype_enum)
    assert dtype == (STRING if name == "string" else theirs.as_numpy_dtype)
    assert dtype is not None
    assert number_of(dtype) == theirs.as_datatype_enum


def test_every_dtype_of_tensorflow_that_no_call_can_carry_is_unknown() -> None:
    """Resources, variants, quantised and packed types; 0 is what some exports leave."""
    from tensorflow.core.framework import types_pb2

    known = {number for number in types_pb2.DataType.values() if dtype_of(number) is not None}
    assert len([number for number in known if number < types_pb2.DT_FLOAT_REF]) == len(DTYPES)
    for name in ("INVALID", "RESOURCE", "VARIANT", "QINT8", "QUINT8", "QINT32"):
        assert dtype_of(types_pb2.DataType.Value(f"DT_{name}")) is None


@pytest.mark.parametrize("name", DTYPES)
def test_reference_is_known_as_what_it_refers_to(name: str) -> None:
    import tensorflow as tf

    number = tf.as_dtype(name).as_datatype_enum
    assert dtype_of(tf.as_dtype(f"{name}_ref").as_datatype_enum) == dtype_of(number)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (np.dtype(np.float32), "float"),
        (np.dtype(np.float64), "double"),
        (np.dtype(np.int64), "int64"),
        (np.dtype(np.bool_), "bool"),
        (STRING, "string"),
    ],
)
def test_names_are_those_of_tensorflows_own_messages(dtype: np.dtype[np.generic], name: str) -> None:
    assert tensorflow_name(dtype) == name
