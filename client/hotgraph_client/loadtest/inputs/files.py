"""Arrays from .npy and .npz files; files of numpy are never unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hotgraph_protos.tensors import Array

from .items import InputError

_PICKLED = "it has objects of Python, which are not loaded; save strings with dtype U or S"


def read_npy(path: Path) -> Array:
    """The array of a .npy file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise InputError(f"{path}: expected one array; its name should end in .npz")
    return loaded


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of a .npz file, by their names.

    Raises:
        InputError: it cannot be read, or is none.
    """
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        raise InputError(f"{path}: expected arrays with names; its name should end in .npy")
    return dict(loaded)


def _load(path: Path) -> Array | Mapping[str, Array]:
    try:
        # numpy leaves a file open that it has opened itself, if it is no archive
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                return {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except Exception as error:
        # of any kind: a header is an expression of Python, and numpy passes on what its parser and zlib raise
        why = _PICKLED if "pickle" in str(error) and _is_numpys(path) else error
        if "pickle" in str(why):
            why = "it does not begin as one"
        raise InputError(f"{path} is no plain numpy file: {why}") from None


def _is_numpys(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith((b"\x93NUMPY", b"PK"))
