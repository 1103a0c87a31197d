"""The configuration, taken again while calls are answered: when somebody asks for it, or its file changes.

One thread, which waits for either and then acts; so a signal handler that asks is not held up, and one does
not happen amid another. What cannot be read, or cannot be served, changes nothing: the log says why, once,
and the next time is another try.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from hotgraph_server.errors import HotgraphError

_LOG = logging.getLogger(__name__)

# To read a small file and hand over what it says; a disk that hangs shall not hold up the end.
_STOP_S = 5.0


class Reloading:
    """A configuration that somebody else may change.

    Args:
        act: takes what the configuration says now; told whether somebody has asked, and wants the folders of
            models looked at as well. May raise HotgraphError: nothing has changed.
        file: that is looked at; what is in it when this is made has been acted upon. None: none is.
        poll_s: between looks at the file, seconds; 0: it is not looked at.
    """

    def __init__(self, act: Callable[[bool], None], file: Path | None = None, poll_s: float = 0.0) -> None:
        self._act = act
        self._file = file
        self._poll_s = poll_s if file is not None else 0.0
        self._seen = self._content()
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()  # False ends the thread
        self._thread = threading.Thread(target=self._wait, name="configuration", daemon=True)

    def __enter__(self) -> Reloading:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked.put(False)
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            _LOG.warning("the thread %s does not end; it is left to itself", self._thread.name)

    def ask(self) -> None:
        """Take the configuration again, whether it has changed or not; returns at once. Any thread."""
        self._asked.put(True)

    def look(self) -> None:
        """Look at the file once, and act if it has changed."""
        content = self._content()
        if content == self._seen:
            return
        self._seen = content
        if self._take(asked=False):
            _LOG.info("%s has changed, and is taken", self._file)

    def reload(self) -> None:
        """Act, whether the file has changed or not."""
        self._seen = self._content()
        if self._take(asked=True):
            _LOG.info("the configuration was read again, and is taken")

    def _take(self, *, asked: bool) -> bool:
        try:
            self._act(asked)
        except HotgraphError as error:
            _LOG.warning("the models stay as they are: %s", error)
        except Exception:
            _LOG.exception("the models stay as they are: a bug of ours")
        else:
            return True
        return False

    def _wait(self) -> None:
        while True:
            try:
                goes_on = self._asked.get(timeout=self._poll_s or None)
            except queue.Empty:
                self.look()
                continue
            if not goes_on:
                return
            self.reload()

    def _content(self) -> bytes | str:
        if self._file is None:
            return ""
        try:
            return self._file.read_bytes()
        except OSError as error:
            # As good as a content: that it is gone is said once.
            return error.strerror or str(error)
