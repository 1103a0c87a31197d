"""How many processes there are, and what excludes more than one."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hotgraph_server.commands import processes
from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import (
    ControlSettings,
    ListenSettings,
    ProcessSettings,
    RestSettings,
    ServerSettings,
    SharedMemorySettings,
    TraceSettings,
)
from hotgraph_server.settings.fields import Count
from hotgraph_server.threads import processors


def settings(count: int | str, **more: Any) -> ServerSettings:
    return ServerSettings((), processes=ProcessSettings(Count(count)), **more)


def test_it_is_one_unless_said() -> None:
    assert processes.count(ServerSettings(())) == 1
    assert processes.count(settings(3)) == 3


def test_auto_follows_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "usable", lambda: 9)
    assert processes.count(settings("auto")) == 4


@pytest.mark.parametrize("count", ["0", "some", "-1", "513"])
def test_what_is_no_number_of_processes_is_refused(count: str) -> None:
    with pytest.raises(ValueError if count in ("0", "some") else SettingsError):
        settings(count)


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"listen": ListenSettings(fast_lane=False)}, "no-fast-lane"),
        ({"shared_memory": SharedMemorySettings(allow_client_shm=True)}, "allow-client-shm"),
        ({"control": ControlSettings(("/r",), "explicit")}, "model-control explicit"),
        ({"control": ControlSettings(("/r",), "auto")}, "model-control auto"),
        ({"rest": RestSettings(prometheus=True)}, "prometheus"),
    ],
)
def test_what_one_process_alone_can_do_is_refused_by_name(more: dict[str, Any], names: str) -> None:
    assert processes.count(settings(1, **more)) == 1
    with pytest.raises(SettingsError, match=f"^--processes 2 excludes {names}"):
        processes.count(settings(2, **more))


def test_traces_of_each_process_go_to_a_file_of_its_own() -> None:
    assert processes.in_process(settings(2)) == settings(2)
    found = processes.in_process(settings(2, tracing=TraceSettings(trace_file="t.json")))
    assert found.tracing.trace_file == f"t.json.{os.getpid()}"
