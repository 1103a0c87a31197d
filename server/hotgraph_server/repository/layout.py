"""What is on disk: a SavedModel, or a folder of numbered versions. Looks, never loads.

Whether a version is complete is not decided here, or anywhere before TensorFlow's loader: only it knows what
it needs. What looks unfinished is a reason to look again (records.py), and never one to refuse. Nor are sizes
compared with what an index says: whatever copies files changes their sizes or times from one look to the
next, and a checkpoint that is cut short is found by TensorFlow, by the sum of each tensor.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hotgraph_server.errors import LoadError
from hotgraph_server.repository.model_files import (
    about_a_file,
    about_a_folder,
    has_models_ending,
    is_model_file,
)
from hotgraph_server.repository.tree import Files, Tree, tree_of
from hotgraph_server.settings import AllVersions, FolderSettings, Latest, Specific, VersionPolicy

_FILES = ("saved_model.pb", "saved_model.pbtxt")
_NO_GRAPH = f"neither {_FILES[0]} nor {_FILES[1]} is there"
_ONLY_VERSION = 1
_INTEGER = re.compile(r"-?[0-9]{1,400}")
_PLAIN_INTEGER = re.compile(r"0|[1-9][0-9]{0,399}")
_USUAL = FolderSettings()
_INT64 = range(-(2**63), 2**63)
_INDEX = "variables/variables.index"
_SHARD = re.compile(r"variables/variables\.data-([0-9]{5})-of-([0-9]{5})")


@dataclass(frozen=True)
class Found:
    """A version on disk, as a look at it found it.

    Attributes:
        folder: of the SavedModel; of the version, where it was not looked into.
        tree: what is in it; None: that was not looked at.
        missing: why there is nothing to load in it, in words; None: there is, or it was not looked at.
        unreadable: is it that this user may not look?
        hint: what seems to be missing in it, in words; a reason to look again before it is loaded.
    """

    folder: Path
    tree: Tree | None = None
    missing: str | None = None
    unreadable: bool = False
    hint: str | None = None

    @property
    def files(self) -> Files:
        """What is in it, as far as anybody looked."""
        return self.tree.files if self.tree is not None else frozenset()

    def may_be_loaded(self, before: Found | None, *, first: bool) -> bool:
        """Is it as whole as can be told from outside?

        Args:
            before: the same version in the look before.
            first: a caller waits for what this look finds: what was not looked into before is taken as it
                is, unless something seems to be missing.
        """
        if self.tree is None or self.missing is not None:
            return False
        if before is None or before.tree is None:
            return first and self.hint is None
        return self.tree == before.tree


@dataclass(frozen=True)
class Look:
    """What a look at a model's folder found.

    Attributes:
        versions: by number; the unfinished too.
        warnings: what its owner may want to know, a line each.
    """

    versions: Mapping[int, Found]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interest:
    """What a look is for. Only into versions that may have to be loaded does it look: a folder of a thousand
    old ones costs no more than its listing.

    Attributes:
        policy: which versions shall be served.
        settled: those that stay as they are, whatever becomes of their files.
        before: what the look before found.
    """

    policy: VersionPolicy = field(default_factory=AllVersions)
    settled: Collection[int] = ()
    before: Mapping[int, Found] = field(default_factory=dict)


_EVERYTHING = Interest()


def versions_in(directory: Path, rules: FolderSettings = _USUAL) -> dict[int, Path]:
    """The SavedModels that a DIR offers, by version number.

    A DIR that is a SavedModel itself is version 1, or the number that its own name is. In a folder of
    versions only sub-folders whose name is an integer of 64 bits count (leading zeros are fine, unless the
    rules say otherwise), and only those that hold a SavedModel: themselves, or in the sub-folder that the
    rules name, as Triton has it. One that this user may not look into is passed over.

    Raises:
        LoadError: the folder is not there, cannot be read or holds nothing of the kind.
    """
    folders, _ = _folders(directory, rules)
    found = {number: _opened(folder, rules) for number, folder in folders.items()}
    saved_models = {number: one.folder for number, one in found.items() if one.missing is None}
    if not saved_models:
        raise _nothing(directory, found)
    return saved_models


def look_at(directory: Path, rules: FolderSettings = _USUAL, interest: Interest = _EVERYTHING) -> Look:
    """The versions that a DIR offers, and what is in those that are of interest.

    Raises:
        LoadError: the folder is not there, cannot be read or holds nothing of the kind.
    """
    folders, warnings = _folders(directory, rules)
    if not folders:
        raise _nothing(directory, {})
    versions = {}
    policy = interest.policy
    left = policy.count if isinstance(policy, Latest) else len(folders)
    # From the highest down, until there are as many as shall be served.
    for number in sorted(folders, reverse=True):
        settled = number in interest.settled
        if settled or left <= 0 or (isinstance(policy, Specific) and number not in policy.numbers):
            versions[number] = Found(folders[number])
            left -= settled
            continue
        versions[number] = found = _looked_into(folders[number], rules)
        # One that is seen for the first time counts; if it has changed by the next look, that goes further.
        left -= found.may_be_loaded(interest.before.get(number), first=True)
    unreadable = [f"{one.folder} {one.missing}" for one in versions.values() if one.unreadable]
    return Look(versions, (*warnings, *unreadable))


def default_name(directory: Path) -> str:
    """What a model is called when its owner names it not: its folder's name; a version folder's parent; its
    file's name, without the ending."""
    if is_model_file(directory):
        return directory.stem
    resolved = directory.resolve()
    return resolved.parent.name if _number(resolved.name) is not None else resolved.name


def _folders(directory: Path, rules: FolderSettings) -> tuple[dict[int, Path], tuple[str, ...]]:
    """The versions' folders by number, of which nothing is known but their names; and warnings.

    One listing, and little more: it is done for every model at every look. So paths are texts here, which a
    Path takes five times as long to join.
    """
    warnings = []
    folders: dict[int, Path] = {}
    try:
        entries = _listing(directory)
        if entries is None or _is_saved_model(directory, entries, rules):
            number = _number(directory.resolve().name)
            return {_ONLY_VERSION if number is None else number: directory}, ()
        # In this order, so that of two names for one number the same one wins each time.
        for name, entry in sorted(entries.items()):
            number = _number(name, plain=rules.plain_numbers)
            if number is None or not _is_folder(entry):
                continue
            child = directory / name
            if (
                rules.inside is not None
                and entry.is_symlink()
                and not child.resolve().is_relative_to(rules.inside)
            ):
                warnings.append(f"{child} is a link out of {rules.inside}, and is left out")
            elif number in folders:
                warnings.append(f"{child} is version {number} again: {folders[number]} is taken")
            else:
                folders[number] = child
    except FileNotFoundError as error:
        kind = "file" if has_models_ending(directory) else "folder"
        raise LoadError(str(directory), f"no such {kind}") from error
    except NotADirectoryError as error:
        raise LoadError(str(directory), about_a_file(directory)) from error
    except OSError as error:
        raise LoadError(str(directory), error.strerror or str(error)) from error
    return folders, tuple(warnings)


def _listing(directory: Path) -> dict[str, os.DirEntry[str]] | None:
    """By name; None: it may not be listed, but a graph in it may be read. Raises OSError."""
    try:
        with os.scandir(directory) as entries:
            return {entry.name: entry for entry in entries}
    except PermissionError:
        if not _has_graph(str(directory)):
            raise
        return None


def _is_saved_model(directory: Path, entries: Mapping[str, os.DirEntry[str]], rules: FolderSettings) -> bool:
    """Itself, or by what lies where the rules say."""
    if entries.keys().isdisjoint((*_FILES, rules.saved_model)):
        return False
    return _has_graph(_saved_model(str(directory), rules))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        # Most often that is in the listing: nothing more is asked of a disk.
        return entry.is_dir()
    except OSError:
        # A link that leads in a circle, or to where this process may not look.
        return False


def _saved_model(directory: str, rules: FolderSettings) -> str:
    """Where in a version's folder the SavedModel is, or should be."""
    nested = f"{directory}/{rules.saved_model}"
    if _has_graph(directory) or not os.path.isdir(nested):
        return directory
    leads_out = rules.inside is not None and not Path(nested).resolve().is_relative_to(rules.inside)
    return directory if leads_out else nested


def _has_graph(directory: str) -> bool:
    return any(_is_file(f"{directory}/{name}") for name in _FILES)


def _is_file(path: str) -> bool:
    """Raises OSError where this user may not know."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _opened(directory: Path, rules: FolderSettings) -> Found:
    """Where in a version's folder the SavedModel is, and whether there is one."""
    try:
        folder = _saved_model(str(directory), rules)
        return Found(Path(folder), missing=None if _has_graph(folder) else _NO_GRAPH)
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
        return Found(directory, Tree(), missing=why, unreadable=True)


def _looked_into(directory: Path, rules: FolderSettings) -> Found:
    found = _opened(directory, rules)
    if found.unreadable:
        return found
    tree = tree_of(found.folder)
    return Found(found.folder, tree, found.missing, hint=_hint(tree.files))


def _hint(files: Files) -> str | None:
    """What a SavedModel seems to lack, by the names of its files; None: nothing."""
    sizes = {path: size for path, size, _ in files}
    if any(sizes.get(name) == 0 for name in _FILES):
        return "its graph is empty"
    shards = [shard for shard in map(_SHARD.fullmatch, sizes) if shard is not None]
    if shards and _INDEX not in sizes:
        return f"{_INDEX} is not there"
    if _INDEX in sizes and len(shards) < max((int(shard[2]) for shard in shards), default=1):
        return f"{_INDEX} is there, and not all that it is an index of"
    return None


def _number(name: str, *, plain: bool = False) -> int | None:
    if not (_PLAIN_INTEGER if plain else _INTEGER).fullmatch(name) or int(name) not in _INT64:
        return None
    return int(name)


def _nothing(directory: Path, found: Mapping[int, Found]) -> LoadError:
    for one in found.values():
        if one.unreadable:
            return LoadError(str(one.folder), str(one.missing))
    known = None if found else about_a_folder(directory)
    return LoadError(
        str(directory),
        known or "no SavedModel here: no saved_model.pb, and no numbered folder that holds one",
    )
