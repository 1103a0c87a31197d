"""What one of several processes refuses."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import wrappers_pb2

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import Unsupported
from hotgraph_server.protocols.one_of_several import without_changes
from hotgraph_server.transport.service import PlainMethod, Service


def answered(request: Any) -> str:
    return "answered"


SERVICE = without_changes(
    Service(
        "s",
        wrappers_pb2.DESCRIPTOR,
        hot=dict.fromkeys(
            ["ModelInfer", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"],
            lambda message, reply: None,
        ),
        plain={
            "ServerLive": PlainMethod(pb.ServerLiveRequest, answered),
            "LogSettings": PlainMethod(pb.LogSettingsRequest, answered),
            "TraceSetting": PlainMethod(pb.TraceSettingRequest, answered),
        },
    )
)


@pytest.mark.parametrize("name", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_models_are_not_changed_and_it_says_what_takes_it(name: str) -> None:
    with pytest.raises(Unsupported, match="--processes 1 takes it"):
        SERVICE.hot[name](b"", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ModelInfer", "RepositoryIndex"])
def test_all_else_is_as_before(name: str) -> None:
    SERVICE.hot[name](b"", None)  # type: ignore[arg-type]
    assert SERVICE.plain["ServerLive"].answer(pb.ServerLiveRequest()) == "answered"


def test_settings_are_shown_and_not_changed() -> None:
    asked: list[Any] = [pb.LogSettingsRequest(), pb.TraceSettingRequest()]
    for name, request in zip(("LogSettings", "TraceSetting"), asked, strict=True):
        assert SERVICE.plain[name].answer(request) == "answered"
    asked[0].settings["log_info"].bool_param = True
    asked[1].settings["trace_rate"].value.append("1")
    for name, request in zip(("LogSettings", "TraceSetting"), asked, strict=True):
        with pytest.raises(Unsupported, match="--processes 1 takes it"):
            SERVICE.plain[name].answer(request)
