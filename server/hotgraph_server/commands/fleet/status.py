"""``hotgraph fleet status``: how the fleet is, as its driver tells it each second."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hotgraph_server.errors import FleetError
from hotgraph_server.fleet.reading import read
from hotgraph_server.fleet.status import FILE_NAME
from hotgraph_server.fleet.status_tables import Shown, plain, shown

DESCRIPTION = """\
Show nodes, replicas and models of the fleet: where they are, what they do, and how far a new version is. It
reads what the driver writes into the fleet's folder, so it also tells of a driver that is gone. In a terminal
the table goes on until Ctrl-C; anywhere else it is written once.
"""
EXAMPLES = """\
examples:
  hotgraph fleet status -f fleet.toml
  hotgraph fleet status -f fleet.toml --once
  hotgraph fleet status -f fleet.toml --json | jq '.models[] | select(.copies < .copies_wanted)'
"""

_PERIOD_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the action, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument("--once", action="store_true", help="show it once, also in a terminal")
    parser.add_argument("--json", action="store_true", help="as the driver has written it, once")


def run(arguments: argparse.Namespace) -> int:
    """Show it; returns the exit status.

    Raises:
        SettingsError: the file is wrong.
        FleetError: no driver has ever been here, or what it has written cannot be read.
    """
    path = read(arguments.file).state / FILE_NAME
    document = _document(path, arguments.file)
    told = shown(document, time.time())
    with contextlib.suppress(BrokenPipeError):
        if arguments.json:
            print(json.dumps(document, indent=1))
        elif arguments.once or not sys.stdout.isatty() or not _is_rich():
            print(plain(told))
        else:
            _show(path, arguments.file)
    return 0


def _document(path: Path, file: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise FleetError(
            f"no fleet has been here: {path} is not there; hotgraph fleet up -f {file} starts one"
        ) from None
    except (OSError, ValueError) as error:
        raise FleetError(f"{path} cannot be read: {error}") from error


def _is_rich() -> bool:
    try:
        import rich  # noqa: F401
    except ImportError:
        return False
    return True


def _show(path: Path, file: Path) -> None:
    """Until Ctrl-C, a table that is drawn anew."""
    from rich.console import Console
    from rich.live import Live

    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=Console(), auto_refresh=False, screen=True) as live,
    ):
        for told in _moments(path, file):
            live.update(_drawn(told), refresh=True)
    # What was seen last stays when the screen goes.
    print(plain(shown(_document(path, file), time.time())))


def _moments(path: Path, file: Path) -> Iterator[Shown]:
    while True:
        yield shown(_document(path, file), time.time())
        time.sleep(_PERIOD_S)


def _drawn(told: Shown) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = [
        Text(told.head, style="bold"),
        *(Text(f"! {line}", style="red") for line in told.warnings),
    ]
    for one in told.tables:
        table = Table(title=one.title, title_justify="left", box=None, pad_edge=False, header_style="dim")
        for place, heading in enumerate(one.headings):
            table.add_column(heading, justify="right" if place in one.figures else "left", overflow="fold")
        for row in one.rows:
            table.add_row(*map(Text, row))
        parts += [Text(""), table]
    parts += [Text(""), *(Text(line, style="dim") for line in told.recent)]
    return Group(*parts)
