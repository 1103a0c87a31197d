"""datatypes.py"""

from __future__ import annotations

import numpy as np
import pytest

from hotgraph_client.loadtest.dialects import datatypes
from hotgraph_protos import tensorflow_serving_calls as tfs

from .samples import COMPLEX, SAMPLES


@pytest.mark.parametrize("datatype", [*SAMPLES, *COMPLEX])
def test_name_dtype_and_number_lead_to_each_other(datatype: str) -> None:
    dtype = datatypes.dtype_of(datatype)
    assert datatypes.datatype_of(dtype) == datatype
    assert datatypes.datatype_of_number(datatypes.number_of(datatype)) == datatype
    assert {**SAMPLES, **COMPLEX}[datatype].dtype == dtype


def test_numbers_are_those_of_tensorflow() -> None:
    assert datatypes.number_of("FP32") == tfs.DT_FLOAT == 1
    assert datatypes.number_of("BYTES") == tfs.DT_STRING == 7
    assert datatypes.number_of("FP16") == tfs.DT_HALF == 19


def test_what_no_client_sends_keeps_tensorflows_name() -> None:
    assert datatypes.datatype_of_number(20) == "DT_RESOURCE"
    assert datatypes.datatype_of_number(101) == "DT_101"
    assert datatypes.datatype_of(np.dtype("datetime64[s]")) is None
    with pytest.raises(ValueError, match="DT_RESOURCE"):
        datatypes.dtype_of("DT_RESOURCE")
    with pytest.raises(ValueError, match="no datatype 'DT_101'"):
        datatypes.number_of("DT_101")
