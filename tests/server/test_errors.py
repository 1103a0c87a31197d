"""The tree of errors: as its drawing says, and with facts for fields."""

from __future__ import annotations

import re

import grpc
import pytest

from hotgraph_server import errors
from hotgraph_server.errors import (
    CallError,
    DeadlineExceeded,
    DeviceNotFound,
    Draining,
    HotgraphError,
    InternalError,
    LoadError,
    QueueFull,
    RunFailed,
    StartError,
    WouldBeLate,
)
from hotgraph_server.settings.batch import REFUSE_WITH

# Depth, name and gRPC status of each line of the drawing at the head of the module.
DRAWN = [
    (len(match["indent"]) // 4, match["name"], match["status"])
    for match in re.finditer(
        r"^    (?P<indent>[│ ]*)[├└]── (?P<name>\w+) +(?P<status>[A-Z_]{4,})?",
        str(errors.__doc__),
        re.MULTILINE,
    )
]


def test_drawing_names_every_class() -> None:
    classes = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, HotgraphError)
    }
    assert classes - {"HotgraphError"} == {name for _, name, _ in DRAWN}


@pytest.mark.parametrize(("depth", "name", "status"), DRAWN, ids=[name for _, name, _ in DRAWN])
def test_class_has_the_place_and_the_status_that_is_drawn(depth: int, name: str, status: str | None) -> None:
    kind = getattr(errors, name)
    assert len(kind.__mro__) - len(HotgraphError.__mro__) == depth + 1
    if status is not None:
        assert issubclass(kind, CallError)
        assert kind.status is grpc.StatusCode[status]
    else:
        assert issubclass(kind, StartError) or kind in (CallError, RunFailed)


def test_facts_are_fields_and_make_the_text() -> None:
    full = QueueFull("the queue of m", 8, 9)
    assert (full.what, full.waiting, full.limit) == ("the queue of m", 8, 9)
    assert str(full) == "the queue of m is full: 8 calls wait, the limit is 9"
    assert str(QueueFull("m", 5, 4, "rows")) == "m is full: 5 rows wait, the limit is 4"
    late = WouldBeLate("the queue of m", 0.0121)
    assert (late.what, late.late_by_s, late.retry_after_ms) == ("the queue of m", 0.0121, 13)
    assert str(late) == "the queue of m is busy: the answer would come 13 ms past the deadline"
    draining = Draining("m")
    assert (draining.what, str(draining)) == ("m", "Server is stopping: m takes no more calls")
    load = LoadError("/models/m", "no such folder")
    assert (load.where, load.why, str(load)) == ("/models/m", "no such folder", "/models/m: no such folder")
    device = DeviceNotFound("/CPU:2", ["/CPU:0", "/CPU:1"])
    assert str(device) == "no device /CPU:2 on this machine; there is /CPU:0, /CPU:1"
    assert "tensorflow[and-cuda]" in str(DeviceNotFound("/GPU:0", ["/CPU:0"]))
    assert "tensorflow" not in str(DeviceNotFound("/GPU:1", ["/CPU:0", "/GPU:0"]))


def test_only_what_the_load_causes_says_when_to_come_again() -> None:
    assert QueueFull("m", 1, 1).retry_after_ms
    assert DeadlineExceeded().retry_after_ms is None
    assert RunFailed(3, "bad").retry_after_ms is None


def test_settings_choose_the_status_of_what_is_refused_for_load_and_of_nothing_else() -> None:
    full, other = QueueFull("m", 1, 1), QueueFull("m", 1, 1)
    full.refuse_with("unavailable")
    assert full.status is grpc.StatusCode.UNAVAILABLE
    assert other.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    other.refuse_with("resource_exhausted")
    assert other.status is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_every_name_in_the_settings_is_a_status() -> None:
    for setting in REFUSE_WITH:
        late = WouldBeLate("m", 0.0)
        late.refuse_with(setting)
        assert late.status.name.lower() == setting
        assert late.retry_after_ms == 1


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
def test_code_of_tensorflow_is_the_code_of_grpc(status: grpc.StatusCode) -> None:
    error = RunFailed(status.value[0], "text")
    assert error.status is status
    assert (error.code, str(error)) == (status.value[0], "text")


def test_code_that_nobody_knows_is_unknown() -> None:
    assert RunFailed(1234, "text").status is grpc.StatusCode.UNKNOWN


def test_failed_run_is_never_ok() -> None:
    assert RunFailed(0, "text").status is not grpc.StatusCode.OK


def test_bug_of_ours_tells_no_details() -> None:
    assert str(InternalError()) == "internal error; the server's log has the details"
