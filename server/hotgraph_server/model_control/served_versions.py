"""Parameters of a request to load that say which versions are served, and how: on top of whatever the model's
configuration says, which a `config` in the request would replace. Pure.

    hotgraph_versions           "1,2": these versions are served, and no others
    hotgraph_default_version    "1": settings of the model for as long as it is served, by their names
    hotgraph_shadow_version     "2"
    hotgraph_shadow_share       "0.5"
    hotgraph_shadow_tolerance   "0.001"

Each holds until the next request to load; what is not said is as the configuration has it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hotgraph_server.errors import InvalidCall, SettingsError
from hotgraph_server.settings import ModelSettings, ShadowSettings, Specific, fields_of
from hotgraph_server.settings.words import value_of

PREFIX = "hotgraph_"
"""Of their names."""

_VERSIONS = f"{PREFIX}versions"
_SETTINGS = {f"{PREFIX}{field.name}": field for field in fields_of(ShadowSettings)}
_MOST_VERSIONS = 100
_DIGITS = 18


def served_as(model: ModelSettings, parameters: Mapping[str, str]) -> ModelSettings:
    """The settings of a model that such parameters amount to.

    Args:
        model: as its configuration has it.
        parameters: texts by name.

    Raises:
        InvalidCall: one of them is unknown, or cannot be.
    """
    if not parameters:
        return model
    changed: dict[str, Any] = {}
    versions = model.versions
    for name, text in parameters.items():
        if name == _VERSIONS:
            versions = Specific(_numbers(text))
        elif name in _SETTINGS:
            try:
                changed[_SETTINGS[name].name] = value_of(_SETTINGS[name], name, text)
            except SettingsError as error:
                raise InvalidCall(str(error)) from error
        else:
            raise InvalidCall(
                f"unrecognized load parameter '{name[:100]}'; there is {_VERSIONS}, {', '.join(_SETTINGS)}"
            )
    try:
        shadow = dataclasses.replace(model.shadow, **changed)
    except SettingsError as error:
        raise InvalidCall(str(error)) from error
    return dataclasses.replace(model, versions=versions, shadow=shadow)


def _numbers(text: str) -> tuple[int, ...]:
    found = [one.strip() for one in text.split(",")]
    if not all(one.isascii() and one.isdecimal() and len(one) <= _DIGITS for one in found):
        raise InvalidCall(f"{_VERSIONS} is a list of versions such as 1,2, got {text[:100]!r}")
    if len(found) > _MOST_VERSIONS:
        raise InvalidCall(f"{_VERSIONS} names more than {_MOST_VERSIONS} versions")
    return tuple(dict.fromkeys(map(int, found)))
