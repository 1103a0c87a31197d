"""Which models the repositories offer: every folder in one is a model of that name. Looks, never loads.

    REPOSITORY/MODEL/config.pbtxt                          if it has one
    REPOSITORY/MODEL/VERSION/model.savedmodel/saved_model.pb    as Triton has it
    REPOSITORY/MODEL/VERSION/saved_model.pb                     as TensorFlow Serving has it

What begins with a dot is no model (a mounted volume has such folders), nor is a file. A folder whose name
no message can carry (it is not UTF-8, it has a line's end in it) is refused, and so is a name that two
repositories offer: the others are served.
What is in a model's folder is layout.py's business.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hotgraph_server.errors import LoadError
from hotgraph_server.settings.model import model_name_fault

CONFIG = "config.pbtxt"
_NAMED_CONFIGS = "configs"
_SUFFIX = ".pbtxt"
# What a SavedModel's folder holds, and no other folder but these.
_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")
_OF_A_MODEL = {"variables", "assets", "assets.extra"}

Stamp = tuple[int, int, int]
"""Of a file: its size in bytes, when it was last written in ns, and its number on its disk."""


@dataclass(frozen=True)
class Offer:
    """A model that a repository offers.

    Attributes:
        name: of the model.
        folder: its own.
        repository: the one it is in, all links followed.
        config: the file of its configuration; None: it has none.
        stamp: of that file; what was written again has another one.
    """

    name: str
    folder: Path
    repository: Path
    config: Path | None = None
    stamp: Stamp | None = None


@dataclass(frozen=True)
class Discovery:
    """What a look at the repositories found.

    Attributes:
        models: by name.
        refused: why a folder is no model, by its name; what of that no message can carry is written out.
    """

    models: Mapping[str, Offer] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def offers_of(repositories: Sequence[Path], config_name: str = "", *, links_out: bool = True) -> Discovery:
    """What they offer now.

    Args:
        repositories: folders.
        config_name: ``configs/NAME.pbtxt`` is read in place of ``config.pbtxt`` where it is there; empty:
            never.
        links_out: may a model's folder, or its configuration, be a link out of its repository?

    Raises:
        LoadError: a repository cannot be read, or is a model itself.
    """
    found: dict[str, Offer] = {}
    refused: dict[str, str] = {}
    for repository in repositories:
        resolved = repository.resolve()
        for folder in _folders(repository):
            name = folder.name
            fault = model_name_fault(name)
            if fault is not None:
                refused[_written_out(name)] = fault
            elif name in found:
                refused[name] = f"offered by two repositories: {found[name].folder} and {folder}"
            else:
                offer = _offer(folder, resolved, config_name)
                out = None if links_out else _leads_out(offer)
                if out is not None:
                    refused[name] = f"{out} is a link out of {repository}"
                found[name] = offer
    return Discovery({name: offer for name, offer in found.items() if name not in refused}, refused)


def _written_out(name: str) -> str:
    """``caf\\xe9`` for a name that has the byte e9 and is not UTF-8, ``a\\nb`` for one of two lines."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _folders(repository: Path) -> list[Path]:
    try:
        found = sorted(
            child for child in repository.iterdir() if not child.name.startswith(".") and child.is_dir()
        )
        is_model = {child.name for child in found} <= _OF_A_MODEL and any(
            (repository / name).is_file() for name in _GRAPHS
        )
    except OSError as error:
        raise LoadError(str(repository), f"no repository: {error.strerror or error}") from error
    if is_model:
        raise LoadError(
            str(repository),
            f"is a model, and no folder of models: hotgraph serve {shlex.quote(str(repository))}",
        )
    return found


def _offer(folder: Path, repository: Path, config_name: str) -> Offer:
    named = folder / _NAMED_CONFIGS / f"{config_name}{_SUFFIX}" if config_name else None
    for config in (named, folder / CONFIG):
        stamp = _stamp(config) if config is not None else None
        if stamp is not None:
            return Offer(folder.name, folder, repository, config, stamp)
    return Offer(folder.name, folder, repository)


def _stamp(path: Path) -> Stamp | None:
    try:
        # A pipe or a device in its place would keep its reader waiting.
        if not path.is_file():
            return None
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _leads_out(offer: Offer) -> Path | None:
    """What of it is a link out of its repository; None: nothing."""
    for path in (offer.folder, offer.config):
        try:
            if path is not None and not path.resolve().is_relative_to(offer.repository):
                return path
        except (OSError, RuntimeError):
            # A loop of links is a RuntimeError until Python 3.12.
            return path
    return None
