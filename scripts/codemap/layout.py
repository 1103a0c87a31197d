"""Where boxes and arrows go in the picture of the floors. Pure.

Boxes of a floor share the width of the page. An arrow that passes floors by goes through the gaps between
their boxes, never behind one: of all ways down that one is taken which goes the least to the sides, and
arrows of one way lie beside each other. A gap is as wide as what passes it asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 900
GUTTER = 30
"""On the left, for the number of a floor, and on the right, for looks."""
_GAP, _LANE = 14, 8
_BETWEEN_FLOORS = 34
_LINE, _HEAD, _FOOT = 15, 24, 9
TEXT_SIZE = 12
_TEXT_MARGIN = 8

# Of the size of the letters, in the widest of the usual fonts; what is not listed counts as a letter.
_NARROW, _WIDE = "fijlrt.,:;'|!()[]/ ", "mwMWOQGD@%"
_SHARES = {**dict.fromkeys(_NARROW, 0.4), **dict.fromkeys(_WIDE, 0.92)}
_LETTER = 0.62


Arrow = tuple[str, str]
"""Who imports, and whom."""


@dataclass(frozen=True)
class Box:
    """A room on the page, pixels from the upper left corner; `lines` are its text, broken to its width."""

    name: str
    lines: Sequence[str]
    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


@dataclass(frozen=True)
class Route:
    """An arrow by its points, from a box's lower edge to another's upper edge.

    From the second to the third, from the fourth to the fifth and so on it goes straight down past a floor.
    """

    source: str
    target: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Layout:
    """A page of that height; `floors` are their boxes."""

    floors: Sequence[Sequence[Box]]
    routes: Sequence[Route]
    height: float


def laid_out(
    floors: Sequence[Sequence[str]],
    texts: Mapping[str, str],
    arrows: Sequence[Arrow],
    top: float,
) -> Layout:
    """Place the rooms of these floors and the arrows between them, from `top` on downwards.

    Args:
        floors: names by floor, from the top to the bottom.
        texts: what is written in each room.
        arrows: from a room to one on a lower floor.
    """
    level = {name: number for number, floor in enumerate(floors) for name in floor}
    position = {name: number for floor in floors for number, name in enumerate(floor)}
    gaps = {arrow: _gaps_passed(arrow, floors, position, level) for arrow in arrows}
    boxes: list[list[Box]] = []
    lanes: list[list[list[Arrow]]] = []
    y = top
    for number, floor in enumerate(floors):
        passing = [
            sorted(
                (arrow for arrow in arrows if gaps[arrow].get(number) == gap),
                key=lambda arrow: (level[arrow[1]], arrow),
            )
            for gap in range(len(floor) + 1)
        ]
        boxes.append(_row(floor, texts, [len(arrows_here) for arrows_here in passing], y))
        lanes.append(passing)
        y += boxes[-1][0].height + _BETWEEN_FLOORS
    placed = {box.name: box for floor in boxes for box in floor}
    routes = [_route(arrow, arrows, placed, boxes, lanes, gaps) for arrow in arrows]
    return Layout(boxes, routes, y - _BETWEEN_FLOORS)


def row(floor: Sequence[str], texts: Mapping[str, str], top: float) -> list[Box]:
    """Boxes side by side that nothing passes."""
    return _row(floor, texts, [0] * (len(floor) + 1), top)


def wrapped(text: str, width: float) -> list[str]:
    """Text in lines that are no wider than that many pixels; a single word that is stays whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def text_width(text: str) -> float:
    """Pixels, rather too many than too few: which font a reader has is not known."""
    return TEXT_SIZE * sum(_SHARES.get(letter, _LETTER) for letter in text)


def _row(floor: Sequence[str], texts: Mapping[str, str], passing: Sequence[int], top: float) -> list[Box]:
    """The boxes of a floor; `passing`: how many arrows go through each gap, the outer ones included."""
    inner = [_GAP + _LANE * count for count in passing]
    # Whatever passes outside has the gutter to itself.
    outer = [_LANE * passing[0], _LANE * passing[-1]]
    width = (WIDTH - 2 * GUTTER - sum(outer) - sum(inner[1:-1])) / len(floor)
    broken = [wrapped(texts[name], width - 2 * _TEXT_MARGIN) for name in floor]
    height = _HEAD + _LINE * max(map(len, broken)) + _FOOT
    boxes = []
    left: float = GUTTER + outer[0]
    for number, (name, lines) in enumerate(zip(floor, broken, strict=True)):
        boxes.append(Box(name, lines, left, top, width, height))
        left += width + inner[number + 1]
    return boxes


def _gaps_passed(
    arrow: Arrow,
    floors: Sequence[Sequence[str]],
    position: Mapping[str, int],
    level: Mapping[str, int],
) -> dict[int, int]:
    """For each floor that an arrow passes by the gap that it takes, 0 being left of the first box.

    The way with the least movement to the sides, as if all gaps were narrow.
    """
    source, target = arrow
    passed = range(level[source] + 1, level[target])

    def where(number: int, gap: int) -> float:
        return gap / len(floors[number])

    def middle(name: str) -> float:
        return (position[name] + 0.5) / len(floors[level[name]])

    # For each gap of the floor before: how far to the sides the best way to it goes, and that way.
    ways: list[tuple[float, float, list[int]]] = [(0.0, middle(source), [])]
    for number in passed:
        ways = [
            min(
                (moved + abs(where(number, gap) - x), where(number, gap), [*way, gap])
                for moved, x, way in ways
            )
            for gap in range(len(floors[number]) + 1)
        ]
    _, _, best = min((moved + abs(middle(target) - x), x, way) for moved, x, way in ways)
    return dict(zip(passed, best, strict=True))


def _route(
    arrow: Arrow,
    arrows: Sequence[Arrow],
    placed: Mapping[str, Box],
    boxes: Sequence[Sequence[Box]],
    lanes: Sequence[Sequence[Sequence[Arrow]]],
    gaps: Mapping[Arrow, Mapping[int, int]],
) -> Route:
    source, target = (placed[name] for name in arrow)

    def lane(one: Arrow, number: int) -> float:
        gap = gaps[one][number]
        floor, here = boxes[number], lanes[number][gap]
        left = floor[gap - 1].left + floor[gap - 1].width if gap else GUTTER - _GAP / 2
        right = floor[gap].left if gap < len(floor) else WIDTH - GUTTER + _GAP / 2
        return left + (right - left) * (here.index(one) + 1) / (len(here) + 1)

    def next_x(one: Arrow) -> float:
        """Where an arrow that leaves goes to first."""
        return lane(one, min(gaps[one])) if gaps[one] else placed[one[1]].middle

    def last_x(one: Arrow) -> float:
        """Where an arrow that comes was last."""
        return lane(one, max(gaps[one])) if gaps[one] else placed[one[0]].middle

    leaving = sorted((one for one in arrows if one[0] == arrow[0]), key=next_x)
    coming = sorted((one for one in arrows if one[1] == arrow[1]), key=last_x)
    points = [(_port(source, leaving.index(arrow), len(leaving)), source.top + source.height)]
    for number in gaps[arrow]:
        x, first = lane(arrow, number), boxes[number][0]
        points += [(x, first.top), (x, first.top + first.height)]
    points.append((_port(target, coming.index(arrow), len(coming)), target.top))
    return Route(*arrow, points)


def _port(box: Box, number: int, count: int) -> float:
    """Where the arrow of that number of so many meets a box: in its middle half, in a row."""
    return box.left + box.width * (0.25 + 0.5 * (number + 1) / (count + 1))
