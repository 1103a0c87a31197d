"""What is in a model's file of Keras's, before any Keras reads it: which version wrote it, and its layers.

Read with zipfile and h5py in the process that converts, nothing of it is taken apart but two small JSON
texts, and these are bounded: a zip can say of itself what it likes.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py  # type: ignore[import-untyped]

from hotgraph_server.conversion.request import Refused

MOST_BYTES = 64 << 20
"""Of a configuration."""

_CODE = ("Lambda", "__lambda__")
_HDF5 = b"\x89HDF\r\n\x1a\n"


class KerasFile(NamedTuple):
    """A model's file.

    Attributes:
        version: of the Keras that wrote it; empty: it does not say.
        config: of the model.
        ending: that its format should have, whatever its name says.
    """

    version: str
    config: Any
    ending: str = ".keras"

    @property
    def is_old(self) -> bool:
        """Was it written by a Keras before 3?"""
        return not self.version or int(self.version.partition(".")[0]) < 3


def look(path: Path, most_bytes: int = MOST_BYTES) -> KerasFile:
    """
    Args:
        most_bytes: of a configuration.

    Raises:
        Refused: it is no model; the text says what it is, as far as can be told.
    """
    with path.open("rb") as file:
        start = file.read(len(_HDF5))
    if start == _HDF5:
        return _in_hdf5(path)
    if not zipfile.is_zipfile(path):
        raise Refused("is no file of Keras's (neither a zip nor HDF5); was it copied whole?")
    return _in_zip(path, most_bytes)


def code_in(config: Any) -> str | None:
    """The name of the first layer that brings Python code of its own; None: none does."""
    for item in _items(config):
        if item.get("class_name") in _CODE:
            inner = item.get("config")
            name = inner.get("name") if isinstance(inner, dict) else None
            return str(name or item.get("name") or "lambda")[:100]
        if item.get("function_type") == "lambda":
            return str(item.get("name") or "lambda")[:100]
    return None


def names_registered(config: Any) -> set[str]:
    """The names under which its classes are registered, such as "Custom>Scale"."""
    names = (item.get("registered_name") for item in _items(config))
    return {name for name in names if isinstance(name, str) and ">" in name}


def _items(config: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, the outermost first."""
    waiting = deque([config])
    while waiting:
        item = waiting.popleft()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _in_zip(path: Path, most_bytes: int) -> KerasFile:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "config.json" not in names:
                what = "weights of PyTorch's" if any(name.endswith("data.pkl") for name in names) else "a zip"
                raise Refused(f"is {what}, and no .keras file: it holds no config.json")
            metadata = (
                _json(_member(archive, "metadata.json", most_bytes)) if "metadata.json" in names else {}
            )
            version = metadata.get("keras_version") if isinstance(metadata, dict) else None
            return _file(version, _json(_member(archive, "config.json", most_bytes)))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise Refused(f"is a zip that cannot be read: {error}") from None


def _member(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    with archive.open(name) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise Refused(f"its {name} is larger than {most_bytes >> 20} MiB")
    return content


def _in_hdf5(path: Path) -> KerasFile:
    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            version = file.attrs.get("keras_version")
            if config is None:
                raise Refused(_why_without_config(file))
            return _file(_text(version), _json(_text(config).encode()))._replace(ending=".h5")
    except (OSError, RuntimeError, KeyError) as error:
        raise Refused(f"is an HDF5 file that cannot be read: {error}") from None


def _why_without_config(file: Any) -> str:
    names = set(file.keys()) | set(file.attrs.keys())
    if names & {
        "layer_names",
        "_layer_checkpoint_dependencies",
        "layers",
        "vars",
        "model_weights",
        "top_level_model_weights",
    }:
        return (
            "holds weights only, and not the model that they belong to: make that in Python, load them"
            " (model.load_weights(FILE)), and keep the whole: model.save('model.keras')"
        )
    return "is an HDF5 file, but no model of Keras's: it has no model_config"


def _file(version: object, config: Any) -> KerasFile:
    if not isinstance(config, dict):
        raise Refused("its configuration is no JSON object")
    text = version if isinstance(version, str) else ""
    # Such as "2.3.0-tf"; what is no version of anything is none.
    return KerasFile(text[:50] if re.match(r"[0-9]{1,3}(\.|$)", text) else "", config)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(f"its configuration is no JSON: {error}") from None


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
