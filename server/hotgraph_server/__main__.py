"""``python -m hotgraph_server`` is ``hotgraph``."""

import sys

from hotgraph_server.commands.cli import main

sys.exit(main())
