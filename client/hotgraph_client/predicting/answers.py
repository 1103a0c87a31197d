"""What `hotgraph predict` gives: answers as JSON on the screen, or as files.

Bytes in JSON: text where they are UTF-8, else the object {"b64": "..."}, as on the way in.
"""

from __future__ import annotations

import base64
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_protos.tensors import Array

from ..images import Scale, png_of, scale_of
from .labels import Best

# how much of each dimension is printed
_SHOWN = 10


def to_json(answer: Mapping[str, Array | Best], *, full: bool) -> str:
    """The answer as one JSON object, a line for each output.

    Args:
        full: every element; otherwise the first ten of each dimension and how many follow.
    """
    lines = (f"  {json.dumps(name)}: {_json(value, full)}" for name, value in answer.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def _json(value: Array | Best, full: bool) -> str:
    if not isinstance(value, Best):
        return json.dumps(_plain(value, full), ensure_ascii=False)
    shown = value.rows if full else value.rows[:_SHOWN]
    rows = [json.dumps(row, ensure_ascii=False) for row in shown]
    if len(shown) < len(value.rows):
        rows.append(json.dumps(f"... {len(value.rows) - len(shown)} more"))
    return "[\n    " + ",\n    ".join(rows) + "\n  ]"


def _plain(array: Array, full: bool) -> Any:
    if array.ndim == 0:
        return _plain_element(array[()])
    shown = len(array) if full or len(array) <= _SHOWN else _SHOWN
    elements = [_plain(np.asarray(array[index]), full) for index in range(shown)]
    if shown < len(array):
        elements.append(f"... {len(array) - shown} more")
    return elements


def _plain_element(element: Any) -> Any:
    if isinstance(element, bytes):
        try:
            return element.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(element).decode()}
    if isinstance(element, np.ndarray):
        element = element[()]
    if isinstance(element, (np.bool_, np.integer)):
        return element.item()
    # the shortest text that is still this number: 0.1 in FP32, not 0.10000000149011612
    return float(str(element))


def save(answer: Mapping[str, Array], where: Path) -> list[Path]:
    """Write the answer to one .npz, or as one NAME.npy per output into a directory, made if need be.

    Strings are saved as numpy's dtype S, BF16 as float32 (which holds it exactly): files of other dtypes
    could not be read without pickle or without this package.

    Returns:
        The files written.

    Raises:
        ValueError: strings that dtype S cannot hold, or two outputs whose names give one file name.
        OSError: a file cannot be written.
    """
    arrays = {name: _plain_dtype(name, array) for name, array in answer.items()}
    if where.suffix == ".npz":
        where.parent.mkdir(parents=True, exist_ok=True)
        # not numpy.savez, which takes the names as keyword arguments and so cannot have one called "file"
        with zipfile.ZipFile(where, "w") as archive:
            for name, array in arrays.items():
                with archive.open(name + ".npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        return [where]
    # the names come from the server: they must not lead out of the directory
    paths = {name: where / (re.sub(r"[^\w.-]", "_", name).lstrip(".") + ".npy") for name in arrays}
    if len(set(paths.values())) < len(paths):
        raise ValueError(f"outputs {', '.join(arrays)} would share a file: save to FILE.npz instead")
    where.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        np.save(path, arrays[name], allow_pickle=False)
    return list(paths.values())


def save_output(name: str, array: Array, where: Path, scale: Scale | None) -> tuple[list[Path], str]:
    """Write one output to a file: .npy, or .png for an image, a file for each where there are several rows.

    Bytes are written as they are, whatever the ending; an encoded picture is one already.

    Args:
        scale: of the values of floats; None: as they look, which the note says.

    Returns:
        The files written, and a note of what became of the values; empty: nothing did.

    Raises:
        ValueError: it cannot become such a file.
        OSError: a file cannot be written.
    """
    where.parent.mkdir(parents=True, exist_ok=True)
    if where.suffix == ".npy":
        with where.open("wb") as file:
            np.save(file, _plain_dtype(name, array), allow_pickle=False)
        return [where], ""
    if array.dtype == object:
        return _written({path: bytes(one) for path, one in _numbered(where, list(array.ravel()))}), ""
    if where.suffix.lower() != ".png":
        raise ValueError(f"output '{name}' is an array: it becomes .npy or .png, and {where} ends in neither")
    if array.ndim < 3:
        raise ValueError(
            f"output '{name}': an array of shape {list(array.shape)} is no image; .npy takes any"
            " (NAME=out.npy)"
        )
    images = list(array) if array.ndim == 4 or (array.ndim == 3 and not _is_one(array)) else [array]
    floats = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    chosen = scale or (scale_of(array) if floats else "0..255")
    files = {path: png_of(one, chosen, f"output '{name}'") for path, one in _numbered(where, images)}
    said = f"values {float(array.min()):g} to {float(array.max()):g} taken as {chosen}" if floats else ""
    return _written(files), said


def _is_one(array: Array) -> bool:
    return array.shape[-1] in (1, 3, 4) or array.shape[0] in (3, 4)


def _numbered(where: Path, rows: list[Any]) -> list[tuple[Path, Any]]:
    if len(rows) == 1:
        return [(where, rows[0])]
    return [(where.with_name(f"{where.stem}-{number}{where.suffix}"), row) for number, row in enumerate(rows)]


def _written(files: Mapping[Path, bytes]) -> list[Path]:
    for path, data in files.items():
        path.write_bytes(data)
    return list(files)


def _plain_dtype(name: str, array: Array) -> Array:
    if array.dtype == object:
        strings = array.astype("S")
        if not np.array_equal(strings.astype(object), array):
            raise ValueError(
                f"output '{name}' has strings that end in a zero byte, which numpy's files drop: print it"
            )
        return strings
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
