"""Each room's own share of branches."""

from __future__ import annotations

from typing import Any

from .branches import taken_by_room


def file(there: int, taken: int) -> dict[str, Any]:
    return {"summary": {"num_branches": there, "covered_branches": taken}}


def test_room_of_few_branches_is_not_lost_among_others() -> None:
    report = {
        "files": {
            "server/hotgraph_server/batching/queue.py": file(900, 900),
            "server/hotgraph_server/batching/lane.py": file(100, 90),
            "server/hotgraph_server/state/store.py": file(10, 5),
            "server/hotgraph_server/state/__init__.py": file(0, 0),
            "server/hotgraph_server/models/__init__.py": file(0, 0),
        }
    }
    assert taken_by_room(report) == {"batching": 99.0, "state": 50.0}
