"""What py-spy saw, as microseconds per call. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_THREAD = re.compile(r"thread \((?:0x)?(\w+)\): ?(.*)")
_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^()]*?)(?::(?P<line>\d+))?\)$")
OWN = "hotgraph_server/"
_WAITS = ("epoll_wait", "pthread_cond_timedwait", "pthread_cond_wait")


@dataclass(frozen=True)
class Spot:
    """Where a thread was seen: the innermost frame of the server's own code; empty for none of it."""

    thread: str
    file: str
    function: str
    line: int

    @property
    def room(self) -> str:
        """The folder, or the module, below hotgraph_server."""
        return self.file.removeprefix(OWN).partition("/")[0].removesuffix(".py") or "none of our code"


def parse_samples(text: str) -> tuple[dict[int, str], Counter[tuple[int, Spot]]]:
    """py-spy's raw format: names of threads by id, and how often each was seen at each spot.

    A line is frames from the outermost to the innermost, separated by semicolons, and a count.
    """
    names: dict[int, str] = {}
    seen: Counter[tuple[int, Spot]] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        match = _THREAD.match(thread)
        if match is None or not frames or frames[-1].startswith(_WAITS):
            continue
        tid, name = int(match[1]), match[2] or "unnamed"
        names[tid] = name
        seen[tid, _spot(name, frames)] += int(count)
    return names, seen


def _spot(thread: str, frames: Sequence[str]) -> Spot:
    for frame in reversed(frames):
        match = _FRAME.match(frame)
        if match is not None and OWN in match["file"]:
            file = OWN + match["file"].rpartition(OWN)[2]
            return Spot(thread, file, match["function"], int(match["line"] or 0))
    return Spot(thread, "", "", 0)


def shares(
    threads: Mapping[int, float], seen: Mapping[tuple[int, Spot], int]
) -> tuple[list[tuple[Spot, float]], float]:
    """Microseconds per call by spot, and those of threads that were never seen at any Python.

    Args:
        threads: each one's microseconds per call, by id.
        seen: how often each was seen at each spot.
    """
    totals: Counter[int] = Counter()
    for (tid, _), count in seen.items():
        totals[tid] += count
    spots = [(spot, threads.get(tid, 0.0) * count / totals[tid]) for (tid, spot), count in seen.items()]
    return spots, sum(us for tid, us in threads.items() if tid not in totals)
