"""Draws the floors of the server. Started by scripts/architecture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codemap import floors
from codemap.page import CannotDraw, filled, picture, sizes
from codemap.rules import Floors, misplaced
from codemap.sources import Package

ROOT = Path(__file__).parents[2]

DESCRIPTION = """\
Draw docs/architecture.svg and write the table of rooms in docs/architecture.md, both from the code's imports
and docstrings and from the floors in scripts/codemap/floors.py. Prints how large each room is."""


def main(
    argv: Sequence[str] | None = None,
    root: Path = ROOT,
    named: Floors = floors.FLOORS,
    base: int = floors.BASE,
) -> int:
    """Draw, or look whether that is needed; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/architecture",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything would change")
    given = parser.parse_args(argv)
    package = Package(root / "server" / "hotgraph_server")
    page = root / "docs" / "architecture.md"
    try:
        if wrong := misplaced(package, named):
            raise CannotDraw(f"scripts/codemap/floors.py: {'; '.join(sorted(wrong))}")
        made = {
            page.with_suffix(".svg"): picture(package, named, base),
            page: filled(page.read_text(), package, named),
        }
    except (CannotDraw, OSError) as error:
        print(f"scripts/architecture: {error}", file=sys.stderr)
        return 1
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if given.check:
        for path in stale:
            name = path.relative_to(root)
            print(f"{name} is not what the code gives; run scripts/architecture", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(made[path])
    print("\n".join(sizes(package, named)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
