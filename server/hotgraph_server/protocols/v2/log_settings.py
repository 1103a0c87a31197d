"""LogSettings: shows what is logged, and changes it. Codes and messages are those of Triton's extension."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall, Unsupported
from hotgraph_server.observability.log_settings import FORMATS, LogConfig, Logs
from hotgraph_server.protocols.v2.tables import Table
from hotgraph_server.transport.service import PlainMethod

# A setting's name, the field of its value, what an error calls that, and the field of LogConfig.
_BOOLEAN = ("bool_param", "boolean")
_SETTINGS = {
    "log_info": (*_BOOLEAN, "info"),
    "log_warning": (*_BOOLEAN, "warning"),
    "log_error": (*_BOOLEAN, "error"),
    "log_verbose_level": ("uint32_param", "int32", "verbose"),
    "log_format": ("string_param", "string", "format"),
}


def methods(logs: Logs) -> Table:
    """The method. A request changes everything that it names, or nothing."""

    def answer(request: pb.LogSettingsRequest) -> pb.LogSettingsResponse:
        if request.settings:
            logs.change(changed(logs.config, request.settings))
        return _response(logs.config)

    return {"LogSettings": PlainMethod(pb.LogSettingsRequest, answer)}


def changed(config: LogConfig, settings: Mapping[str, Any]) -> LogConfig:
    """What a request's settings make of a configuration.

    Raises:
        Unsupported: they would move the log.
        InvalidCall: a name or value that is none.
    """
    if "log_file" in settings:
        raise Unsupported("log file location can not be updated through network protocol")
    fields = {}
    for name, value in settings.items():
        if name not in _SETTINGS:
            raise InvalidCall(f"unknown log setting '{name}'; there are {', '.join(_SETTINGS)}")
        kind, expected, field = _SETTINGS[name]
        if value.WhichOneof("parameter_choice") != kind:
            raise InvalidCall(f"expect {expected} for '{name}'")
        fields[field] = getattr(value, kind)
    if fields.get("format", config.format) not in FORMATS:
        raise InvalidCall(f"invalid argument for log_format, got: {fields['format']}")
    return dataclasses.replace(config, **fields)


def _response(config: LogConfig) -> pb.LogSettingsResponse:
    response = pb.LogSettingsResponse()
    # stderr; an empty name is how Triton says it.
    response.settings["log_file"].string_param = ""
    for name, (kind, _, field) in _SETTINGS.items():
        setattr(response.settings[name], kind, getattr(config, field))
    return response
