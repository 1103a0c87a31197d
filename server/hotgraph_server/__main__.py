"""``python -m hotgraph_server`` is ``hotgraph``."""

import sys

from hotgraph_server.cli import main

sys.exit(main())
