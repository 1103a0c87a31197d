"""A setting's value from a text, where there is nothing but texts: environment variables, and the parameters
of a model's configuration. Pure.

A number is written in digits, a boolean as true, yes, on or 1 and false, no, off or 0; numbers in a row are
separated by commas, a table is ``NAME = VALUE, NAME = VALUE``, several texts are words as a shell reads them,
and a table of settings is what stands between TOML's braces.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings.fields import Count
from hotgraph_server.settings.types import Wrong, inline_table, wrong_in_table, wrong_in_tables

_SHOWN = 100
_BOOLEANS = {word: True for word in ("true", "yes", "on", "1")} | {
    word: False for word in ("false", "no", "off", "0")
}


def value_of(field: dataclasses.Field[Any], name: str, text: str) -> Any:
    """The value of a setting; checked for its type, not yet for what it says.

    Args:
        name: of where the text stands, for the error.

    Raises:
        SettingsError: the text is none of its values; the error has the name, and the text unless it is a
            secret.
    """
    kind, of = field.metadata["kind"], field.metadata["of"]
    try:
        if of is not None or dataclasses.is_dataclass(kind):
            return _settings(field.name, kind, of, text)
        if kind is bool:
            return _boolean(text)
        if kind is int:
            return _integer(text, signed=isinstance(field.default, int) and field.default < 0)
        if kind is float:
            return _number(text)
        if kind is tuple:
            return tuple(_integer(one) for one in text.split(",") if one.strip())
        if kind is dict:
            return _table(text)
        if kind is list:
            return words(text)
        if kind is Count:
            return _count(text)
    except ValueError as error:
        raise SettingsError(f"{name} must be {error}, got {shown(field, text)}") from None
    return text


def shown(field: dataclasses.Field[Any], text: str) -> str:
    """A text for an error: its beginning, and nothing of a secret."""
    return "what is not shown" if field.metadata["secret"] else repr(text[:_SHOWN])


def words(text: str) -> list[str]:
    """A text's words, as a shell reads them; raises ValueError."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"words as in a shell ({error})") from None


def _settings(name: str, kind: Any, of: type | None, text: str) -> Any:
    table = inline_table(text)
    wrongs: list[Wrong] = (
        wrong_in_table((name,), table, kind) if of is None else wrong_in_tables((name,), table, of)
    )
    if wrongs:
        raise ValueError(f"a table of settings ({wrongs[0].text})")
    return table


def _integer(text: str, *, signed: bool = False) -> int:
    digits = text.strip()
    sign = -1 if signed and digits.startswith("-") else 1
    digits = digits.removeprefix("-") if signed else digits
    # Python takes underscores and other alphabets' digits, and has no end to them.
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
        raise ValueError("an integer" if signed else "an integer of 0 or more")
    return sign * int(digits)


def _number(text: str) -> float:
    try:
        if "_" in text or not text.isascii():
            raise ValueError
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _BOOLEANS:
        raise ValueError("true or false")
    return _BOOLEANS[word]


def _count(text: str) -> Count:
    word = text.strip()
    if word == Count.AUTO:
        return Count(word)
    try:
        return Count(_integer(word))
    except ValueError:
        raise ValueError('a number or "auto"') from None


def _table(text: str) -> Mapping[str, float | str]:
    table: dict[str, float | str] = {}
    for entry in text.split(","):
        if not entry.strip():
            continue
        name, equals, content = (part.strip() for part in entry.partition("="))
        if not equals:
            raise ValueError("NAME = VALUE, separated by commas")
        try:
            table[name] = float(content)
        except ValueError:
            table[name] = content
    return table
