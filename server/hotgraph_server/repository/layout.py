"""What is on disk: a SavedModel, or a folder of numbered versions. Looks, never loads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hotgraph_server.errors import LoadError
from hotgraph_server.repository.checkpoint_index import BrokenIndex, shard_sizes
from hotgraph_server.settings import FolderSettings

_FILES = ("saved_model.pb", "saved_model.pbtxt")
_ONLY_VERSION = 1
_INTEGER = re.compile(r"-?[0-9]{1,400}")
_PLAIN_INTEGER = re.compile(r"0|[1-9][0-9]{0,399}")
_USUAL = FolderSettings()
_INT64 = range(-(2**63), 2**63)
_SHARD = "variables.data-{:05d}-of-{:05d}"

Files = frozenset[tuple[str, int, int]]
"""For each file below a folder: its path from there, its size in bytes, and when it was last written, ns."""


@dataclass(frozen=True)
class Found:
    """A version on disk, as a look at it found it.

    Attributes:
        folder: of the SavedModel.
        files: what is in it; it is still being copied if two looks find something else.
        missing: what must be in it and is not, in words; None: nothing.
    """

    folder: Path
    files: Files
    missing: str | None


@dataclass(frozen=True)
class Look:
    """What a look at a model's folder found.

    Attributes:
        versions: by number; the unfinished too.
        warnings: what its owner may want to know, a line each.
    """

    versions: dict[int, Found]
    warnings: tuple[str, ...] = ()


def versions_in(directory: Path, rules: FolderSettings = _USUAL) -> dict[int, Path]:
    """The SavedModels that a DIR offers, by version number.

    A DIR that is a SavedModel itself is version 1, or the number that its own name is. In a folder of
    versions only sub-folders whose name is an integer of 64 bits count (leading zeros are fine, unless the
    rules say otherwise), and only those that hold a SavedModel: themselves, or in the sub-folder that the
    rules name, as Triton has it.

    Raises:
        LoadError: the folder is not there, cannot be read or holds nothing of the kind.
    """
    found, _ = _folders(directory, rules)
    saved_models = {number: folder for number, folder in found.items() if _has_graph(folder)}
    if not saved_models:
        raise _nothing(directory)
    return saved_models


def look_at(directory: Path, rules: FolderSettings = _USUAL) -> Look:
    """The versions that a DIR offers, and whether each is complete. Reads what their indexes say.

    Raises:
        LoadError: the folder is not there, cannot be read or holds nothing of the kind.
    """
    folders, warnings = _folders(directory, rules)
    if not folders:
        raise _nothing(directory)
    return Look({number: _found(folder) for number, folder in folders.items()}, warnings)


def default_name(directory: Path) -> str:
    """What a model is called when nobody names it: its folder's name; a version folder's parent."""
    resolved = directory.resolve()
    return resolved.parent.name if _number(resolved.name) is not None else resolved.name


def _folders(directory: Path, rules: FolderSettings) -> tuple[dict[int, Path], tuple[str, ...]]:
    """The folders that may be SavedModels by the versions' numbers, and warnings."""
    warnings = []
    try:
        if not directory.exists():
            raise LoadError(str(directory), "no such folder")
        if not directory.is_dir():
            raise LoadError(str(directory), "is a file; give the folder that holds saved_model.pb")
        own = _saved_model(directory, rules)
        if _has_graph(own):
            number = _number(directory.resolve().name)
            return {_ONLY_VERSION if number is None else number: own}, ()
        folders: dict[int, Path] = {}
        # In this order, so that of two names for one number the same one wins each time.
        for child in sorted(directory.iterdir()):
            number = _number(child.name, plain=rules.plain_numbers)
            if number is None or not child.is_dir():
                continue
            if rules.inside is not None and not child.resolve().is_relative_to(rules.inside):
                warnings.append(f"{child} is a link out of {rules.inside}, and is left out")
                continue
            if number in folders:
                warnings.append(f"{child} is version {number} again: {folders[number]} is taken")
                continue
            folders[number] = _saved_model(child, rules)
    except OSError as error:
        raise LoadError(str(directory), error.strerror or str(error)) from error
    return folders, tuple(warnings)


def _saved_model(directory: Path, rules: FolderSettings) -> Path:
    """Where in a version's folder the SavedModel is, or should be."""
    nested = directory / rules.saved_model
    return nested if not _has_graph(directory) and nested.is_dir() else directory


def _has_graph(directory: Path) -> bool:
    return any((directory / name).is_file() for name in _FILES)


def _found(folder: Path) -> Found:
    try:
        return Found(folder, frozenset(_files(folder)), _missing(folder))
    except OSError as error:
        # Files that go while one looks: the next look will see what has become of them.
        return Found(folder, frozenset(), error.strerror or str(error))


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path in folder.rglob("*"):
        if path.is_file():
            status = path.stat()
            yield str(path.relative_to(folder)), status.st_size, status.st_mtime_ns


def _missing(folder: Path) -> str | None:
    """What a SavedModel in that folder still lacks; None: nothing that can be seen from outside."""
    if not _has_graph(folder):
        return f"neither {_FILES[0]} nor {_FILES[1]} is there"
    if any((folder / name).is_file() and not (folder / name).stat().st_size for name in _FILES):
        return "its graph is empty"
    variables = folder / "variables"
    if not variables.is_dir():
        return None
    index = variables / "variables.index"
    if not index.is_file():
        return "variables/variables.index is not there" if any(variables.iterdir()) else None
    try:
        sizes = shard_sizes(index.read_bytes())
    except BrokenIndex as error:
        return f"variables/variables.index is incomplete: {error}"
    for shard, size in sizes.items():
        path = variables / _SHARD.format(shard, len(sizes))
        if not path.is_file():
            return f"variables/{path.name} is not there"
        there = path.stat().st_size
        if there < size:
            return f"variables/{path.name} has {there} of {size} bytes"
    return None


def _number(name: str, *, plain: bool = False) -> int | None:
    if not (_PLAIN_INTEGER if plain else _INTEGER).fullmatch(name) or int(name) not in _INT64:
        return None
    return int(name)


def _nothing(directory: Path) -> LoadError:
    return LoadError(
        str(directory), "no SavedModel here: no saved_model.pb, and no numbered folder that holds one"
    )
