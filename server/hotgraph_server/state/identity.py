"""Which SavedModel a snapshot belongs to, and where its snapshots lie."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

# A dot at the start hides a file, or is the folder itself, or the one above.
_NO_FILE_NAME = re.compile(r'^\.|[%/\\:"<>|?*\x00-\x1f\x7f]')
_LONGEST_NAME = 255
_LONGEST_START = 200

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


def folder_name(model: str) -> str:
    """What the folder of a model's snapshots is called: like the model, with what no file name can hold, or
    what would lead elsewhere, as ``%`` and its number; no two models have the same."""
    plain = _NO_FILE_NAME.sub(lambda found: f"%{ord(found[0]):02X}", model)
    encoded = plain.encode()
    if len(encoded) <= _LONGEST_NAME:
        return plain
    # No encoded name has a "%" before a "~".
    digest = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    return f"{encoded[:_LONGEST_START].decode(errors='ignore')}%~{digest}"


def folder_of(state_dir: Path, model: str, version: int, identity: str) -> Path:
    """Where the snapshots of a version are: a folder of their own even where another SavedModel has had the
    same number, so that neither prunes the other's."""
    return state_dir / folder_name(model) / f"{version}-{identity[:12]}"
