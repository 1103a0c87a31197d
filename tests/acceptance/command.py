"""The commands `hotgraph serve` and `hotgraph tensorflow-model-server` in a process of their own."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SERVING = "serving on "
# For TensorFlow to be imported on a machine that is busy with other tests.
_START_S = 90.0
_END_S = 30.0


def arguments(*flags: str) -> list[str]:
    """The command line; without the REST and the admin port, whose numbers are fixed, unless a flag asks for
    them."""
    without = ("--rest-port", "0", "--admin-port", "0")
    return [sys.executable, "-m", "hotgraph_server", "serve", *without, *flags]


class Serving:
    """A running server.

    Attributes:
        process: it.
        lines: of its stderr, in order, up to the last one waited for.
        address: what the line `serving on` says; after `until_it_serves`.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._unread: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="stderr of hotgraph serve")
        self._reader.start()
        self.address = ""

    def until_it_serves(self) -> None:
        """Returns when it answers calls."""
        self.address = self.wait_for_line(_SERVING).removeprefix(_SERVING)

    def wait_for_line(self, start: str, timeout_s: float = _START_S) -> str:
        """The next line of stderr that begins with `start`; fails if the process ends without it."""
        return self._wait(start, lambda line: line.startswith(start), timeout_s)

    def wait_for_text(self, text: str, timeout_s: float = _START_S) -> str:
        """The next line of stderr with `text` in it; fails if the process ends without it."""
        return self._wait(text, lambda line: text in line, timeout_s)

    def status(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self.process.wait(_END_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(_END_S)
        self._reader.join(_END_S)

    def _wait(self, what: str, is_it: Callable[[str], bool], timeout_s: float) -> str:
        while True:
            line = self._unread.get(timeout=timeout_s)
            self.lines.append(line)
            if is_it(line):
                return line.rstrip("\n")
            assert line, f"ended without a line {what!r}:\n{''.join(self.lines)}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                self._unread.put(line)
        self._unread.put("")


@contextmanager
def serve(*flags: str) -> Iterator[Serving]:
    """``with serve(DIR, "--port", "0") as serving:`` it answers calls, and is gone at the end."""
    with _running(arguments(*flags)) as serving:
        yield serving


def tensorflow_arguments(*flags: str) -> list[str]:
    """The command line of a server that has TensorFlow Serving's flags, for this machine alone."""
    return [sys.executable, "-m", "hotgraph_server", "tensorflow-model-server", "--host=127.0.0.1", *flags]


@contextmanager
def tensorflow_model_server(*flags: str) -> Iterator[Serving]:
    """Like `serve`, with TensorFlow Serving's flags."""
    with _running(tensorflow_arguments(*flags)) as serving:
        yield serving


@contextmanager
def starting(command: list[str]) -> Iterator[Serving]:
    """A server that does not answer calls yet, by its command line."""
    serving = Serving(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    try:
        yield serving
    finally:
        serving.close()


@contextmanager
def _running(command: list[str]) -> Iterator[Serving]:
    with starting(command) as serving:
        serving.until_it_serves()
        yield serving
