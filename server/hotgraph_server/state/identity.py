"""Which SavedModel a snapshot belongs to, and where its snapshots lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

_IDENTIFYING = ("saved_model.pb", "saved_model.pbtxt", "variables/variables.index")


def identity_of(folder: Path) -> str:
    """The hash of a SavedModel's graph and of the index of its variables, which has their checksums.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in _IDENTIFYING:
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def folder_of(state_dir: Path, model: str, version: int, identity: str) -> Path:
    """Where the snapshots of a version are: a folder of their own even where another SavedModel has had the
    same number, so that neither prunes the other's."""
    return state_dir / model / f"{version}-{identity[:12]}"
