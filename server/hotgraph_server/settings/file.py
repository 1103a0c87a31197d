"""The settings file: TOML, with a key for every setting and a table for every model.

    port = 8500
    max_batch_rows = 32

    [models.digits]
    path = "/models/digits"
    max_batch_rows = 8        # for this model alone
    row_buckets = [1, 2, 4, 8]
    batching_by_signature = { classify = "never" }
    state.dir = "/var/lib/hotgraph"   # the same as state_dir
    queue_policy = { max_queue_size = 100, default_timeout_us = 50000 }

Flags win over the file, and what a model's table says wins over both. The table of a model that a repository
offers has no path, and wins over the model's config.pbtxt as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import PER_MODEL, PER_SERVER, fields_of, in_present_words, key_of
from hotgraph_server.settings.fields import Count
from hotgraph_server.text_proto import text_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MODELS = "models"
_PATH = "path"
_STATE = "state"


@dataclass(frozen=True)
class FileSettings:
    """What a file says, by names of settings; checked for names and types, not yet for values.

    Attributes:
        values: for the server and all models.
        models: for each model by name; its folder is under ``path``, unless it is one of a repository's.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_settings_file(path: Path) -> FileSettings:
    """Read and check a file.

    Raises:
        SettingsError: not there, no TOML, an unknown key or a value of the wrong type; the text names
            the file and the key.
    """
    try:
        content = tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: no valid TOML: {error}") from error
    content = _flat(content)
    models = content.pop(_MODELS, {})
    if not isinstance(models, dict) or not all(isinstance(table, dict) for table in models.values()):
        raise SettingsError(f'{path}: models are tables: [models.NAME] with path = "DIR"')
    content = in_present_words(content, *PER_MODEL)
    models = {name: in_present_words(_flat(table), *PER_MODEL) for name, table in models.items()}
    _check(content, {key_of(setting): setting for setting in fields_of(*PER_SERVER, *PER_MODEL)}, str(path))
    per_model = {setting.name: setting for setting in fields_of(*PER_MODEL)}
    for name, table in models.items():
        where = f"{path}: [models.{name}]"
        if not isinstance(table.get(_PATH, ""), str):
            raise SettingsError(f'{where} needs path = "DIR", got {table[_PATH]!r}')
        _check({key: value for key, value in table.items() if key != _PATH}, per_model, where)
    return FileSettings(content, models)


def _flat(table: dict[str, Any]) -> dict[str, Any]:
    """A table with ``state.dir`` as ``state_dir``, and so on."""
    dotted = table.get(_STATE)
    if not isinstance(dotted, dict):
        return table
    return {key: value for key, value in table.items() if key != _STATE} | {
        f"{_STATE}_{key}": value for key, value in dotted.items()
    }


def _check(values: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key, value in values.items():
        if key not in known:
            raise SettingsError(f"{where}: unknown key {key!r}; known are {', '.join(sorted(known))}")
        kind, of = known[key].metadata["kind"], known[key].metadata["of"]
        if of is not None:
            _check_tables(value, of, f"{where}: {key}")
        elif isinstance(kind, type) and is_dataclass(kind):
            _check_table(value, kind, f"{where}: {key}")
        elif not _fits(value, kind):
            raise SettingsError(f"{where}: {key} must be {_KINDS[kind]}, got {value!r}")


def _check_tables(value: object, of: type, where: str) -> None:
    if not isinstance(value, dict) or not all(re.fullmatch("[0-9]{1,9}", key) for key in value):
        raise SettingsError(f"{where} must be tables by number, got {value!r}")
    for key, table in value.items():
        _check_table(table, of, f"{where}.{key}")


def _check_table(value: object, of: type, where: str) -> None:
    if not isinstance(value, dict):
        raise SettingsError(f"{where} must be a table of settings, got {value!r}")
    _check(value, {setting.name: setting for setting in fields_of(of)}, where)


def _fits(value: object, kind: type) -> bool:
    if kind is tuple:
        return isinstance(value, list) and all(_fits(one, int) for one in value)
    if kind is list:
        return isinstance(value, list) and all(_fits(one, str) for one in value)
    if kind is dict:
        return isinstance(value, dict) and all(isinstance(one, (int, float, str)) for one in value.values())
    if kind is Count:
        return value == Count.AUTO or (_fits(value, int) and value != 0)
    # An integer will do where a number is asked for; a boolean, which Python counts among them, not.
    return isinstance(value, (int, float) if kind is float else kind) and (
        kind is bool or not isinstance(value, bool)
    )


_KINDS = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    tuple: "a list of integers",
    list: "a list of strings",
    dict: "a table of plain values",
    Count: 'a number or "auto"',
}
