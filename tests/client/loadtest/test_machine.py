"""machine.py: what reports say of where a load came from."""

from __future__ import annotations

import json
import os

from hotgraph_client.loadtest.machine import cores, describe_machine


def test_machine_is_described_in_values_of_json() -> None:
    found = describe_machine()
    assert json.loads(json.dumps(found)) == found
    assert {"cpu", "cores", "system", "python", "hotgraph"} <= found.keys()
    assert found["cpu"]
    assert 0 < found["memory_gib"] < 1e6


def test_cores_are_those_that_may_be_used() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
