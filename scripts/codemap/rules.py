"""What may not be in a package's structure; each rule tells what it has found. Pure but for reading sources.

What is found is named so that the same thing has the same name tomorrow: lists of what is known can be kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Set

from codemap.sources import Package, sentences

Floors = Sequence[Collection[str]]
"""Rooms by floor, from the top to the bottom."""

# A docstring that forbids something has one of these.
_FORBIDS = re.compile(r"\b(nothing|nobody|none|no|never|neither|may not|must not)\b", re.IGNORECASE)


def misplaced(package: Package, floors: Floors) -> set[str]:
    """Rooms that are on no floor or on several, and floors that name what is no room."""
    named = [room for floor in floors for room in floor]
    return {
        *(f"{room} is on no floor" for room in package.rooms if room not in named),
        *(f"{room} is no room" for room in named if room not in package.rooms),
        *(f"{room} is on several floors" for room in named if named.count(room) > 1),
    }


def not_downwards(package: Package, floors: Floors) -> set[str]:
    """Arrows between modules whose rooms are on one floor, or lead to a higher one."""
    level = {room: number for number, floor in enumerate(floors) for room in floor}
    return {
        f"{module} -> {target}"
        for module, targets in package.arrows.items()
        for target in targets
        if (room := package.room_of(module)) in level
        and (other := package.room_of(target)) in level
        and other != room
        and level[other] <= level[room]
    }


def circles_of_modules(package: Package) -> set[str]:
    """Modules that import each other, directly or by way of others, for whatever use."""
    return set(_circles(package.arrows))


def circles_of_rooms(package: Package) -> set[str]:
    """Rooms whose modules do so."""
    return set(_circles(package.room_arrows))


def without_contract(package: Package) -> set[str]:
    """Folders whose ``__init__.py`` does not say what lives there, and in a further sentence what may not."""
    folders = {path.parent for path in package.modules.values()} - {package.folder}
    names = {".".join(folder.relative_to(package.folder.parent).parts) for folder in folders}
    return {name for name in names if name not in package.modules or not forbidding(package.docstring(name))}


def forbidding(docstring: str) -> list[str]:
    """The sentences after the first that forbid something."""
    return [sentence for sentence in sentences(docstring)[1:] if _FORBIDS.search(sentence)]


def too_long(package: Package, most_lines: int, reasons: Mapping[str, str]) -> set[str]:
    """Modules with more lines than that for which no reason is given, and reasons that have gone stale."""
    long = {module for module in package.modules if package.length(module) > most_lines}
    return {
        *(f"{module} has more than {most_lines} lines" for module in long - reasons.keys()),
        *(f"{module} has a reason to be long, and is not" for module in reasons.keys() - long),
    }


def loose(package: Package) -> list[str]:
    """Modules at the top that lie in no folder."""
    return [room for room in package.rooms if not package.is_folder(f"{package.name}.{room}")]


def _circles(arrows: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Groups in which each leads to each, as ``a, b, c``.

    Two are in one group if each is reached from the other.
    """
    reached = {start: reachable(arrows, start) for start in arrows}
    groups = {
        frozenset(other for other in reached[start] if start in reached[other])
        for start in arrows
        if start in reached[start]
    }
    yield from (", ".join(sorted(group)) for group in groups)


def reachable(arrows: Mapping[str, Collection[str]], start: str) -> Set[str]:
    """Where the arrows lead to from there, in one step or more."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        for target in arrows[ahead.pop()]:
            if target not in found:
                found.add(target)
                ahead.append(target)
    return found
