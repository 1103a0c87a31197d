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
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    flag: bool = True,
) -> T:
    """Declare one setting.

    Args:
        default: its value if nobody says anything.
        help: for the flag, and for whoever reads the file's keys here.
        kind: the type of its values where the default does not tell (None); a tuple is one of integers, a
            dict one from strings to plain values.
        metavar: how the flag's value is shown.
        choices: the only values that it takes; empty: any of its kind.
        flag: is it a flag too, or only a key in the file?
    """
    metadata = {
        "help": help,
        "kind": kind or type(default),
        "metavar": metavar,
        "choices": choices,
        "flag": flag,
    }
    # A Field to dataclasses, the value's type to everybody who reads the attribute.
    if isinstance(default, dict):
        return cast(T, dataclasses.field(default_factory=lambda: dict(default), metadata=metadata))
    return dataclasses.field(default=default, metadata=metadata)


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
        # A list of TOML's is a tuple here: what is frozen shall not change.
        field.name: tuple(values[field.name]) if field.metadata["kind"] is tuple else values[field.name]
        for field in fields_of(owner)
        if field.name in values
    }
    return owner(**own)


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SettingsError(otherwise)


def check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    check(value in choices, f"{flag} must be one of {', '.join(choices)}, got {value!r}")
