"""How a setting is declared, and how an owner's settings are made from what somebody gave."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

from hotgraph_server.errors import SettingsError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


class Count(int):
    """A number of something, or ``auto``, which is 0: as many as fit the machine.

    Raises:
        ValueError: it is neither.
    """

    AUTO = "auto"

    def __new__(cls, value: int | str) -> Count:
        count = super().__new__(cls, 0 if value == cls.AUTO else value)
        if not count and value != cls.AUTO:
            raise ValueError(f"{value!r} is no number of anything")
        return count

    def __str__(self) -> str:
        return int.__repr__(self) if self else self.AUTO

    __repr__ = __str__


@dataclasses.dataclass(frozen=True)
class Former:
    """What a setting was called once; it is read under that name too, and the log says what it is called now.

    Attributes:
        name: of it.
        values: what some of its values are called now.
    """

    name: str
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)


def setting(
    default: T,
    help: str,
    *,
    kind: type | None = None,
    of: type | None = None,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    flag: bool = True,
    former: Former | None = None,
    secret: bool = False,
) -> T:
    """Declare one setting.

    Args:
        default: its value where nothing is said.
        help: for the flag, and for readers of the file's keys here.
        kind: the type of its values where the default does not tell (None); a tuple is one of integers, a
            list one of strings whose flag may be given more than once, a dict one from strings to plain
            values, a dataclass of settings a table of them.
        of: with the kind dict: its keys are integers, its values tables of settings of this dataclass.
        metavar: how the flag's value is shown.
        choices: the only values that it takes; empty: any of its kind.
        flag: is it a flag too, or only a key in the file?
        former: what it was called once; None: it has always been called so.
        secret: may its value hold one? Then no message shows it.
    """
    metadata = {
        "help": help,
        "kind": kind or type(default),
        "of": of,
        "metavar": metavar,
        "choices": choices,
        "flag": flag,
        "former": former,
        "secret": secret,
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


def in_present_words(values: Mapping[str, Any], *owners: type) -> dict[str, Any]:
    """The same values of settings, each under the name that it has today; what is unknown stays as it is."""
    renamed = dict(values)
    for field in fields_of(*owners):
        former = field.metadata["former"]
        if former is None or former.name not in renamed:
            continue
        value = renamed.pop(former.name)
        _LOG.warning("the setting %s is called %s now", former.name, key_of(field))
        renamed.setdefault(key_of(field), present_value(value, former))
    return renamed


def present_value(value: Any, former: Former) -> Any:
    """A value of what was called `former`, in today's words; of a table each of its values."""
    if isinstance(value, Mapping):
        return {key: present_value(one, former) for key, one in value.items()}
    return former.values.get(value, value) if isinstance(value, str) else value


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
    if kind is Count and not isinstance(value, Count):
        return Count(value)
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
