"""Sees which functions of a folder are entered, by the threads that were started after it."""

from __future__ import annotations

import inspect
import sys
import threading
from pathlib import Path
from types import FrameType

from codemap.way import Step

_COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


class Recorder:
    """Notes each function whose source lies in a folder, once it is entered while `recording`.

    A function is what has a name or is a lambda. Comprehensions count as a part of theirs, a generator counts
    once however often it is resumed, and so do methods that `dataclass` has written not at all: none of them
    is a place to go to for a reader. Threads that were running before `install` are not seen.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = f"{folder.resolve()}/"
        self._steps: list[Step] = []
        # Kept, so that no later frame can have the same identity.
        self._generators: list[FrameType] = []
        self.recording = False

    def install(self) -> None:
        """Watch every thread that is started from now on."""
        threading.setprofile(self._seen)

    def taken(self) -> list[Step]:
        """What has been entered since the last time this was asked, in that order."""
        steps, self._steps = self._steps, []
        self._generators = []
        return steps

    def _seen(self, frame: FrameType, event: str, _argument: object) -> None:
        if not self.recording or event != "call" or not self._is_ours(frame):
            return
        if frame.f_code.co_name in _COMPREHENSIONS:
            return
        if frame.f_code.co_flags & inspect.CO_GENERATOR:
            if any(known is frame for known in self._generators):
                return
            self._generators.append(frame)
        file = frame.f_code.co_filename.removeprefix(self._folder)
        self._steps.append(Step(threading.current_thread().name, file, _name(frame), self._depth(frame)))

    def _is_ours(self, frame: FrameType) -> bool:
        return frame.f_code.co_filename.startswith(self._folder)

    def _depth(self, frame: FrameType) -> int:
        depth, outer = 0, frame.f_back
        while outer is not None:
            depth += self._is_ours(outer)
            outer = outer.f_back
        return depth


def _name(frame: FrameType) -> str:
    """Its qualified name; code before Python 3.11 knows the last part of it alone."""
    return frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name
