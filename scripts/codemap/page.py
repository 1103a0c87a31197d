"""What the picture and the page of the architecture say, made from the code. Pure but for reading sources."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

from codemap.layout import Arrow
from codemap.picture import svg
from codemap.rules import Floors, forbidding, reachable
from codemap.sources import Package, When, sentences

BEGIN = "<!-- rooms: written by scripts/architecture -->"
END = "<!-- end of rooms -->"


class CannotDraw(Exception):
    """The page has no place for what is to be written."""


def picture(package: Package, floors: Floors, base: int) -> str:
    """The floors as SVG; the lowest `base` ones are what all others stand on."""
    upper = floors[: len(floors) - base]
    names = {room: shown(package, room) for room in package.rooms}
    drawn = {
        (names[source], names[target]): When.AT_ONCE not in package.room_arrows[source][target]
        for source, target in arrows(package, floors)
        if {source, target} <= set(itertools.chain(*upper))
    }
    shown_floors = [[names[room] for room in floor] for floor in floors]
    texts = {names[room]: _says(package, room)[0].replace("`", "") for room in package.rooms}
    return svg(shown_floors[: len(upper)], shown_floors[len(upper) :], texts, drawn)


def filled(page: str, package: Package, floors: Floors) -> str:
    """The page, with the table of rooms between its marks.

    Raises:
        CannotDraw: there are no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise CannotDraw(f"the page has no lines {BEGIN!r} and {END!r}")
    return "\n".join([before + begin, *_table(package, floors), end + after])


def arrows(package: Package, floors: Floors) -> list[Arrow]:
    """Who imports whom among the rooms, from the top to the bottom: downwards only, and without arrows that
    others imply.
    """
    level = {room: number for number, floor in enumerate(floors) for room in floor}
    down = {
        room: {target for target in package.room_arrows[room] if level[target] > level[room]}
        for room in itertools.chain(*floors)
    }
    return _reduced(down)


def _reduced(arrows: Mapping[str, Collection[str]]) -> list[Arrow]:
    """a -> c goes where there is a way from a to c by way of others."""
    return [
        (source, target)
        for source, targets in arrows.items()
        for target in sorted(targets)
        if not any(target in reachable(arrows, other) for other in targets)
    ]


def shown(package: Package, room: str) -> str:
    """A room as a path: ``graph/`` or ``errors.py``."""
    return f"{room}/" if package.is_folder(f"{package.name}.{room}") else f"{room}.py"


def sizes(package: Package, floors: Floors) -> list[str]:
    """Lines to print: how large each room is. It is not in the picture, which would change daily."""
    lines = [f"{'room':<20}{'modules':>8}{'lines':>8}"]
    for room in itertools.chain(*floors):
        modules = [module for module in package.modules if package.room_of(module) == room]
        length = sum(package.length(module) for module in modules)
        lines.append(f"{shown(package, room):<20}{len(modules):>8}{length:>8}")
    return lines


def _table(package: Package, floors: Floors) -> list[str]:
    lines = ["", "| floor | room | what lives there | what does not |", "|---|---|---|---|"]
    for number, floor in zip(range(len(floors), 0, -1), floors, strict=True):
        for room in floor:
            path = shown(package, room)
            link = f"[{path}](../server/{package.name}/{path})"
            first, forbidden = _says(package, room)
            lines.append(f"| {number} | {link} | {_cell(first)} | {_cell(' '.join(forbidden))} |")
    return [*lines, ""]


def _says(package: Package, room: str) -> tuple[str, list[str]]:
    docstring = package.docstring(f"{package.name}.{room}")
    first = next(iter(sentences(docstring)), "")
    is_folder = package.is_folder(f"{package.name}.{room}")
    return first, forbidding(docstring) if is_folder else []


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
