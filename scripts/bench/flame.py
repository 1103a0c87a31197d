"""A flame graph: which calls lead to where the time goes, as an SVG picture. Pure.

Each box is a function; its width is the processor time per call of the server spent in it and in what it
called; above it lies what it called. A title shows when the pointer rests on a box.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

_WIDTH = 1400.0
_LINE = 17
_LETTER = 6.6
_TOP = 46
_MIN = 0.4
"""Boxes narrower than this many pixels are left out; what is below them keeps its width."""


@dataclass
class Box:
    """A function as called from the one below it; `us` includes what it called."""

    us: float = 0.0
    above: dict[str, Box] = field(default_factory=dict)


def tree(stacks: Mapping[tuple[str, ...], float]) -> Box:
    """Stacks (outermost frame first) and their microseconds, as one box on which all others stand."""
    root = Box()
    for stack, us in stacks.items():
        box = root
        box.us += us
        for frame in stack:
            box = box.above.setdefault(frame, Box())
            box.us += us
    return root


def svg(stacks: Mapping[tuple[str, ...], float], title: str) -> str:
    """The picture.

    Args:
        stacks: frames from the outermost on, and microseconds per call.
    """
    root = tree(stacks)
    height = _depth(root) * _LINE
    parts: list[str] = []
    _draw(root, 0.0, 0, height, _WIDTH / root.us if root.us else 0.0, parts)
    total = height + _TOP + 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:.0f}" height="{total}" '
            f'viewBox="0 0 {_WIDTH:.0f} {total}" font-family="monospace" font-size="11">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="10" y="24" font-size="15">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _depth(box: Box) -> int:
    return max((1 + _depth(above) for above in box.above.values()), default=0)


def _draw(box: Box, left: float, level: int, height: int, scale: float, parts: list[str]) -> None:
    for name, above in sorted(box.above.items(), key=lambda item: -item[1].us):
        width = above.us * scale
        if width >= _MIN:
            parts.append(_rectangle(name, above.us, left, _TOP + height - (level + 1) * _LINE, width))
            _draw(above, left, level + 1, height, scale, parts)
        left += width


def _rectangle(name: str, us: float, left: float, top: int, width: float) -> str:
    letters = int((width - 4) / _LETTER)
    text = name if len(name) <= letters else name[: letters - 2] + ".." if letters > 3 else ""
    label = f'<text x="{left + 3:.1f}" y="{top + 12}">{escape(text)}</text>' if text else ""
    return (
        f"<g><title>{escape(name)}: {us:.1f} us per call</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{max(width - 0.5, 0.3):.1f}" height="{_LINE - 1}" '
        f'fill="{_colour(name)}"/>{label}</g>'
    )


def _colour(name: str) -> str:
    """The same for all functions of one file, warm for our own code and cool for others'."""
    file = name.rpartition("(")[2].partition(":")[0]
    shade = zlib.crc32(file.encode()) % 60
    return f"hsl({shade}, 85%, 65%)" if "hotgraph" in file else f"hsl({190 + shade}, 40%, 75%)"


def scaled(
    stacks: Sequence[tuple[int, tuple[str, ...], int]], threads: Mapping[int, float]
) -> dict[tuple[str, ...], float]:
    """Each thread's microseconds per call shared out over the stacks that it was seen with.

    Args:
        stacks: thread, frames with the thread's name first, how often.
        threads: microseconds per call by thread.
    """
    totals: dict[int, int] = {}
    for tid, _, count in stacks:
        totals[tid] = totals.get(tid, 0) + count
    sums: dict[tuple[str, ...], float] = {}
    for tid, stack, count in stacks:
        sums[stack] = sums.get(stack, 0.0) + threads.get(tid, 0.0) * count / totals[tid]
    return sums
