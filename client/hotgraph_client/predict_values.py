"""What `hotgraph predict` takes and gives: inputs from files or JSON, answers as JSON or as files.

Bytes in JSON: text where they are UTF-8, else the object {"b64": "..."}, in both directions. Files of
numpy are never unpickled.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_protos.tensors import Array

_SUFFIXES = (".npy", ".npz", ".json")
_STARTS_INLINE = re.compile(r"""[\[{"\d-]|true\b|false\b""")

# how much of each dimension is printed
_SHOWN = 10


def read_input(text: str) -> tuple[str | None, Any]:
    """The value of one --input as (name, value); the name is None if none is given.

    `text` is [NAME=]FILE or [NAME=]JSON. The value is an array (.npy), a dict of arrays (.npz without a
    name), or what the JSON holds.

    Raises:
        ValueError: neither a file that can be read nor JSON.
    """
    name, equals, rest = text.partition("=")
    # a path may contain "=", and a string in inline JSON too
    if not equals or Path(text).is_file() or _STARTS_INLINE.match(text):
        return None, _read_value(text)
    value = _read_value(rest)
    if isinstance(value, dict):
        if len(value) != 1:
            raise ValueError(
                f"{rest} holds {len(value)} arrays ({', '.join(value)}): give it without '{name}=' to use "
                "their own names"
            )
        value = next(iter(value.values()))
    return name, value


def _read_value(text: str) -> Any:
    path = Path(text)
    if path.suffix not in _SUFFIXES:
        if _STARTS_INLINE.match(text):
            return _parse(text, f"'{text}'")
        if path.is_file():
            raise ValueError(f"{text}: expected a file that ends in {', '.join(_SUFFIXES)}; {_way_out(path)}")
        raise ValueError(
            f"'{text}' is neither a file nor JSON (in JSON, text stands in quotes: '\"{text}\"')"
        )
    try:
        return _parse(path.read_text("utf-8"), text) if path.suffix == ".json" else _load(path)
    except OSError as error:
        raise ValueError(f"{text}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{text} is not JSON: {error}") from error


def _way_out(path: Path) -> str:
    """How a file that is none of ours becomes one."""
    if path.suffix in (".csv", ".tsv", ".txt"):
        separator = r"'\t'" if path.suffix == ".tsv" else "','"
        table = f"numpy.loadtxt('{path}', delimiter={separator}, ndmin=2)"
        return f"of a table make one: numpy.save('x.npy', {table})"
    return f'its bytes go as JSON, in base64: \'[{{"b64": "..."}}]\' (base64 -w0 {path})'


def _load(path: Path) -> Any:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        why = "strings can be saved as dtype U or S" if "pickle" in str(error) else error
        raise ValueError(f"{path} is not a plain numpy array file: {why}") from error


def _parse(text: str, where: str) -> Any:
    try:
        return _with_bytes(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from error


def _with_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_bytes(element) for element in value]
    if isinstance(value, dict):
        if set(value) == {"b64"} and isinstance(value["b64"], str):
            try:
                return base64.b64decode(value["b64"], validate=True)
            except binascii.Error as error:
                raise ValueError(f"{value}: {error}") from error
        raise ValueError('a JSON object can only be {"b64": "..."}, the bytes of one string')
    return value


def to_json(answer: Mapping[str, Array], *, full: bool) -> str:
    """The answer as one JSON object, a line for each output.

    Args:
        full: every element; otherwise the first ten of each dimension and how many follow.
    """
    lines = (
        f"  {json.dumps(name)}: {json.dumps(_plain(array, full), ensure_ascii=False)}"
        for name, array in answer.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}"


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


def _plain_dtype(name: str, array: Array) -> Array:
    if array.dtype == object:
        strings = array.astype("S")
        if not np.array_equal(strings.astype(object), array):
            raise ValueError(
                f"output '{name}' has strings that end in a zero byte, which numpy's files drop: print it"
            )
        return strings
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
