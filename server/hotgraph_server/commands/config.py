"""``hotgraph config``: is a settings file right? All that is wrong with it at once; nothing is started."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from hotgraph_server.commands import checks, processes
from hotgraph_server.commands.serve import settings_from
from hotgraph_server.errors import StartError
from hotgraph_server.settings import PER_MODEL, PER_SERVER
from hotgraph_server.settings.environment import NOTHING_SAID, read_environment
from hotgraph_server.settings.faults import faults_of, keys_in
from hotgraph_server.settings.file import Fault, FileSettings, place_of, settings_and_faults
from hotgraph_server.text_proto import text_of

DESCRIPTION = """\
Check a settings file of hotgraph serve: its keys, the types of its values, what they may be, and how they go
together. Exit status 0: a server would take it; 1: it is wrong, one line for each fault, FILE:LINE: what.
"""
EXAMPLES = """\
examples:
  hotgraph config check server.toml                 anywhere, as in the tests of a repository
  hotgraph config check server.toml --files         where it will be served: models and files are there too
  hotgraph config check server.toml --environment   with the variables HOTGRAPH_ that this shell has
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="tell all that is wrong with a settings file")
    check.add_argument(
        "file", type=Path, metavar="FILE", help="the file, as hotgraph serve --config takes it"
    )
    check.add_argument(
        "--files",
        action="store_true",
        help="look for the models' folders and for the files that it names, as a start does",
    )
    check.add_argument(
        "--environment",
        action="store_true",
        help="check the environment's variables HOTGRAPH_... too, and how both go together",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check; returns the exit status.

    Raises:
        StartError: the file cannot be read.
    """
    path: Path = arguments.file
    text = text_of(path)
    environment = read_environment(os.environ) if arguments.environment else NOTHING_SAID
    found, faults = settings_and_faults(text)
    faults = sorted([*faults, *value_faults(text, found)], key=lambda fault: fault.line or 0)
    lines = [_line(path, fault) for fault in faults] + list(environment.faults)
    if not lines:
        try:
            settings = settings_from({"config": path, "models": []}, environment)
            processes.count(settings)
            if arguments.files:
                checks.check(settings)
        except StartError as error:
            lines = [_line(path, _placed(text, str(error).removeprefix(f"{path}: ")))]
    for line in (*environment.remarks, *lines):
        print(line, file=sys.stderr)
    if lines:
        print(f"hotgraph config: {len(lines)} wrong", file=sys.stderr)
        return 1
    models = f"{len(found.models)} model" + ("" if len(found.models) == 1 else "s")
    print(f"{path}: right, {len(found.values)} settings for all and tables for {models}")
    return 0


def value_faults(text: str, found: FileSettings) -> list[Fault]:
    """What is wrong with the values of a file whose names and types are right."""
    return [Fault(wrong, place_of(text, path)) for path, wrong in _value_faults(found)]


def _value_faults(found: FileSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    bad = set()
    for owner in (*PER_SERVER, *PER_MODEL):
        for key, wrong in faults_of(owner, found.values):
            bad.add(key)
            yield (key,), wrong
    for_all = {key: value for key, value in found.values.items() if key not in bad}
    for name, table in found.models.items():
        for owner in PER_MODEL:
            for key, wrong in faults_of(owner, {**for_all, **table}):
                # What is wrong for all models has been said.
                here = [one for one in keys_in(wrong, list(table)) if one in table]
                yield ("models", name, here[0] if here else key), f"[models.{name}]: {wrong}"


def _placed(text: str, wrong: str) -> Fault:
    """A fault of the whole, on the line of a setting that it names."""
    lines = [place_of(text, (key,)) for key in keys_in(wrong, list(settings_and_faults(text)[0].values))]
    return Fault(wrong, next(iter(lines), None))


def _line(path: Path, fault: Fault) -> str:
    where = f"{path}" if fault.line is None else f"{path}:{fault.line}"
    return f"{where}: {' '.join(fault.text.split())}"
