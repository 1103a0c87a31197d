"""The free ``parameters`` of a configuration: those of Triton's TensorFlow backend, and our own. Pure.

``HOTGRAPH_NAME`` is the setting NAME of this server for this model, for what a configuration of Triton's has
no words for:

    parameters { key: "HOTGRAPH_BATCHING" value { string_value: "always" } }
    parameters { key: "HOTGRAPH_ROW_BUCKETS" value { string_value: "1, 2, 4, 8" } }
    parameters { key: "HOTGRAPH_PAD" value { string_value: "ids.1 = 0, mask.1 = 0" } }
    parameters { key: "HOTGRAPH_PIN" value { string_value: "true" } }

Settings that are a whole server's, or name a file, cannot be set so: a configuration may come with a request.
All other parameters are the client's and the owner's business: they are shown, and mean nothing here.
"""

from __future__ import annotations

from typing import Any

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import (
    BatchSettings,
    ResidencySettings,
    SessionSettings,
    ShadowSettings,
    WarmupSettings,
    fields_of,
    in_present_words,
)
from hotgraph_server.settings.words import value_of

OURS = "HOTGRAPH_"

_TRITONS = {
    "TF_NUM_INTRA_THREADS": "intra_op_threads",
    "TF_NUM_INTER_THREADS": "inter_op_threads",
    "TF_USE_PER_SESSION_THREADS": "own_threads",
    "TF_GRAPH_TAG": "graph_tag",
}
_SIGNATURE = "TF_SIGNATURE_DEF"

_OF_SESSIONS = {setting.name: setting for setting in fields_of(SessionSettings)}
# How a graph is run; everything else about sessions is the machine's business, or has fields of its own.
_HOW_IT_RUNS = ("plan", "plan_budget_s", "xla")
_SETTABLE = {
    setting.name: setting
    for setting in (
        *fields_of(BatchSettings, WarmupSettings, ResidencySettings, ShadowSettings),
        *(_OF_SESSIONS[name] for name in _HOW_IT_RUNS),
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
    return {
        name: value_of(_OF_SESSIONS[name], f"parameters.{key}", config.parameters[key].string_value)
        for key, name in _TRITONS.items()
        if key in config.parameters
    }


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
    return value_of(setting, f"parameters.{key}", value)
