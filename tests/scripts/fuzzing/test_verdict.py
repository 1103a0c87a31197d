from __future__ import annotations

import pytest

from fuzzing.verdict import alarms, fault, fault_of_stream_error
from hotgraph_server.errors import InternalError

BUG = str(InternalError())


@pytest.mark.parametrize(
    ("code", "text", "model"),
    [
        ("OK", "", "good"),
        ("INVALID_ARGUMENT", "input byte size mismatch", "good"),
        ("UNAVAILABLE", "Exceeds maximum queue size", "queued"),
        ("DEADLINE_EXCEEDED", "too late", "queued"),
        ("INTERNAL", "indices[0] = 7 is not in [0, 4)", "embedding"),
        ("INTERNAL", "[request id: 7] Unable to open shared memory region: '/x'", "good"),
        ("INTERNAL", "failed to load 'x', failed to poll from model repository", ""),
        ("CANCELLED", "sequence 8 has ended: one of its calls was too late", "slot_sums"),
        ("UNKNOWN", "1 servable(s) did not become available: {}", ""),
    ],
)
def test_what_a_server_may_say(code: str, text: str, model: str) -> None:
    assert fault(code, text, model, 0.1, 60.0) is None


@pytest.mark.parametrize(
    ("code", "text", "model"),
    [
        ("INTERNAL", BUG, "embedding"),
        ("INTERNAL", f"[request id: 7] {BUG}", "good"),
        ("INTERNAL", "something else", "good"),
        ("UNKNOWN", "Exception calling application", "good"),
        ("CANCELLED", "", "good"),
        ("UNAVAILABLE", "Socket closed", "good"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "good"),
    ],
)
def test_what_it_may_not(code: str, text: str, model: str) -> None:
    assert fault(code, text, model, 60.0, 60.0) is not None


def test_bugs_are_seen_in_streams_and_in_the_log() -> None:
    assert fault_of_stream_error(BUG) == BUG
    assert fault_of_stream_error("input 'a' already exists in request") is None
    log = """all is well
Traceback (most recent call last):
  File "a.py", line 1, in a
    b()
  File "b.py", line 7, in b
    raise ValueError("c")
ValueError: c
all is well again
"""
    (alarm,) = alarms(log)
    assert "line 7, in b" in alarm
    assert alarm.endswith("ValueError: c")
