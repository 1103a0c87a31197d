"""Where calls may be written down when it is a caller who says so: below a folder of the owner's, or nowhere.

The prefix of a caller's ``logging_config`` is a path in that folder: relative, or absolute and within it. It
is followed through links as far as it is there, and what it is then must lie in the folder. What is used is
the path so found, not the caller's; no caller who writes to the folder by these logs can put a link there.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from hotgraph_server.errors import ConfigError, SettingsError
from hotgraph_server.settings import LogSettings, ModelSettings

FLAG = "request-log-dir"

_NAME_BYTES = 200  # what the writer adds to it fits into a file's name as well


def checked_folder(folder: str) -> Path | None:
    """The owner's folder, as the file system calls it; None: there is none.

    Raises:
        SettingsError: it is no folder.
    """
    if not folder:
        return None
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise SettingsError(f"{FLAG} {folder}: there is no such folder")
    return path.resolve()


def placed(models: Iterable[ModelSettings], folder: Path | None) -> list[ModelSettings]:
    """The models of a caller, each with its log where the owner allows it.

    Args:
        folder: as `checked_folder` returns it.

    Raises:
        ConfigError: one has a log, and there is no folder for it, or it shall be elsewhere.
    """
    return [
        model if model.log is None else dataclasses.replace(model, log=_placed(model.name, model.log, folder))
        for model in models
    ]


def _placed(model: str, log: LogSettings, folder: Path | None) -> LogSettings:
    where = f"logging_config of model {model}"
    if folder is None:
        raise ConfigError(
            f"{where}: this server writes no calls down for its callers; its owner can give them a folder"
            f" (--{FLAG})"
        )
    fault = _fault(log.prefix)
    if fault is None:
        parent, _, name = os.path.join(folder, log.prefix).rpartition("/")
        found = Path(os.path.realpath(parent))
        if found.is_relative_to(folder):
            return dataclasses.replace(log, prefix=f"{found}/{name}")
        fault = f"is not in the folder that --{FLAG} names"
    raise ConfigError(f"{where}: filename_prefix {fault}, got {log.prefix[:100]!a}")


def _fault(prefix: str) -> str | None:
    """What is wrong with a prefix whatever there is on the disk; None: nothing."""
    parts = prefix.split("/")
    if not prefix.isprintable():
        return "has a character that is not seen"
    if ".." in parts or "." in parts:
        return "must not have '.' or '..'"
    if not parts[-1] or max(len(part.encode()) for part in parts) > _NAME_BYTES:
        return f"must end with the beginning of a file's name; a part has at most {_NAME_BYTES} bytes"
    return None
