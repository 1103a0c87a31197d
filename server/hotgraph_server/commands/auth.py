"""``hotgraph auth``: keys for callers, and what a rules file holds of them."""

from __future__ import annotations

import argparse
import sys

from hotgraph_server.access.keys import hashed, key_fault, new_key
from hotgraph_server.errors import StartError

DESCRIPTION = """\
Make keys that callers send (authorization: Bearer KEY), and the hashes of them that the rules file of
hotgraph serve --auth FILE holds. The server sees keys in calls alone, and none can be had back from its hash.
"""
EXAMPLES = """\
examples:
  hotgraph auth new                    a new key on stdout, its hash on stderr
  hotgraph auth new > key.txt          the key goes to a file for the caller, the hash is shown
  hotgraph auth hash < key.txt         the hash of a key that is there already

a rules file:
  [groups.control]
  keys = ["sha256:..."]
  [groups.admin]
  closed = true
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("new", help="make a key; it goes to stdout, and its hash to stderr")
    actions.add_parser("hash", help="read a key from stdin, and show its hash")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit status.

    Raises:
        StartError: what came is no key.
    """
    if arguments.action == "new":
        key = new_key()
        print(key)
        print(f"for the rules file: {hashed(key)}", file=sys.stderr)
        return 0
    key = sys.stdin.readline().strip()
    fault = key_fault(key)
    if fault is not None:
        raise StartError(f"{fault} (hotgraph auth new makes one)")
    print(hashed(key))
    return 0
