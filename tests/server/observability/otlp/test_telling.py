"""telling.py: once that a collector is away and why, once that it is back."""

from __future__ import annotations

import logging

import pytest

from hotgraph_server.observability.otlp.telling import Reach


def test_exporters_words_are_the_reason_and_go_no_further(caplog: pytest.LogCaptureFixture) -> None:
    theirs = logging.getLogger("test.exporter")
    reach = Reach("spans", "calls", "http://there", theirs)
    theirs.warning("Transient error %s", "refused,\nreally")
    theirs.error("Failed to export spans batch due to timeout, max retries or shutdown.")
    reach.failed(3)
    reach.failed(4)
    reach.arrived()
    reach.arrived()
    assert [record.getMessage() for record in caplog.records] == [
        "spans are lost, calls are answered as ever: "
        "http://there cannot be reached: Transient error refused, really",
        "spans arrive again; those of 7 calls were lost",
    ]
    theirs.handlers.clear()


def test_reason_of_another_time_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    theirs = logging.getLogger("test.exporter")
    reach = Reach("spans", "calls", "http://there", theirs)
    theirs.warning("Transient error refused")
    reach.arrived()
    reach.failed(1)
    assert "cannot be reached: unknown" in caplog.text
    theirs.handlers.clear()
