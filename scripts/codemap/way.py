"""The way of a call through the code, from what each thread was seen to enter. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A function of ours that was entered.

    Attributes:
        thread: the name of the thread that entered it.
        file: relative to the server's folder, such as ``batching/queue.py``.
        function: its qualified name.
        depth: how many functions of ours it was called from, one by another.
    """

    thread: str
    file: str
    function: str
    depth: int

    @property
    def room(self) -> str:
        """The folder at the top that the file lies in, or the file itself where it lies in none."""
        return self.file.split("/")[0].removesuffix(".py")


@dataclass(frozen=True)
class Figures:
    """What a way amounts to: functions entered, different ones of them, their files, their rooms, and how
    often the next function was entered by another thread than the last.
    """

    calls: int
    functions: int
    files: int
    rooms: int
    hand_overs: int


def figures(way: Sequence[Step]) -> Figures:
    """Count a way."""
    return Figures(
        calls=len(way),
        functions=len({(step.file, step.function) for step in way}),
        files=len({step.file for step in way}),
        rooms=len({step.room for step in way}),
        hand_overs=max(len(legs(way)) - 1, 0),
    )


def legs(way: Sequence[Step]) -> list[list[Step]]:
    """The way, cut wherever another thread goes on with it."""
    return [list(leg) for _, leg in itertools.groupby(way, key=lambda step: step.thread)]


def typical(ways: Sequence[Sequence[Step]]) -> Sequence[Step]:
    """Of several ways of like calls the one whose number of calls is the median; of an even number of ways,
    the shorter of the two in the middle. There has to be one.
    """
    return sorted(ways, key=len)[(len(ways) - 1) // 2]


def table(ways: Sequence[Sequence[Step]], *, list_steps: bool = False) -> list[str]:
    """Lines to print: the legs of the typical way, what it amounts to, and how far the others differ.

    `list_steps`: every function as well, in the order in which they were entered.
    """
    way = typical(ways)
    lines = [f"{'leg':<4}{'thread':<24}{'calls':>6}{'files':>7}  rooms in the order of their first function"]
    for number, leg in enumerate(legs(way), 1):
        counted = figures(leg)
        rooms = " ".join(dict.fromkeys(step.room for step in leg))
        lines.append(f"{number:<4}{leg[0].thread:<24.23}{counted.calls:>6}{counted.files:>7}  {rooms}")
        if list_steps:
            lines += [f"      {'  ' * step.depth}{step.file}: {step.function}" for step in leg]
    lines.append("")
    for thread in dict.fromkeys(step.thread for step in way):
        counted = figures([step for step in way if step.thread == thread])
        lines.append(f"{thread}: {counted.calls} calls in {counted.files} files")
    counted = figures(way)
    lines.append(
        f"in all: {counted.calls} calls of {counted.functions} functions in {counted.files} files of"
        f" {counted.rooms} rooms; {counted.hand_overs} hand-overs"
    )
    others = [figures(other) for other in ways]
    lines.append(
        f"{len(ways)} calls like it: {_spread([one.calls for one in others])} calls,"
        f" {_spread([one.files for one in others])} files,"
        f" {_spread([one.hand_overs for one in others])} hand-overs"
    )
    return lines


def _spread(counts: Sequence[int]) -> str:
    return f"{min(counts)} to {max(counts)}"
