"""``python -m hotgraph_server.commands.process GIVEN serve ...``: one of several processes.

Their supervisor starts it, and nobody else does. GIVEN is what it has for it (processes/member.py).
"""

from __future__ import annotations

import sys

from hotgraph_server.commands import cli
from hotgraph_server.processes.member import Member


def main() -> int:
    """Serve as a member; returns the exit status."""
    given, *rest = sys.argv[1:]
    member = Member.of_words(given)
    # Before anything is imported that takes long: from now on it ends with its supervisor.
    member.start()
    return cli.main(rest, member)


if __name__ == "__main__":
    sys.exit(main())
