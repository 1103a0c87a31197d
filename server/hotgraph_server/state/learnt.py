"""What the checks in service have learnt of a SavedModel, kept so that a restart does not begin again.

One small file beside the snapshots of the version, whose folder has the SavedModel's hash in its name:

    {"format": 1, "made_by": "...", "signatures": {"NAME": {"joined": 4096, "difference": ""}}}

Nothing hangs on it but a few checks more, so nothing that is wrong with it keeps a version from starting:
what is damaged, or was learnt under another TensorFlow or with settings that run the graph otherwise, is not
taken, and what cannot be written is a warning. A thread of its own writes, because disks may hang; it begins
with the first thing to be written.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from hotgraph_server.state.files import Disk, Files, write_whole
from hotgraph_server.threads.joining import join_within

_LOG = logging.getLogger(__name__)

_FORMAT = 1
_NAME = "trust.json"
MAX_BYTES = 2**20
_MAX_TEXT = 1000

# A disk that hangs must not keep the executor's thread for ever, least of all for this.
_CLOSES_IN_S = 60.0


@dataclass(frozen=True)
class Learnt:
    """Of one signature.

    Attributes:
        joined: calls that were joined, none of which was found to differ.
        difference: what ended joining; empty: nothing did.
    """

    joined: int = 0
    difference: str = ""


def encode(made_by: str, learnt: Mapping[str, Learnt]) -> bytes:
    """The file."""
    signatures = {
        name: {"joined": one.joined, "difference": one.difference[:_MAX_TEXT]} for name, one in learnt.items()
    }
    return orjson.dumps({"format": _FORMAT, "made_by": made_by, "signatures": signatures})


def decode(data: bytes, made_by: str) -> dict[str, Learnt]:
    """What the file says; nothing, if it was made by something else.

    Raises:
        ValueError: it is damaged; the text says how.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    content = orjson.loads(data)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"it is not of format {_FORMAT}")
    if content.get("made_by") != made_by:
        return {}
    signatures = content.get("signatures")
    if not isinstance(signatures, dict):
        raise ValueError("it has no signatures")
    return {name: _one(name, about) for name, about in signatures.items()}


class Memory:
    """Of one version; all but `recall` are the executor's thread's.

    Args:
        title: of the version, for the log and the thread.
        folder: where the file is; None: nothing is kept.
        made_by: what runs the graph; what something else has learnt is not taken.
        files: where it lies.
    """

    def __init__(
        self, title: str, folder: Path | None = None, made_by: str = "", files: Files | None = None
    ) -> None:
        self._title = title
        self._folder = folder
        self._made_by = made_by
        self._files = files or Disk()
        self._changed = threading.Condition(threading.Lock())  # guards what follows
        self._next: Mapping[str, Learnt] | None = None
        self._closing = False
        self._thread: threading.Thread | None = None
        self._warned = False  # of the thread

    def recall(self) -> dict[str, Learnt]:
        """What was learnt by earlier runs of the server."""
        if self._folder is None:
            return {}
        path = self._folder / _NAME
        try:
            return self._read(path)
        except (OSError, ValueError) as error:
            _LOG.warning(
                "%s: %s is passed over, and its calls are checked anew: %s", self._title, path, error
            )
            return {}

    def keep(self, learnt: Mapping[str, Learnt]) -> None:
        """Write it soon, in another thread; of several that come meanwhile the last."""
        if self._folder is None:
            return
        with self._changed:
            self._next = learnt
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name=f"trust {self._title}", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float = _CLOSES_IN_S) -> None:
        """Wait until what was to be kept is written, or could not be. Idempotent.

        A thread that has not ended after `timeout_s` seconds is named in a warning and left to itself.
        """
        if self._thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if join_within(self._thread, timeout_s):
            self._thread, self._closing = None, False

    def _main(self) -> None:
        while True:
            with self._changed:
                while self._next is None:
                    if self._closing:
                        return
                    self._changed.wait()
                learnt, self._next = self._next, None
            try:
                self._write(learnt)
                self._warned = False
            except Exception as error:
                if not self._warned:
                    _LOG.warning("%s: what its checks have learnt is not kept: %s", self._title, error)
                self._warned = True

    def _write(self, learnt: Mapping[str, Learnt]) -> None:
        assert self._folder is not None
        files, path = self._files, self._folder / _NAME
        files.make_folder(self._folder)
        # Another process of this server, or the version that this one replaces, may have learnt more.
        try:
            merged = self._read(path)
        except (OSError, ValueError):
            merged = {}
        for name, one in learnt.items():
            other = merged.get(name, Learnt())
            difference = one.difference or other.difference
            merged[name] = Learnt(0 if difference else max(one.joined, other.joined), difference)
        partial = self._folder / f"{_NAME}.{os.getpid()}"
        write_whole(files, path, partial, [encode(self._made_by, merged)])

    def _read(self, path: Path) -> dict[str, Learnt]:
        try:
            return decode(self._files.read(path), self._made_by)
        except FileNotFoundError:
            return {}


def _one(name: str, about: object) -> Learnt:
    if isinstance(about, dict):
        joined, difference = about.get("joined"), about.get("difference")
        if type(joined) is int and joined >= 0 and isinstance(difference, str):
            return Learnt(joined, difference)
    raise ValueError(f"what it says of signature {name!r} cannot be read")
