"""Starts the process that converts, waits for it, and ends it when that takes too long or nobody waits any
more."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hotgraph_server.conversion.request import Answer, Request
from hotgraph_server.errors import LoadError
from hotgraph_server.threads.parent_death import end_with_parent

Say = Callable[[str], None]
"""Takes a line for whoever waits."""

# Without the folder that it is started in among those that modules come from, whatever files lie there.
PROGRAM = (
    "import sys; sys.path[:] = [one for one in sys.path if one];from hotgraph_server.conversion.child"
    " import main; sys.exit(main(sys.argv[1:]))"
)
EVERY_S = 10.0
"""So often who waits is told that it goes on."""
_ANSWER_BYTES = 1 << 20
_TAIL_BYTES = 4096


def convert(
    request: Request, timeout_s: float, say: Say, *, program: str = PROGRAM, every_s: float = EVERY_S
) -> Answer:
    """Make a SavedModel in `request.target`, which appears there whole or not at all.

    Args:
        timeout_s: 0: it may take as long as it needs.
        say: is told when it begins, now and again, and when it is done.
        program: that converts, for Python.
        every_s: so often it is told that it goes on.

    Raises:
        LoadError: it cannot be made; the text says why and what to do.
    """
    target = Path(request.target)
    name = Path(request.source).name
    work = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}-", dir=target.parent))
    try:
        say(f"{name}: making a SavedModel of it, in a process of its own")
        started = time.monotonic()

        waiting = _Waiting(
            timeout_s, every_s, lambda waited_s: say(f"{name}: still at it after {waited_s:.0f} s")
        )
        answer = _answer_of(replace(request, target=str(work / "model")), work, waiting, program)
        if answer.error:
            raise LoadError(request.source, answer.error)
        (work / "model").replace(target)
        say(f"{name}: done after {time.monotonic() - started:.1f} s, with {answer.made_by}")
        for line in answer.remarks:
            say(f"{name}: {line}")
        return answer
    except OSError as error:
        raise LoadError(str(target), f"cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Waiting(NamedTuple):
    """How long for, and who is told how often."""

    timeout_s: float
    every_s: float
    tell: Callable[[float], None]


def _answer_of(request: Request, work: Path, waiting: _Waiting, program: str) -> Answer:
    end, noise = work / "answer.json", work / "noise"
    with noise.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program, request.to_json(), str(end)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A group of its own: Ctrl-C is for who waits, who ends it and says so.
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGKILL),
        )
    try:
        _wait(process, waiting)
    except subprocess.TimeoutExpired:
        raise LoadError(
            request.source,
            f"making a SavedModel of it took more than {waiting.timeout_s:g} s (conversion_timeout_s)",
        ) from None
    finally:
        _end(process)
    try:
        with end.open() as file:
            return Answer.from_json(file.read(_ANSWER_BYTES))
    except (OSError, ValueError):
        raise LoadError(request.source, _without_an_answer(process.returncode, noise)) from None


def _wait(process: subprocess.Popen[bytes], waiting: _Waiting) -> None:
    """Raises subprocess.TimeoutExpired."""
    started = time.monotonic()
    while True:
        left_s = waiting.timeout_s - (time.monotonic() - started) if waiting.timeout_s else waiting.every_s
        try:
            process.wait(min(max(left_s, 0.0), waiting.every_s))
            return
        except subprocess.TimeoutExpired:
            if waiting.timeout_s and left_s <= waiting.every_s:
                raise
            waiting.tell(time.monotonic() - started)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # With all that it has started.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _without_an_answer(status: int, noise: Path) -> str:
    if status < 0:
        ended = signal.Signals(-status).name if -status in signal.valid_signals() else str(-status)
        memory = ", which is what the kernel does for lack of memory" if -status == signal.SIGKILL else ""
        return f"the process that read it was ended by {ended}{memory}"
    size = noise.stat().st_size
    with noise.open("rb") as file:
        file.seek(max(size - _TAIL_BYTES, 0))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f"the process that read it broke: {lines[-1][:300] if lines else f'status {status}'}"
