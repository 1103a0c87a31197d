"""The settings file of a replica's server."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path


def settings_file(settings: Mapping[str, object]) -> Path:
    """The file with these settings, the same for all replicas on this machine that have them. It stays, for a
    server reads it again when it is asked to, and is told by its name from others, so that nobody has to tidy
    up after those that were killed.

    Raises:
        OSError: it cannot be written, or the folder is somebody else's.
    """
    text = "".join(_toml(settings))
    folder = Path(tempfile.gettempdir()) / f"hotgraph-replicas-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not a folder of this user's own")
    file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.toml"
    partial = file.with_suffix(f".{os.getpid()}")
    # Of nobody else to read, whatever the folder's mode was before: there may be secrets in it.
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(file)
    return file


def _toml(settings: Mapping[str, object]) -> Iterable[str]:
    for key, value in settings.items():
        if value is None:
            continue
        # Texts, numbers, truths and lists of them are written alike in JSON and TOML.
        yield f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}\n"
