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

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import PER_MODEL, PER_SERVER, fields_of, in_present_words, key_of
from hotgraph_server.settings.toml_lines import line_of
from hotgraph_server.settings.types import Wrong, wrong_in
from hotgraph_server.text_proto import text_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MODELS = "models"
_PATH = "path"
_STATE = "state"
_OF_SERVER = {key_of(setting): setting for setting in fields_of(*PER_SERVER, *PER_MODEL)}
_OF_MODEL = {key_of(setting): setting for setting in fields_of(*PER_MODEL)}
_FORMER = {
    key: setting.metadata["former"].name for key, setting in _OF_SERVER.items() if setting.metadata["former"]
}


@dataclass(frozen=True)
class FileSettings:
    """What a file says, by names of settings; checked for names and types, not yet for values.

    Attributes:
        values: for the server and all models.
        models: for each model by name; its folder is under ``path``, unless it is one of a repository's.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a file.

    Attributes:
        line: its number, from 1; None: it is not known.
    """

    text: str
    line: int | None


def read_settings_file(path: Path) -> FileSettings:
    """Read and check a file.

    Raises:
        SettingsError: not there, no TOML, an unknown key or a value of the wrong type; the text names
            the file, the key and its line, and how many faults more there are.
    """
    found, faults = settings_and_faults(text_of(path))
    if faults:
        first, *others = faults
        line = "" if first.line is None else f" (line {first.line})"
        more = f"; {len(others)} more: hotgraph config check {path}" if others else ""
        raise SettingsError(f"{path}: {first.text}{line}{more}")
    return found


def settings_and_faults(text: str) -> tuple[FileSettings, list[Fault]]:
    """What a file's text says as far as it is right, and all that is wrong with its names and types."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its own words have the line.
        return FileSettings(), [Fault(f"no valid TOML: {error}", _line_in(str(error)))]
    content = _flat(content)
    models = content.pop(_MODELS, {})
    if not isinstance(models, dict) or not all(isinstance(table, dict) for table in models.values()):
        fault = Fault('models are tables: [models.NAME] with path = "DIR"', line_of(text, (_MODELS,)))
        return FileSettings(), [fault]
    content = in_present_words(content, *PER_MODEL)
    models = {name: in_present_words(_flat(table), *PER_MODEL) for name, table in models.items()}
    wrongs = wrong_in((), content, _OF_SERVER)
    for name, table in models.items():
        wrongs += _wrong_in_model(name, table)
    bad = {wrong.path for wrong in wrongs}
    right = FileSettings(
        _without(bad, (), content),
        {name: _without(bad, (_MODELS, name), table) for name, table in models.items()},
    )
    return right, [Fault(wrong.text, place_of(text, wrong.path)) for wrong in wrongs]


def place_of(text: str, path: tuple[str, ...]) -> int | None:
    """The line of a setting in a file's text, under whichever of its names it stands there."""
    table, key = _split(path)
    for form in _forms(key):
        line = line_of(text, (*table, *form, *path[len(table) + 1 :]))
        if line is not None and line != line_of(text, table):
            return line
    return line_of(text, table)


def _split(path: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The table of a model, or none, and the key of a setting in it."""
    table = path[:2] if path[0] == _MODELS else ()
    return table, path[len(table)] if len(path) > len(table) else ""


def _forms(key: str) -> Iterator[tuple[str, ...]]:
    for name in (key, _FORMER.get(key, "")):
        if name:
            yield (name,)
        if name.startswith(f"{_STATE}_"):
            yield (_STATE, name.removeprefix(f"{_STATE}_"))


def _wrong_in_model(name: str, table: Mapping[str, Any]) -> list[Wrong]:
    path, where = (_MODELS, name), f"[models.{name}]"
    wrongs = []
    if not isinstance(table.get(_PATH, ""), str):
        wrongs.append(Wrong((*path, _PATH), f'{where} needs path = "DIR", got {table[_PATH]!r}'))
    for key in table.keys() & (_OF_SERVER.keys() - _OF_MODEL.keys()):
        wrongs.append(Wrong((*path, key), f"{where}: {key} is for the whole server, not for one model"))
    bad = {wrong.path[-1] for wrong in wrongs}
    settings = {key: value for key, value in table.items() if key != _PATH and key not in bad}
    return wrongs + wrong_in(path, settings, _OF_MODEL, f"{where}: ", [_PATH])


def _without(bad: set[tuple[str, ...]], path: tuple[str, ...], table: Mapping[str, Any]) -> dict[str, Any]:
    """A table's values but for those that are wrong, or have in them what is."""
    size = len(path) + 1
    keys = {one[size - 1] for one in bad if one[: size - 1] == path}
    return {key: value for key, value in table.items() if key not in keys}


def _flat(table: dict[str, Any]) -> dict[str, Any]:
    """A table with ``state.dir`` as ``state_dir``, and so on."""
    dotted = table.get(_STATE)
    if not isinstance(dotted, dict):
        return table
    return {key: value for key, value in table.items() if key != _STATE} | {
        f"{_STATE}_{key}": value for key, value in dotted.items()
    }


def _line_in(words: str) -> int | None:
    """The line that the parser's words name: ``... (at line 3, column 1)``."""
    _, _, rest = words.partition("(at line ")
    number = rest.partition(",")[0]
    return int(number) if number.isdecimal() else None
