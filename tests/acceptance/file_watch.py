"""What a server process does to the file system, seen from within it and from outside.

From within: an audit hook, put in by way of PYTHONPATH, notes every file that Python code opens for writing
and every folder, link and name that it makes, moves or removes. From outside: all that lies in a folder, with
what is in it, before and after.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_HOOK = """
import os, sys
_log = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
_writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_changes = ("mkdir", "rename", "link", "symlink", "remove", "rmdir", "truncate", "chmod")

def _note(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, int) or not (flags or 0) & _writes:
            return
        changed = [path]
    elif event.startswith("os.") and event[3:] in _changes:
        changed = [one for one in arguments[:2] if isinstance(one, (str, bytes, os.PathLike))]
    else:
        return
    # A name below a folder that is open, as shutil.rmtree removes it; -1: it is a path of its own.
    below = arguments[1] if event in ("os.remove", "os.rmdir") else -1
    folder = os.readlink(f"/proc/self/fd/{{below}}") if below >= 0 else ""
    for path in changed:
        path = os.path.join(os.fsencode(folder), os.fsencode(path))
        os.write(_log, os.path.abspath(path).replace(b"\\n", b"?") + b"\\n")

sys.addaudithook(_note)
"""


class FileWatch:
    """Watches processes that are started with `environment`.

    Args:
        folder: for the watch's own files; outside of what is watched.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "written"
        self._log.touch()
        (folder / "sitecustomize.py").write_text(_HOOK.format(log=str(self._log)))
        self.environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def forget(self) -> None:
        """Nothing has been written so far."""
        os.truncate(self._log, 0)

    def written(self) -> set[Path]:
        """The paths that Python code has written to, made or removed."""
        return {Path(os.fsdecode(line)) for line in self._log.read_bytes().splitlines()}


def contents(folder: Path) -> dict[str, str]:
    """All that lies in a folder: kind, and a digest of each file's bytes, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else "other"
    return found
