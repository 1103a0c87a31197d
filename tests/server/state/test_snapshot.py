from __future__ import annotations

import hashlib
import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hotgraph_server.state.snapshot import MAGIC, Damaged, Header, Snapshot, decode, encode

DTYPES = st.sampled_from(
    [np.float32, np.float64, np.int8, np.int64, np.uint16, np.bool_, np.complex64, np.float16]
)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
TEXTS = st.lists(st.binary(max_size=5), max_size=5)
HEADER = Header("m", 3, "0a", 7, 1.5)


def written(snapshot: Snapshot) -> bytes:
    return b"".join(bytes(piece) for piece in encode(snapshot))


def strings(*texts: bytes) -> Any:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


VALUES = st.dictionaries(
    st.text(max_size=8), DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)), max_size=4
)


@given(VALUES, TEXTS)
def test_what_was_written_is_read_bit_for_bit(values: dict[str, Any], texts: list[bytes]) -> None:
    values["texts"] = strings(*texts)
    values["brain"] = np.array([1.5, -2], ml_dtypes.bfloat16)
    read = decode(written(Snapshot(HEADER, values)))
    assert read.header == HEADER
    assert list(read.values) == list(values)
    for name, array in values.items():
        assert (read.values[name].dtype, read.values[name].shape) == (array.dtype, array.shape)
        assert read.values[name].tolist() == array.tolist() or read.values[name].tobytes() == array.tobytes()


def test_array_that_is_no_piece_of_memory_is_written_as_what_it_shows() -> None:
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    read = decode(written(Snapshot(HEADER, {"turned": turned}))).values["turned"]
    np.testing.assert_array_equal(read, turned)


def test_every_cut_and_every_changed_bit_is_seen() -> None:
    data = written(Snapshot(HEADER, {"x": np.arange(3), "t": strings(b"a", b"")}))
    for end in range(len(data)):
        with pytest.raises(Damaged):
            decode(data[:end])
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(Damaged):
            decode(bytes(changed))
    with pytest.raises(Damaged):
        decode(data + b"\0")


@given(st.binary(max_size=200))
def test_garbage_is_damaged_and_nothing_else(data: bytes) -> None:
    for one in (data, MAGIC + data):
        with pytest.raises(Damaged):
            decode(one)


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
VARIABLE = st.fixed_dictionaries(
    {"name": JSON, "dtype": st.sampled_from(["float32", "string", "O", "?!"]) | JSON, "shape": JSON}
)


@pytest.mark.parametrize("dtype", [",float16", "(1,", "f4,f8", "2f4", "{}", "a b", None, ["f4"], {"f": "f4"}])
def test_dtype_that_is_more_than_a_name_is_damage(dtype: Any) -> None:
    # numpy would read some of these with Python's own parser, and raise what that raises.
    said = {"name": "v", "dtype": dtype, "shape": [0]}
    header = json.dumps(
        {"model": "m", "version": 1, "identity": "", "writes": 1, "taken_at": 0, "variables": [said]}
    ).encode()
    body = MAGIC + len(header).to_bytes(4, "little") + header
    with pytest.raises(Damaged, match="a dtype of"):
        decode(body + hashlib.blake2b(body, digest_size=32).digest())


@given(st.fixed_dictionaries({"writes": JSON, "variables": st.lists(VARIABLE, max_size=2) | JSON}))
def test_header_of_somebody_else_whose_checksum_holds_is_damaged_too(said: dict[str, Any]) -> None:
    header = json.dumps({"model": "m", "version": 1, "identity": "", "taken_at": 0, **said}).encode()
    body = MAGIC + len(header).to_bytes(4, "little") + header
    data = body + hashlib.blake2b(body, digest_size=32).digest()
    try:
        decode(data)
    except Damaged:
        return
