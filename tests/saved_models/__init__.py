"""The SavedModels of the tests, one builder for each kind. Importing this does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import sequences, tf1, tf2
from .tf2 import DTYPES

__all__ = ["BUILDERS", "DTYPES", "SavedModels"]

BUILDERS: dict[str, Callable[[Path], None]] = {
    name.removeprefix("build_"): builder
    for module in (tf1, tf2, sequences)
    for name, builder in vars(module).items()
    if name.startswith("build_")
}


class SavedModels:
    """SavedModels by name (the keys of BUILDERS), each built when it is first asked for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __getitem__(self, name: str) -> Path:
        """The folder of the SavedModel; the same one at every call, so read it, do not change it."""
        directory = self._directory / name
        if not directory.exists():
            BUILDERS[name](directory)
        return directory
