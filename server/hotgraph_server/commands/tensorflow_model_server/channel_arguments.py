"""gRPC's arguments of a channel (`--grpc_channel_arguments`), of which some are settings of ours. Pure."""

from __future__ import annotations

import re
from typing import Any

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings.ports import COMPRESS_LEVELS, MAX_CONNECTION_S

_MAX_MESSAGE = "grpc.max_receive_message_length"
_LEVEL, _ALGORITHM = "grpc.default_compression_level", "grpc.default_compression_algorithm"
_TIMES = {
    "grpc.max_connection_age_ms": "max_connection_age_s",
    "grpc.max_connection_age_grace_ms": "max_connection_age_grace_s",
    "grpc.max_connection_idle_ms": "max_connection_idle_s",
}
_KNOWN = (_MAX_MESSAGE, _LEVEL, _ALGORITHM, *_TIMES)

_MIB = 2**20
# TensorFlow Serving's own limit is that of gRPC, about as much.
_MAX_MESSAGE_MB = 2047


def settings(text: str) -> dict[str, Any]:
    """Settings of ListenSettings that a flag's text stands for.

    Raises:
        SettingsError: it is none; the text names what is wrong.
    """
    arguments = _arguments(text)
    return {
        "max_message_mb": _message_mb(arguments),
        "compress_answers": _compression(arguments),
        **_times(arguments),
    }


def without_meaning(text: str) -> list[str]:
    """The names in a flag's text that count for nothing here, in their order."""
    return [name for name in _arguments(text) if name not in _KNOWN]


def _arguments(text: str) -> dict[str, str]:
    arguments = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise SettingsError(f"--grpc_channel_arguments takes NAME=VALUE,NAME=VALUE, got {pair!r}")
        arguments[name] = value
    return arguments


def _message_mb(arguments: dict[str, str]) -> int:
    text = arguments.get(_MAX_MESSAGE)
    if text is None:
        return _MAX_MESSAGE_MB
    try:
        length = int(text)
    except ValueError:
        raise SettingsError(f"{_MAX_MESSAGE} must be a number of bytes, got {text!r}") from None
    # -1 is gRPC's "no limit".
    return _MAX_MESSAGE_MB if length < 0 else min(max(-(-length // _MIB), 1), _MAX_MESSAGE_MB)


def _compression(arguments: dict[str, str]) -> str:
    """By gRPC's level, or for its algorithms, which are none, deflate and gzip, at zlib's own."""
    for name, meanings in ((_LEVEL, COMPRESS_LEVELS), (_ALGORITHM, ("off", "medium", "medium"))):
        if (text := arguments.get(name)) is not None:
            known = {str(number): meaning for number, meaning in enumerate(meanings)}
            if text not in known:
                raise SettingsError(f"{name} must be one of {', '.join(known)}, got {text!r}")
            return known[text]
    return "off"


def _times(arguments: dict[str, str]) -> dict[str, float]:
    """Those of connections, which gRPC has in milliseconds. Its largest number, 24 days, is for ever; so is
    what is no time, as it was in the gRPC that TensorFlow Serving is built with."""
    found = {}
    for name, setting in _TIMES.items():
        if (text := arguments.get(name)) is None:
            continue
        if not re.fullmatch(r"-?[0-9]{1,10}", text):
            raise SettingsError(f"{name} must be a number of milliseconds, got {text!r}")
        seconds = int(text) / 1e3
        found[setting] = seconds if 0 < seconds <= MAX_CONNECTION_S else 0.0
    return found
