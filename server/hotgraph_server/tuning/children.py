"""The processes that a tuning starts: one that measures, servers that are confirmed, and who loads them.

Each is started here, waited for here and ended here by its own id, whatever happens in between; and the
system ends it where this process is killed. The load comes from a process that has no TensorFlow, by its
documented command and JSON, so nothing here needs the client. Nothing of a child is read but its lines: a
server's stderr goes to a file, which cannot fill up.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hotgraph_server.errors import StartError
from hotgraph_server.threads.parent_death import end_with_parent
from hotgraph_server.tuning import jobs
from hotgraph_server.tuning.confirmation import Step

_SERVING = "serving on "
_START_S = 600.0
_LOOK_S = 0.05
_END_S = 30.0
# Of a load, not counted: the server is warm, the connections are not.
_WARM_UP_S = 2.0

_ABOUT = ("machine", "protocol", "version", "signature", "input", "load")

MEASURING = (sys.executable, "-m", "hotgraph_server.commands.measuring")
SERVING = (
    *(sys.executable, "-m", "hotgraph_server", "serve"),
    *("--host", "127.0.0.1", "--port", "0", "--rest-port", "0", "--admin-port", "0"),
)
LOADTEST = (sys.executable, "-m", "hotgraph_server", "loadtest")


def measured(
    job: jobs.Job, say: Callable[[str], object], command: Sequence[str] = MEASURING
) -> dict[str, Any]:
    """What a process tells that measures as `job` says: all its lines as one.

    Raises:
        StartError: it cannot be done.
    """
    told: dict[str, Any] = {}
    with _running([*command, jobs.encode(job)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for text in process.stdout:
            line = json.loads(text)
            if "say" in line:
                say(line["say"])
            told |= line
        status = process.wait()
    if "fault" in told:
        raise StartError(told["fault"])
    if status or "costs" not in told:
        raise StartError(f"the process that measures ended with status {status}")
    return told


class Served:
    """A server that answers.

    Attributes:
        address: HOST:PORT.
    """

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self._process = process
        self.address = address

    def cpu_s(self) -> float:
        """Processor time of it and its own processes so far, seconds; 0.0 where the system does not tell."""
        return sum(_cpu_s(pid) for pid in _family(self._process.pid))


@contextlib.contextmanager
def served(arguments: Sequence[str], command: Sequence[str] = SERVING) -> Iterator[Served]:
    """A server with these arguments, on a free port of this machine alone; gone at the end.

    Raises:
        StartError: it does not come to answer.
    """
    with tempfile.TemporaryFile("w+") as log, _running([*command, *arguments], stderr=log) as process:
        yield Served(process, _address(process, log.fileno()))


def _address(process: subprocess.Popen[str], log: int) -> str:
    until = time.monotonic() + _START_S
    while True:
        ended = process.poll() is not None
        lines = os.pread(log, 1 << 20, 0).decode(errors="replace").splitlines()
        for line in lines:
            if line.startswith(_SERVING):
                return line.removeprefix(_SERVING).strip()
        if ended or time.monotonic() > until:
            raise StartError(f"a server with these settings does not start: {''.join(lines[-1:])}")
        time.sleep(_LOOK_S)


class LoadTestCommand:
    """`hotgraph loadtest` as a process. See confirmation.LoadTest.

    Args:
        arguments: that every run has beside its own.
        replay: a request log whose calls are sent, and how many times as fast as they came; None: calls at
            random moments, made from what the server says of the model.

    Attributes:
        about: what the last run's document says of the machine, the protocol and the input.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        command: Sequence[str] = LOADTEST,
        replay: tuple[str, float] | None = None,
    ) -> None:
        self._command = [*command]
        self._arguments = [*arguments]
        self._replay = replay
        self.about: dict[str, Any] = {}

    def run(
        self, address: str, model: str, rate: float, seconds: float, rows: Mapping[int, float], seed: int
    ) -> Step:
        """
        Raises:
            StartError: it cannot be had, or does not come to an end.
        """
        warm_up_s = min(seconds / 4, _WARM_UP_S)
        words = [address, model, "--duration", f"{seconds:g}", "--warm-up", f"{warm_up_s:g}"]
        words += ["--seed", str(seed), "--json", "-"]
        if self._replay is not None:
            log, speed = self._replay
            words += ["--replay", log, "--speed", f"{speed:g}"]
        else:
            words += ["--rate", f"{rate:g}"]
            if rows.keys() != {1}:
                words += ["--rows", ",".join(f"{size}:{weight:g}" for size, weight in rows.items())]
        ran = subprocess.run(
            [*self._command, *words, *self._arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            document = json.loads(ran.stdout)
            warm_up_s = document.get("load", {}).get("warm_up_s", 0.0)
            self.about = {key: document[key] for key in _ABOUT if key in document}
            step: Step = {**document["steps"][0], "warm_up_s": warm_up_s}
        except (ValueError, LookupError, TypeError, AttributeError):
            last = (ran.stderr.strip().splitlines() or [f"it ended with status {ran.returncode}"])[-1]
            raise StartError(f"no load can be sent: {last}") from None
        return step

    def is_there(self) -> bool:
        """Can loads be sent?"""
        ran = subprocess.run(
            [*self._command, "--help"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        return ran.returncode == 0


@contextlib.contextmanager
def _running(command: Sequence[str], **streams: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        text=True,
        preexec_fn=partial(end_with_parent, signal.SIGTERM),
        **streams,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _family(pid: int) -> list[int]:
    """A process and those that it has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(member for child in children for member in _family(int(child)))]


def _cpu_s(pid: int) -> float:
    try:
        # Behind the name, which may hold anything: state is field 3, utime 14 and stime 15 of proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
