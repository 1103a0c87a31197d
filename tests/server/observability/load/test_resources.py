"""What the process may have, of the machine that the tests run on and of one that they make up."""

from __future__ import annotations

import pytest

from hotgraph_server.observability.load import resources
from hotgraph_server.threads import control_groups, memory_limit, processors


def test_limits_are_no_more_than_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "groups", lambda: "")
    found = resources.limits()
    assert found.processors == processors.schedulable()
    assert found.memory_bytes >= resources.rss_bytes() > 0


def test_limit_of_the_container_counts_before_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "quota", lambda groups, read: 0.5)
    monkeypatch.setattr(memory_limit, "limit_bytes", lambda groups, read: 1 << 20)
    assert resources.limits() == (0.5, 1 << 20)
