"""LogSettings: what is shown, what is changed, and under which code it is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError, InvalidCall, Unsupported
from hotgraph_server.observability.log_settings import LogConfig, Logs
from hotgraph_server.protocols.v2 import log_settings


@pytest.fixture
def logs() -> Iterator[Logs]:
    ours = logging.getLogger("hotgraph_server")
    before = ours.level
    ours.setLevel(logging.INFO)
    logs = Logs([])
    yield logs
    logs.restore()
    ours.setLevel(before)


def ask(logs: Logs, **settings: Any) -> dict[str, Any]:
    """Bytes as `bytes` stand for a setting without a value."""
    request = pb.LogSettingsRequest()
    for name, value in settings.items():
        kind = {bool: "bool_param", int: "uint32_param", str: "string_param"}.get(type(value))
        if kind is None:
            request.settings[name].SetInParent()
        else:
            setattr(request.settings[name], kind, value)
    method: Any = log_settings.methods(logs)["LogSettings"]
    response = method.answer(pb.LogSettingsRequest.FromString(request.SerializeToString()))
    return {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in response.settings.items()
    }


SHOWN = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


def test_everything_is_shown(logs: Logs) -> None:
    assert ask(logs) == SHOWN


def test_what_a_request_names_is_changed_and_nothing_else(logs: Logs) -> None:
    assert ask(logs, log_info=False, log_verbose_level=2) == {
        **SHOWN,
        "log_info": False,
        "log_verbose_level": 2,
    }
    assert ask(logs, log_format="ISO8601")["log_info"] is False
    assert logs.config == LogConfig(info=False, verbose=2, format="ISO8601")
    assert logging.getLogger("hotgraph_server").level == logging.DEBUG


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"log_file": "x"}, Unsupported, "log file location can not be updated through network protocol"),
        ({"log_info": 1}, InvalidCall, "expect boolean for 'log_info'"),
        ({"log_warning": "yes"}, InvalidCall, "expect boolean for 'log_warning'"),
        ({"log_error": b""}, InvalidCall, "expect boolean for 'log_error'"),
        ({"log_verbose_level": True}, InvalidCall, "expect int32 for 'log_verbose_level'"),
        ({"log_format": 1}, InvalidCall, "expect string for 'log_format'"),
        ({"log_format": "xml"}, InvalidCall, "invalid argument for log_format, got: xml"),
        ({"log_colour": True}, InvalidCall, "unknown log setting 'log_colour'"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    logs: Logs, settings: dict[str, Any], error: type[CallError], text: str
) -> None:
    with pytest.raises(error) as raised:
        ask(logs, log_error=settings.pop("log_error", False), **settings)
    assert str(raised.value).startswith(text)
    assert ask(logs) == SHOWN
