"""What `scripts/test --coverage` asks of each room by itself: that its tests take 95 of 100 branches.

Coverage's own limit is for lines and branches of all rooms together, in which a room of few branches is lost.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

MIN_PERCENT = 95.0


def taken_by_room(report: Mapping[str, Any]) -> dict[str, float]:
    """Percent of the branches of each folder that were taken; of folders that have some.

    Args:
        report: as ``coverage json`` writes it.
    """
    there, taken = Counter[str](), Counter[str]()
    for path, file in report["files"].items():
        room = PurePath(path).parent.name
        there[room] += file["summary"]["num_branches"]
        taken[room] += file["summary"]["covered_branches"]
    return {room: 100 * taken[room] / there[room] for room in sorted(there) if there[room]}


def measured() -> dict[str, float]:
    """`taken_by_room` of the data that lie in the current folder; none: nothing was measured."""
    from coverage import Coverage
    from coverage.exceptions import NoDataError

    coverage = Coverage()
    coverage.load()
    path = f"{coverage.get_option('run:data_file')}.json"
    try:
        coverage.json_report(outfile=path)
    except NoDataError:
        return {}
    with open(path) as file:
        return taken_by_room(json.load(file))
