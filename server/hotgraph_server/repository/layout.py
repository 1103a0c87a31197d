"""What is on disk: a SavedModel, or a folder of numbered versions. Looks, never loads."""

from __future__ import annotations

from pathlib import Path

from hotgraph_server.errors import LoadError

_FILES = ("saved_model.pb", "saved_model.pbtxt")
# Triton's repositories keep the SavedModel one folder further down.
_TRITON_FOLDER = "model.savedmodel"
_ONLY_VERSION = 1


def versions_in(directory: Path) -> dict[int, Path]:
    """The SavedModels that a DIR offers, by version number.

    A DIR that is a SavedModel itself is version 1, or the number that its own name is. In a folder of
    versions only sub-folders with a number for a name count (leading zeros are fine), and only those
    that hold a SavedModel.

    Raises:
        LoadError: the folder is not there, cannot be read or holds nothing of the kind.
    """
    try:
        if not directory.exists():
            raise LoadError(str(directory), "no such folder")
        if not directory.is_dir():
            raise LoadError(str(directory), "is a file; give the folder that holds saved_model.pb")
        own = _saved_model(directory)
        if own is not None:
            number = _number(directory.resolve().name)
            return {_ONLY_VERSION if number is None else number: own}
        numbered = {
            found: saved_model
            for child in sorted(directory.iterdir())
            if (found := _number(child.name)) is not None and (saved_model := _saved_model(child)) is not None
        }
    except OSError as error:
        raise LoadError(str(directory), error.strerror or str(error)) from error
    if not numbered:
        raise LoadError(
            str(directory), "no SavedModel here: no saved_model.pb, and no numbered folder that holds one"
        )
    return numbered


def default_name(directory: Path) -> str:
    """What a model is called when nobody names it: its folder's name; a version folder's parent."""
    resolved = directory.resolve()
    return resolved.parent.name if _number(resolved.name) is not None else resolved.name


def _saved_model(directory: Path) -> Path | None:
    for candidate in (directory, directory / _TRITON_FOLDER):
        if any((candidate / name).is_file() for name in _FILES):
            return candidate
    return None


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() and len(name) <= 18 else None
