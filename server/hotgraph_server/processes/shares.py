"""Who gets what: processors, connections, and time before the next start. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_PROCESSORS_EACH = 2

# The first start after a long life comes soon: most of what ends a process once does not end the next one.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONG_LIFE_S = 60.0
"""Who has lived so long is started again as if for the first time."""


def count(wanted: int, usable: int) -> int:
    """How many processes there are.

    Args:
        wanted: as many; 0: as the processors say. Under load one process keeps some two busy: one by what is
            Python, of which one thread runs at a time, and one by the graph.
        usable: processors.
    """
    return wanted or max(usable // _PROCESSORS_EACH, 1)


def processors(found: Sequence[int], index: int, of: int) -> list[int]:
    """Those that process `index` of `of` runs on: none of another's, and neighbours, which mostly share
    caches and memory. All, where there are fewer than processes."""
    ordered = sorted(found)
    if len(ordered) < of:
        return ordered
    return ordered[len(ordered) * index // of : len(ordered) * (index + 1) // of]


def told(found: Sequence[int], of: int) -> str:
    """What the log says of that."""
    if not found:
        return "on processors of the system's choice"
    if len(found) < of:
        return f"each on all of {len(found)} processors"
    least, rest = divmod(len(found), of)
    return f"each on {least}{f' to {least + 1}' if rest else ''} of {len(found)} processors"


def next_pause_s(last_s: float, lived_s: float) -> float:
    """How long to wait before a process that has died is started again, seconds.

    Args:
        last_s: the wait before it was started; 0: there was none.
        lived_s: from then to its death, seconds.
    """
    if lived_s >= LONG_LIFE_S or not last_s:
        return FIRST_PAUSE_S
    return min(2 * last_s, LONGEST_PAUSE_S)


def too_many(counts: Sequence[int]) -> list[int]:
    """Of each process's open connections, how many it has above its share: the mean, rounded up."""
    share = -(-sum(counts) // len(counts)) if counts else 0
    return [max(one - share, 0) for one in counts]
