"""What is traced and what is logged: shown, and changed. Pure.

A change names what it is about, and gets all settings back. In JSON a setting of traces is a string, but for
the level, which is a list of them; null forgets what was said. One of the log has a type of its own.
"""

from __future__ import annotations

from typing import Any

from hotgraph_protos import open_inference as pb
from hotgraph_server.rest.v2.json_body import read_object, wrong_type
from hotgraph_server.rest.v2.paths import Target, What
from hotgraph_server.rest.v2.row import Row, json_content
from hotgraph_server.transport.http import Content
from hotgraph_server.transport.message_fields import Message

_LEVEL = "trace_level"
_TRACE = (_LEVEL, "trace_rate", "trace_count", "log_frequency", "trace_file", "trace_mode")
_LOG = ("log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format")


def _trace_request(target: Target, body: Message) -> pb.TraceSettingRequest:
    return pb.TraceSettingRequest(model_name=target.model)


def _trace_change(target: Target, body: Message) -> pb.TraceSettingRequest:
    request = _trace_request(target, body)
    for name, value in read_object(body, needed=True).items():
        setting = request.settings[name]
        setting.SetInParent()
        setting.value.extend(_strings(name, value))
    return request


def _strings(name: str, value: Any) -> list[str]:
    """Raises InvalidCall."""
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        raise wrong_type(name, "string")
    return values


def _trace(_: Target, response: pb.TraceSettingResponse) -> Content:
    said = {name: list(response.settings[name].value) for name in _in_order(response.settings, _TRACE)}
    return json_content(
        {name: values if name == _LEVEL else "".join(values[:1]) for name, values in said.items()}
    )


def _log_request(target: Target, body: Message) -> pb.LogSettingsRequest:
    return pb.LogSettingsRequest()


def _log_change(target: Target, body: Message) -> pb.LogSettingsRequest:
    request = pb.LogSettingsRequest()
    for name, value in read_object(body, needed=True).items():
        setting = request.settings[name]
        setting.SetInParent()
        # What fits no field is left out, and so refused as any other of the wrong type.
        match value:
            case bool():
                setting.bool_param = value
            case str():
                setting.string_param = value
            case int() if 0 <= value < 2**32:
                setting.uint32_param = value
    return request


def _log(_: Target, response: pb.LogSettingsResponse) -> Content:
    settings = response.settings
    return json_content(
        {
            name: getattr(settings[name], settings[name].WhichOneof("parameter_choice"))
            for name in _in_order(settings, _LOG)
        }
    )


def _in_order(settings: Any, order: tuple[str, ...]) -> list[str]:
    """The names of settings as Triton lists them, and others behind."""
    return [*(name for name in order if name in settings), *sorted(set(settings) - set(order))]


TABLE = {
    What.TRACE: Row("TraceSetting", _trace_request, _trace),
    What.TRACE_CHANGE: Row("TraceSetting", _trace_change, _trace),
    What.LOGGING: Row("LogSettings", _log_request, _log),
    What.LOGGING_CHANGE: Row("LogSettings", _log_change, _log),
}
"""Endpoints of this module."""
