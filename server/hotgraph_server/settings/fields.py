"""How a setting is declared, and how an owner's settings are made from what somebody gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

from hotgraph_server.errors import SettingsError

T = TypeVar("T")


def setting(
    default: T,
    help: str,
    *,
    kind: type | None = None,
    of: type | None = None,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    flag: bool = True,
) -> T:
    """Declare one setting.

    Args:
        default: its value if nobody says anything.
        help: for the flag, and for whoever reads the file's keys here.
        kind: the type of its values where the default does not tell (None); a tuple is one of integers, a
            list one of strings whose flag may be given more than once, a dict one from strings to plain
            values, a dataclass of settings a table of them.
        of: with the kind dict: its keys are integers, its values tables of settings of this dataclass.
        metavar: how the flag's value is shown.
        choices: the only values that it takes; empty: any of its kind.
        flag: is it a flag too, or only a key in the file?
    """
    metadata = {
        "help": help,
        "kind": kind or type(default),
        "of": of,
        "metavar": metavar,
        "choices": choices,
        "flag": flag,
    }
    # A Field to dataclasses, the value's type to everybody who reads the attribute.
    if isinstance(default, dict):
        return cast(T, dataclasses.field(default_factory=lambda: dict(default), metadata=metadata))
    return dataclasses.field(default=default, metadata=metadata)


def key_of(field: dataclasses.Field[Any]) -> str:
    """What a setting is called in the file, and with dashes on the command line: as its field, but for the
    underscore at the end of one whose name is a word of Python's."""
    return field.name.rstrip("_")


def fields_of(*owners: type) -> Iterator[dataclasses.Field[Any]]:
    """The settings of some owners, in the order of their declaration."""
    for owner in owners:
        yield from dataclasses.fields(owner)


def build(owner: type[T], values: Mapping[str, Any]) -> T:
    """An owner's settings from those of `values` that are its own; the rest keep their defaults.

    Raises:
        SettingsError: a value is not what its setting takes.
    """
    own = {
        field.name: _made(values[key_of(field)], field.metadata["kind"], field.metadata["of"])
        for field in fields_of(owner)
        if key_of(field) in values
    }
    return owner(**own)


def _made(value: Any, kind: type, of: type | None) -> Any:
    """A setting's value from what TOML has for it, or as it is."""
    if kind in (tuple, list):
        # What is frozen shall not change.
        return tuple(value)
    if of is not None:
        return {int(key): _made(table, of, None) for key, table in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return build(kind, value)
    return value


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SettingsError(otherwise)


def check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    check(value in choices, f"{flag} must be one of {', '.join(choices)}, got {value!r}")
