"""Paths that TensorFlow can load from. It takes the path of a checkpoint for a pattern, and does not find one
below a folder called ``m[1]``; through a link of another name it does.

A link is there as long as the process: a graph may read its assets at any time.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
import threading
from pathlib import Path

# What a pattern of TensorFlow's does not find itself by; "*" and "?" stand for themselves too.
_PATTERN = re.compile(r"\[.*\]|\\")
_PREFIX = "hotgraph-links-"

_lock = threading.Lock()  # guards what follows
_links: dict[Path, Path] = {}
_inside: list[Path] = []


def plain(folder: Path) -> Path:
    """The same folder by a path that is no pattern. Where no link can be made it is `folder` itself, and
    TensorFlow says what is wrong."""
    if not _PATTERN.search(str(folder)):
        return folder
    with _lock:
        try:
            return _links.get(folder) or _link_to(folder)
        except OSError:
            return folder


def _link_to(folder: Path) -> Path:
    """Requires the lock; raises OSError."""
    assert _lock.locked()
    if not _inside:
        _inside.append(Path(tempfile.mkdtemp(prefix=_PREFIX)))
        atexit.register(shutil.rmtree, _inside[0], ignore_errors=True)
    link = _inside[0] / str(len(_links))
    # Not resolved: what the path leads to may be another folder by the next load.
    link.symlink_to(folder.absolute())
    _links[folder] = link
    return link
