"""A process that runs functions, one at a time, and its end of the pipe here.

It never outlives what it is for: it ends when its job takes too long, with the thread that started it (which
the kernel sees to, on Linux, whatever either of them is busy with), and when its pipe is closed. Where memory
runs short the kernel takes it before the server.

Bytes and arrays go over the pipe as they lie in memory, so that sending them holds no interpreter; strings go
as one text and their lengths, and are made again some thousands at a time.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_server.errors import DeadlineExceeded, NotReady, OverLimit
from hotgraph_server.threads.parent_death import end_with_parent

# Below this, bytes may be copied.
_WORTH_NO_COPY_BYTES = 64 * 1024
# Half a millisecond.
_STRINGS_AT_A_TIME = 4096

Function = Callable[..., Any]


class CannotStart(Exception):
    """There is no process to be had; `error` says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class JsonProcess:
    """One process; started when it is first needed, and again after it was lost. All but `kill` is for one
    thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards `_process`, which only its own thread changes
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any], limit_s: float) -> Any:
        """What `function` returns or raises, in the process. It and all else must be picklable.

        Raises:
            DeadlineExceeded: it has taken longer than `limit_s` seconds; the process is gone.
            NotReady: the process has died.
            CannotStart: see there.
        """
        try:
            process, pipe = self._started()
        except (OSError, RuntimeError, ImportError, NotImplementedError) as error:
            raise CannotStart(error) from error
        late = _Limit(process, limit_s)
        try:
            with late:
                _send(pipe, (function, *map(_uncopied, args)), kwargs)
                (succeeded, answer), _ = _receive(pipe)
        except (OSError, EOFError):
            self.close()
            if late.passed:
                raise DeadlineExceeded(f": its JSON has taken longer than {limit_s:.3g} s") from None
            raise NotReady("the process that reads large JSON has ended") from None
        if late.passed:
            self.close()
        if succeeded:
            return answer
        raise answer

    def kill(self) -> None:
        """End it, whatever it does. Any thread may call this."""
        with self._lock:
            process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End it and forget it."""
        self.kill()
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process = self._pipe = None
        if process is not None and pipe is not None:
            process.join()
            pipe.close()

    def _started(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        if self._process is not None and not self._process.is_alive():
            self.close()
        if self._process is None or self._pipe is None:
            # A fork would have TensorFlow's threads' locks, and none of its threads.
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            try:
                process = context.Process(
                    target=_serve, args=(theirs, os.getpid()), name="REST JSON", daemon=True
                )
                process.start()
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            with self._lock:
                self._process, self._pipe = process, ours
        return self._process, self._pipe


class _Limit:
    """Kills a process that is not done in time.

    Attributes:
        passed: it has been killed.
    """

    def __init__(self, process: multiprocessing.process.BaseProcess, limit_s: float) -> None:
        self.passed = False
        self._process = process
        self._lock = threading.Lock()  # guards `passed` and `_done`
        self._done = False
        self._timer = threading.Timer(min(limit_s, threading.TIMEOUT_MAX), self._pass)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._done = True
        self._timer.cancel()

    def _pass(self) -> None:
        with self._lock:
            if not self._done:
                self.passed = True
                self._process.kill()


def _serve(pipe: Connection, server: int) -> None:
    """The process: answer until the server asks no more."""
    # These reach all processes of a terminal, and it is the server that decides what they mean.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _end_with(server)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(EOFError, OSError):
        while True:
            (function, *args), kwargs = _receive(pipe)
            _send(pipe, *_answer(function, args, kwargs))


def _answer(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    try:
        return (True, _uncopied(function(*args, **kwargs))), None
    except MemoryError:
        return (False, OverLimit("the call's JSON takes more memory than there is")), None
    except Exception as error:
        # Its traceback would hold all that it has come by.
        return (False, error.with_traceback(None)), None


def _end_with(server: int) -> None:
    if sys.platform == "linux":
        end_with_parent(signal.SIGKILL)
        if os.getppid() != server:
            # It had gone before that was said.
            os._exit(0)
    else:
        threading.Thread(target=_watch_parent, name="end with the server", daemon=True).start()


def _watch_parent() -> None:
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(0)


def _uncopied(value: Any) -> Any:
    """Large bytes in a form that pickle leaves out of its own, and gives back as bytes."""
    large = isinstance(value, bytes | bytearray) and len(value) > _WORTH_NO_COPY_BYTES
    return pickle.PickleBuffer(value) if large else value


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype == object:
            strings = value.ravel().tolist()
            if set(map(type, strings)) == {bytes}:
                lengths = np.fromiter(map(len, strings), np.int64, len(strings))
                return strings_of, (value.shape, lengths, _uncopied(b"".join(strings)))
        return NotImplemented


def strings_of(shape: Sequence[int], lengths: np.ndarray[Any, Any], text: bytes) -> np.ndarray[Any, Any]:
    """An array of strings, from their lengths and all of them one after the other."""
    array = np.empty(len(lengths), object)
    at = 0
    for begin in range(0, len(lengths), _STRINGS_AT_A_TIME):
        strings = []
        for length in lengths[begin : begin + _STRINGS_AT_A_TIME].tolist():
            strings.append(text[at : at + length])
            at += length
        array[begin : begin + len(strings)] = strings
    return array.reshape(shape)


def _send(pipe: Connection, *values: Any) -> None:
    buffers: list[pickle.PickleBuffer] = []
    head = io.BytesIO()
    _Pickler(head, 5, buffer_callback=buffers.append).dump(values)
    pipe.send_bytes(pickle.dumps((len(buffers), head.getvalue())))
    for buffer in buffers:
        with buffer.raw() as raw:
            pipe.send_bytes(raw)


def _receive(pipe: Connection) -> tuple[Any, ...]:
    count, head = pickle.loads(pipe.recv_bytes())
    buffers = [pipe.recv_bytes() for _ in range(count)]
    values: tuple[Any, ...] = pickle.loads(head, buffers=buffers)
    return values
