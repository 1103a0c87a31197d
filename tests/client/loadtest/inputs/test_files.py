"""files.py: arrays of numpy's files."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.inputs.files import read_npy, read_npz
from hotgraph_client.loadtest.inputs.items import InputError


def test_arrays_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.array(["text"]))
    assert read_npy(tmp_path / "x.npy").tolist() == [0, 1, 2]
    assert {name: array.tolist() for name, array in read_npz(tmp_path / "x.npz").items()} == {
        "a": [0, 1, 2],
        "b": ["text"],
    }


def test_one_is_not_taken_for_the_other(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    np.savez(tmp_path / "x.npz", a=np.arange(3))
    (tmp_path / "x.npz").rename(tmp_path / "y.npy")
    (tmp_path / "x.npy").rename(tmp_path / "y.npz")
    with pytest.raises(InputError, match=r"should end in \.npz"):
        read_npy(tmp_path / "y.npy")
    with pytest.raises(InputError, match=r"should end in \.npy"):
        read_npz(tmp_path / "y.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="save strings with dtype U or S"):
        read_npy(tmp_path / "x.npy")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_npy(tmp_path / "nix.npy")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrays") / "x.npy"


def saved() -> bytes:
    written = io.BytesIO()
    np.save(written, np.arange(3))
    return written.getvalue()


@given(data=st.binary(max_size=40), at=st.integers(0, 151), byte=st.integers(0, 255))
def test_whatever_a_file_holds_there_is_one_kind_of_error(
    file: Path, data: bytes, at: int, byte: int
) -> None:
    changed = bytearray(saved())
    changed[at] = byte
    for one in (data, b"PK\x03\x04" + data, b"\x93NUMPY\x01\x00" + data, bytes(changed)):
        file.write_bytes(one)
        for read in (read_npy, read_npz):
            with contextlib.suppress(InputError):
                read(file)


def test_error_says_what_kind_of_file_it_is_not(tmp_path: Path) -> None:
    pickled, text = tmp_path / "pickled.npy", tmp_path / "text.npy"
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    text.write_text("hello")
    with pytest.raises(InputError, match="objects of Python"):
        read_npy(pickled)
    with pytest.raises(InputError, match="does not begin as one"):
        read_npy(text)
