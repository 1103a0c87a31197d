"""What one --input of `hotgraph predict` holds: a file of some kind, standard input, or JSON on the spot.

Files are known by their endings, what comes on standard input by its first bytes. What is none of the kinds
below is taken as it is, for inputs of text. Files of numpy are never unpickled.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_protos.tensors import Array

from ..images import is_image_file
from .tables import Table, read_table

KINDS = ".npy, .npz, .json, .csv or an image (.jpg, .png ...)"

_STARTS_INLINE = re.compile(r"""[\[{"\d-]|true\b|false\b""")
_STDIN = "-"
_ZEROS = re.compile(r"zeros(?::(?P<sizes>[0-9]+(?:[x,][0-9]+)*))?")
_TABLES = (".csv", ".tsv")
# How images begin: JPEG, PNG, GIF, BMP and WebP (a RIFF file).
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"RIFF")


@dataclass(frozen=True)
class Json:
    """What JSON holds, its objects not yet read."""

    value: Any


@dataclass(frozen=True)
class Raw:
    """The bytes of a file."""

    data: bytes
    is_image: bool


@dataclass(frozen=True)
class Zeros:
    """Zeros, or empty texts, of a shape; None: the least one that the input takes."""

    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Given:
    """One --input.

    Attributes:
        where: the file, or what stands for it in errors.
        name: of the input; None: not said.
        value: arrays by name are those of a .npz.
    """

    where: str
    name: str | None
    value: Json | Raw | Zeros | Table | Array | Mapping[str, Array]


def read_input(text: str, stdin: Callable[[], bytes]) -> Given:
    """One --input: ``[NAME=]FILE``, ``[NAME=]-``, ``[NAME=]JSON`` or ``[NAME=]zeros[:SIZES]``.

    Args:
        stdin: reads all of standard input.

    Raises:
        ValueError: neither a file that can be read nor JSON.
    """
    name, equals, rest = text.partition("=")
    # a path may contain "=", and a string in inline JSON too
    if not equals or _is(Path(text).is_file) or _STARTS_INLINE.match(text):
        return Given(_where(text), None, _read(text, stdin))
    return Given(_where(rest), name, _read(rest, stdin))


def _where(text: str) -> str:
    if text == _STDIN:
        return "standard input"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read(text: str, stdin: Callable[[], bytes]) -> Json | Raw | Zeros | Table | Array | Mapping[str, Array]:
    if text == _STDIN:
        return _sniffed(stdin())
    path = Path(text)
    if not _is(path.is_file):
        zeros = _ZEROS.fullmatch(text)
        if zeros is not None:
            sizes = zeros["sizes"]
            return Zeros(None if sizes is None else tuple(int(size[:11]) for size in re.split("[x,]", sizes)))
        if _STARTS_INLINE.match(text):
            return Json(_parse(text, f"'{_where(text)}'"))
        if _is(path.is_dir):
            raise ValueError(f"{text} is a folder: give a file ({KINDS})")
        if path.suffix.lower() in (".npy", ".npz", ".json", *_TABLES) or is_image_file(path):
            raise ValueError(f"{text}: No such file or directory")
        shown = _where(text)
        raise ValueError(
            f"'{shown}' is neither a file nor JSON (in JSON, text stands in quotes: '\"{shown}\"')"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{text}: {error.strerror or error}") from error
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return _load(data, text)
    if suffix == ".json":
        return Json(_parse(_decoded(data, f"{text} is not JSON"), text))
    if suffix in _TABLES:
        return read_table(_decoded(data, f"{text} is not a table"), text)
    return Raw(data, is_image_file(path) or data.startswith(_IMAGES))


def _is(there: Callable[[], bool]) -> bool:
    try:
        return there()
    except (OSError, ValueError):
        # JSON is long, and may hold what no path does
        return False


def _sniffed(data: bytes) -> Json | Raw | Table | Array | Mapping[str, Array]:
    where = "standard input"
    if not data.strip():
        raise ValueError(f"{where} is empty")
    if data.startswith((b"\x93NUMPY", b"PK\x03\x04")):
        return _load(data, where)
    if data.startswith(_IMAGES):
        return Raw(data, True)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Raw(data, False)
    first = text.lstrip().partition("\n")[0]
    # a row of numbers with commas between them is no JSON, and a table may begin with a quote
    if _STARTS_INLINE.match(text.lstrip()):
        try:
            return Json(_parse(text, where))
        except ValueError:
            if text.lstrip()[0] in "[{":
                raise
    if any(separator in first for separator in ",;\t"):
        return read_table(text, where)
    return Raw(data, False)


def _decoded(data: bytes, fault: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{fault}: it is not UTF-8, as which it has to be saved ({error})") from error


def _load(data: bytes, where: str) -> Array | Mapping[str, Array]:
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        why = "strings can be saved as dtype U or S" if "pickle" in str(error) else error
        raise ValueError(f"{where} is not a plain numpy array file: {why}") from error
    except Exception as error:
        # of any kind: a header is an expression of Python, and numpy passes on what its parser and zlib raise
        raise ValueError(f"{where} is not a plain numpy array file: {error}") from error


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    except ValueError:
        # Python's own bound of a whole number's digits
        raise ValueError(f"{where}: a whole number in it is longer than any datatype holds") from None
    except RecursionError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
