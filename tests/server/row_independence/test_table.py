"""The table of rules."""

from __future__ import annotations

import re
from pathlib import Path

from hotgraph_server import row_independence
from hotgraph_server.row_independence import transfer
from hotgraph_server.row_independence.table import RULES


def test_every_module_of_rules_has_entered_its_rules() -> None:
    """Without its import a module's ops have no rules, and nothing that they are in is proven any more."""
    folder = Path(row_independence.__file__).parent
    written = {
        name
        for path in folder.glob("rules_*.py")
        for arguments in re.findall(r"^@rule\(([^)]*)\)", path.read_text(), re.MULTILINE)
        for name in re.findall(r'"(\w+)"', arguments)
    }
    assert transfer
    assert len(written) > 100
    assert written <= RULES.keys()
