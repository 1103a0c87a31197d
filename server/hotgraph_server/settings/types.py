"""Are the values of a table of settings, as TOML has them, of the types that they must be? Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, is_dataclass
from typing import Any

from hotgraph_server.settings.fields import Count, fields_of, key_of
from hotgraph_server.settings.nearest import did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_FEW = 12


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong.

    Attributes:
        path: the keys that lead to it.
        text: what is wrong, and where as far as the path goes on below what was checked.
    """

    path: tuple[str, ...]
    text: str


def wrong_in(
    path: tuple[str, ...],
    values: Mapping[str, Any],
    known: Mapping[str, Field[Any]],
    under: str = "",
    others: Iterable[str] = (),
) -> list[Wrong]:
    """What is wrong with the keys and types of these values.

    Args:
        path: of the table.
        known: the settings that may be there, by their keys.
        under: what stands before each text.
        others: keys that may be there besides, and are checked by somebody else.
    """
    found = []
    for key, value in values.items():
        here = (*path, key)
        if key not in known:
            near = did_you_mean(key, [*known, *others]) or _all_of(known)
            found.append(Wrong(here, f"{under}unknown key {key!r}{near}"))
            continue
        kind, of = known[key].metadata["kind"], known[key].metadata["of"]
        if of is not None:
            found += wrong_in_tables(here, value, of, under + key)
        elif isinstance(kind, type) and is_dataclass(kind):
            found += wrong_in_table(here, value, kind, under + key)
        elif not _fits(value, kind):
            got = "what is not shown" if known[key].metadata["secret"] else repr(value)
            found.append(Wrong(here, f"{under}{key} must be {_KINDS[kind]}, got {got}"))
    return found


def _all_of(known: Mapping[str, Field[Any]]) -> str:
    """What there is, where a reader can take it in."""
    if len(known) > _FEW:
        return f"; docs/settings.md has the {len(known)} that there are"
    return f"; known are {', '.join(sorted(known))}"


def wrong_in_tables(path: tuple[str, ...], value: object, of: type, name: str = "") -> list[Wrong]:
    """What is wrong with tables of the settings of a dataclass, by numbers."""
    name = name or path[-1]
    if not isinstance(value, dict) or not all(re.fullmatch("[0-9]{1,9}", key) for key in value):
        return [Wrong(path, f"{name} must be tables by number, got {value!r}")]
    return [
        wrong
        for key, table in value.items()
        for wrong in wrong_in_table((*path, key), table, of, f"{name}.{key}")
    ]


def wrong_in_table(path: tuple[str, ...], value: object, of: type, name: str = "") -> list[Wrong]:
    """What is wrong with a table of the settings of a dataclass."""
    name = name or path[-1]
    if not isinstance(value, dict):
        return [Wrong(path, f"{name} must be a table of settings, got {value!r}")]
    return wrong_in(path, value, {key_of(field): field for field in fields_of(of)}, f"{name}: ")


def inline_table(text: str) -> dict[str, Any]:
    """What stands between the braces of TOML's tables, with them or without.

    Raises:
        ValueError: it is none.
    """
    inner = text.strip()
    if not inner.startswith("{"):
        inner = f"{{{inner}}}"
    try:
        read = tomllib.loads(f"table = {inner}")
    except (tomllib.TOMLDecodeError, RecursionError):
        raise ValueError("NAME = VALUE, NAME = VALUE as in a table of TOML") from None
    if list(read) != ["table"] or not isinstance(read["table"], dict):
        raise ValueError("one table of TOML")
    return read["table"]


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
