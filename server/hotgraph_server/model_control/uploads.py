"""Files that came with a request to load a model: a private folder for each, which is gone when no version
needs it any more. Nothing is ever written into a repository.

The folder is new, of a name that cannot be guessed, and open to this user alone; so no other user can have
put a link where a file is going to be written. Where the files go in it was decided by safe_paths.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from hotgraph_server.model_control.safe_paths import Parts

_LOG = logging.getLogger(__name__)

_PREFIX = "hotgraph-model-"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


class Uploads:
    """All that there are. One thread at a time.

    Args:
        inside: where the folders are made; None: wherever the system has temporary ones.
    """

    def __init__(self, inside: Path | None = None) -> None:
        self._inside = inside
        self._folders: list[Path] = []

    def write(self, files: Mapping[Parts, bytes]) -> Path:
        """Write files into a new folder; returns the folder.

        Args:
            files: by their paths, from safe_paths.uploads.

        Raises:
            OSError: the disk is full, or the like; nothing is left of them.
        """
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._inside)).resolve()
        self._folders.append(folder)
        try:
            for parts, content in files.items():
                for end in range(1, len(parts)):
                    folder.joinpath(*parts[:end]).mkdir(mode=0o700, exist_ok=True)
                with open(os.open(folder.joinpath(*parts), _NEW_FILE, 0o600), "wb") as file:
                    file.write(content)
        except BaseException:
            self._remove(folder)
            raise
        return folder

    def keep(self, used: Collection[Path]) -> None:
        """Remove every folder that is not among `used`, and has none of them inside."""
        for folder in list(self._folders):
            if not any(path.is_relative_to(folder) for path in used):
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        self._folders.remove(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            _LOG.warning("%s cannot be removed: %s", folder, error)
