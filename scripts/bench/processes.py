"""Server processes: started in a session of their own, measured and frozen as one, and surely ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_STOP_S = 15.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
"""The kernel's unit of processor time, seconds."""


class NoLine(Exception):
    """A server has not said what was waited for."""


@dataclass(frozen=True)
class Launch:
    """How a server is started. `env` is added to ours, `cwd` is where it runs."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None = None


class Server:
    """A process and everything that it starts.

    Attributes:
        log: the file that gets its stdout and stderr.
    """

    def __init__(self, launch: Launch, log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                launch.command,
                env={**os.environ, **launch.env},
                cwd=launch.cwd,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._seen: dict[int, int] = {}

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def last_words(self) -> str:
        """The end of the log, in one line."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(line.strip()[:200] for line in lines[-3:]) or "nothing"

    def wait_for_line(self, start: str, timeout_s: float, offset: int = 0) -> str:
        """The rest of the first complete line of the log, from byte `offset` on, that begins with `start`.

        Raises:
            NoLine: the process ended, or time is up.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self.ended
            text = self.log.read_bytes()[offset:].decode(errors="replace")
            for line in text.splitlines(keepends=True):
                if line.startswith(start) and line.endswith("\n"):
                    return line[len(start) :].strip()
            if ended or time.monotonic() > deadline:
                what = "it ended" if ended else f"{timeout_s:.0f} s are over"
                raise NoLine(f"waiting for {start.strip()!r}: {what}")
            time.sleep(0.02)

    def ask(self, line: str, answer: str, timeout_s: float) -> str:
        """Write a line to its stdin and wait for one that begins with `answer`; raises NoLine."""
        offset = self.log.stat().st_size
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return self.wait_for_line(answer, timeout_s, offset)

    def cpu_s(self) -> float:
        """Processor seconds so far, user and system, of all of it that is alive."""
        stats = (_stat(pid) for pid in self._pids())
        return sum(stat.ticks for stat in stats if stat is not None) * TICK_S

    def resident_bytes(self) -> int:
        """Of the first process."""
        return self._memory("VmRSS:")

    def peak_bytes(self) -> int:
        """The most resident memory that the first process has had."""
        return self._memory("VmHWM:")

    def freeze(self) -> None:
        """Give it no processor time, so that what it does when idle costs the others nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        """Returns at once; `stop` waits."""
        self.thaw()
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end, and make what is left of it after a while."""
        self.ask_to_end()
        deadline = time.monotonic() + _STOP_S
        while self._pids() and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _memory(self, key: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
        return 0

    def _pids(self) -> list[int]:
        """The process, its descendants and everything in its session.

        Some servers give their workers sessions of their own, and a worker whose parent has ended is
        nobody's descendant any more: whoever was seen once is remembered, by when it started.
        """
        stats = {pid: stat for pid in _all_pids() if (stat := _stat(pid)) is not None}
        alive = {pid for pid, started in self._seen.items() if pid in stats and stats[pid].started == started}
        found = {pid for pid, stat in stats.items() if stat.session == self.pid} | alive
        while True:
            children = {pid for pid, stat in stats.items() if stat.parent in found} - found
            if not children:
                break
            found |= children
        self._seen = {pid: stats[pid].started for pid in found}
        return sorted(found)

    def _signal(self, number: int) -> None:
        for pid in self._pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


@dataclass(frozen=True)
class _Stat:
    """What the kernel knows of a process; `started` in ticks since it booted."""

    parent: int
    session: int
    ticks: int
    started: int


def _stat(pid: int) -> _Stat | None:
    """None: it has gone, or is a zombie, which uses nothing and cannot be ended twice."""
    try:
        # The command's name, which may hold anything, is in parentheses; fields are counted after it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == "Z":
        return None
    return _Stat(int(fields[1]), int(fields[3]), int(fields[11]) + int(fields[12]), int(fields[19]))
