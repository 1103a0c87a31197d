"""The free ``parameters`` of a configuration: those of Triton's TensorFlow backend, and our own. Pure.

``HOTGRAPH_NAME`` is the setting NAME of this server for this model, for what a configuration of Triton's has
no words for:

    parameters { key: "HOTGRAPH_BATCHING" value { string_value: "always" } }
    parameters { key: "HOTGRAPH_ROW_BUCKETS" value { string_value: "1, 2, 4, 8" } }
    parameters { key: "HOTGRAPH_PAD" value { string_value: "ids.1 = 0, mask.1 = 0" } }

Settings that are a whole server's, or name a file, cannot be set so: a configuration may come with a request.
All other parameters are the client's and the owner's business: they are shown, and mean nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import (
    BatchSettings,
    SessionSettings,
    WarmupSettings,
    fields_of,
    in_present_words,
)

OURS = "HOTGRAPH_"

_INTRA, _INTER = "TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"
_OWN_THREADS, _TAG, _SIGNATURE = "TF_USE_PER_SESSION_THREADS", "TF_GRAPH_TAG", "TF_SIGNATURE_DEF"

_BOOLEANS = {word: True for word in ("true", "yes", "on", "1")} | {
    word: False for word in ("false", "no", "off", "0")
}
# How a graph is run; everything else about sessions is the machine's business, or has fields of its own.
_OF_SESSIONS = ("plan", "plan_budget_s", "xla")
_SETTABLE = {
    setting.name: setting
    for setting in (
        *fields_of(BatchSettings, WarmupSettings),
        *(setting for setting in fields_of(SessionSettings) if setting.name in _OF_SESSIONS),
    )
    # What is a table of settings itself has fields of its own too.
    if setting.metadata["kind"] in (bool, int, float, str, tuple, dict) and setting.metadata["of"] is None
}
_FORMER = {
    setting.metadata["former"].name: setting for setting in _SETTABLE.values() if setting.metadata["former"]
}


def ours(config: ModelConfig) -> dict[str, Any]:
    """The settings that parameters name, by their names; checked for types, not yet for values.

    Raises:
        SettingsError: an unknown setting, or a value of another type.
    """
    return in_present_words(_given(config), BatchSettings, WarmupSettings, SessionSettings)


def of_session(config: ModelConfig) -> dict[str, Any]:
    """What the parameters of Triton's TensorFlow backend say, by names of SessionSettings.

    Raises:
        SettingsError: a value that cannot be.
    """
    found: dict[str, Any] = {}
    for key, name in ((_INTRA, "intra_op_threads"), (_INTER, "inter_op_threads")):
        if key in config.parameters:
            found[name] = _integer(key, config.parameters[key].string_value)
    if _OWN_THREADS in config.parameters:
        found["own_threads"] = _boolean(_OWN_THREADS, config.parameters[_OWN_THREADS].string_value)
    if _TAG in config.parameters:
        found["graph_tag"] = config.parameters[_TAG].string_value
    return found


def default_signature(config: ModelConfig) -> str | None:
    """The name of the signature that calls mean which name none; None: nothing is said."""
    return config.parameters[_SIGNATURE].string_value if _SIGNATURE in config.parameters else None


def splits(config: ModelConfig) -> bool:
    """Does the owner want calls above max_batch_size to be answered in pieces?"""
    # Without a line in the log for what has other names now: `ours` writes it.
    return _given(config).get("split", False) is True


def _given(config: ModelConfig) -> dict[str, Any]:
    return {
        key.removeprefix(OURS).lower(): _setting(key, value.string_value)
        for key, value in config.parameters.items()
        if key.startswith(OURS)
    }


def _setting(key: str, value: str) -> Any:
    name = key.removeprefix(OURS).lower()
    setting = _SETTABLE.get(name) or _FORMER.get(name)
    if setting is None:
        raise SettingsError(
            f"parameters.{key}: there is no such setting of a model; see hotgraph serve --help"
        )
    kind = setting.metadata["kind"]
    if kind is bool:
        return _boolean(key, value)
    if kind is int:
        return _integer(key, value)
    if kind is float:
        return _number(key, value)
    if kind is tuple:
        return tuple(_integer(key, one) for one in value.split(",") if one.strip())
    if kind is dict:
        return _table(key, value)
    return value


def _table(key: str, value: str) -> Mapping[str, float | str]:
    table: dict[str, float | str] = {}
    for entry in value.split(","):
        if not entry.strip():
            continue
        name, equals, content = (part.strip() for part in entry.partition("="))
        if not equals:
            raise SettingsError(f"parameters.{key} must be NAME = VALUE, separated by commas, got {value!r}")
        try:
            table[name] = float(content)
        except ValueError:
            table[name] = content
    return table


def _integer(key: str, value: str) -> int:
    text = value.strip()
    # Python takes underscores and other alphabets' digits, and has no end to them.
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise SettingsError(f"parameters.{key} must be an integer of 0 or more, got {value[:100]!r}")
    return int(text)


def _number(key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise SettingsError(f"parameters.{key} must be a number, got {value[:100]!r}") from None


def _boolean(key: str, value: str) -> bool:
    word = value.strip().lower()
    if word not in _BOOLEANS:
        raise SettingsError(f"parameters.{key} must be true or false, got {value[:100]!r}")
    return _BOOLEANS[word]
