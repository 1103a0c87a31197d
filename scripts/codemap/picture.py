"""The picture of the floors: rooms, what lives in each, and who imports whom. Pure: names in, SVG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from codemap.layout import GUTTER, TEXT_SIZE, WIDTH, Arrow, Box, Route, laid_out, row

_TOP, _BOTTOM = 52, 20
_PLATE_HEAD, _PLATE_FOOT, _PLATE_ROW_GAP = 30, 12, 12

# Both themes in one file: whoever shows it says which one he has.
_STYLE = """\
.page { fill: #ffffff } .plate { fill: #eef1f5 }
.room { fill: #f8fafc; stroke: #7b8794; stroke-width: 1 }
.name { fill: #16324f; font-family: monospace; font-size: 14px; font-weight: bold }
.text { fill: #2d3748 } .note { fill: #5a6675 }
.arrow { fill: none; stroke: #5b7fa6; stroke-width: 1.3 } .tip { fill: #5b7fa6 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .plate { fill: #1b222c }
.room { fill: #161b22; stroke: #5d6875 }
.name { fill: #9ecbff } .text { fill: #d5dbe3 } .note { fill: #98a3b0 }
.arrow { stroke: #6f9bcb } .tip { fill: #6f9bcb }
}"""


def svg(
    floors: Sequence[Sequence[str]],
    base: Sequence[Sequence[str]],
    texts: Mapping[str, str],
    arrows: Mapping[Arrow, bool],
) -> str:
    """The picture.

    Args:
        floors: rooms from the top to the bottom, those of the base left out.
        base: the floors on which all of these stand.
        texts: what lives in each room.
        arrows: who imports whom, of `floors`; True: not at once, but when a function is called or for types.
    """
    page = laid_out(floors, texts, list(arrows), _TOP)
    parts = [_route(route, later=arrows[route.source, route.target]) for route in page.routes]
    for number, floor in enumerate(page.floors):
        parts += [part for box in floor for part in _room(box)]
        parts.append(_number(len(base) + len(floors) - number, floor[0]))
    plate_top = page.height + 26
    plate, bottom = _plate(base, texts, plate_top)
    height = bottom + _BOTTOM
    drawn = "Arrows: who imports whom; dashed: not at once, but when a function is called, or for types."
    left_out = "Left out: arrows that others imply, and those to what every floor may use."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}"'
            f' viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" font-size="{TEXT_SIZE}">',
            f"<style>\n{_STYLE}\n</style>",
            f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>',
            f'<text class="note" x="{GUTTER}" y="24">{drawn}</text>',
            f'<text class="note" x="{GUTTER}" y="40">{left_out}</text>',
            *parts,
            *plate,
            "</svg>\n",
        ]
    )


def _plate(base: Sequence[Sequence[str]], texts: Mapping[str, str], top: float) -> tuple[list[str], float]:
    """What all stand on, and where it ends."""
    parts: list[str] = []
    y = top + _PLATE_HEAD
    for number, floor in enumerate(base):
        boxes = row(floor, texts, y)
        parts += [part for box in boxes for part in _room(box)]
        parts.append(_number(len(base) - number, boxes[0]))
        y = boxes[0].top + boxes[0].height + _PLATE_ROW_GAP
    bottom = y - _PLATE_ROW_GAP + _PLATE_FOOT
    rect = f'<rect class="plate" y="{top:.1f}" width="{WIDTH}" height="{bottom - top:.1f}"/>'
    note = f'<text class="note" x="{GUTTER}" y="{top + 20:.1f}">What every floor may use</text>'
    return [rect, note, *parts], bottom


def _room(box: Box) -> list[str]:
    x, y = box.left + 8, box.top + 18
    return [
        f'<rect class="room" x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}"'
        f' height="{box.height:.1f}" rx="5"/>',
        f'<text class="name" x="{x:.1f}" y="{y:.1f}">{escape(box.name)}</text>',
        *(
            f'<text class="text" x="{x:.1f}" y="{y + 16 + 15 * number:.1f}">{escape(line)}</text>'
            for number, line in enumerate(box.lines)
        ),
    ]


def _number(number: int, first: Box) -> str:
    y = first.top + first.height / 2 + 4
    return f'<text class="note" x="12" y="{y:.1f}" text-anchor="middle">{number}</text>'


def _route(route: Route, *, later: bool) -> str:
    (x, y), *rest = route.points
    path = [f"M{x:.1f},{y:.1f}"]
    # Curves from floor to floor, straight lines past one.
    for number, (to_x, to_y) in enumerate(rest):
        if number % 2:
            path.append(f"V{to_y:.1f}")
        else:
            half = (y + to_y) / 2
            path.append(f"C{x:.1f},{half:.1f} {to_x:.1f},{half:.1f} {to_x:.1f},{to_y:.1f}")
        x, y = to_x, to_y
    dashes = ' stroke-dasharray="4 3"' if later else ""
    return (
        f'<path class="arrow" d="{" ".join(path)}"{dashes}/>'
        f'<path class="tip" d="M{x - 3.5:.1f},{y - 7:.1f} h7 l-3.5,7 z"/>'
    )
