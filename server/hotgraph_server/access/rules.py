"""The rules file: which groups of methods are closed, and which have keys. TOML.

    [groups.control]
    keys = ["sha256:9f86d0..."]      # from `hotgraph auth new`

    [groups.admin]
    closed = true

A group that is not named is open; a file that names none is refused. A key that shall open several groups is
listed in each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hotgraph_server.access.groups import Group
from hotgraph_server.access.keys import bearer, digest_in, digest_of, is_among
from hotgraph_server.errors import AccessDenied, CallError, SettingsError, Unauthenticated
from hotgraph_server.text_proto import text_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

AUTHORIZATION = "authorization"

Header = Callable[[str], str | None]
"""What a call's header says, by its name in lower case; None: it has none."""

_GROUPS, _KEYS, _CLOSED = "groups", "keys", "closed"
_NAMES = {group.value: group for group in Group}


@dataclass(frozen=True)
class Rules:
    """Who may call what.

    Attributes:
        keys: digests of the keys that open a group; a group without any is closed, and one that is not here
            is open.
    """

    keys: Mapping[Group, tuple[bytes, ...]] = field(default_factory=dict)

    def is_open(self, group: Group) -> bool:
        """May everybody call it?"""
        return group not in self.keys

    def refusal(self, group: Group, header: Header) -> CallError | None:
        """Why a call with these headers may not use the group; None: it may."""
        digests = self.keys.get(group)
        if digests is None:
            return None
        if not digests:
            return AccessDenied(group.value, closed=True)
        key = bearer(header(AUTHORIZATION))
        if key is None:
            return Unauthenticated(group.value, given=False)
        digest = digest_of(key)
        if is_among(digest, digests):
            return None
        if is_among(digest, (one for others in self.keys.values() for one in others)):
            return AccessDenied(group.value, closed=False)
        return Unauthenticated(group.value, given=True)


def read_rules(path: Path) -> Rules:
    """Read a rules file.

    Raises:
        SettingsError: not there, or not as it must be; the text names the file and the key of the table.
    """
    return rules_in(text_of(path), str(path))


def rules_in(text: str, where: str) -> Rules:
    """The rules that a text holds.

    Args:
        where: what errors call it.

    Raises:
        SettingsError: it is not as it must be.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: no valid TOML: {error}") from error
    for key in content:
        if key != _GROUPS:
            raise SettingsError(f"{where}: unknown key {key!r}; rules are tables [groups.NAME]")
    tables = content.get(_GROUPS, {})
    if not isinstance(tables, dict):
        raise SettingsError(f"{where}: groups are tables [groups.NAME], got something else")
    if not tables:
        # It may be one that is being written; who wants no rules names no file.
        raise SettingsError(f"{where}: no rules are in it: [groups.NAME] with keys, or with closed = true")
    keys = {}
    for name, table in tables.items():
        if name not in _NAMES:
            raise SettingsError(f"{where}: unknown group {name!r}; there are {', '.join(_NAMES)}")
        keys[_NAMES[name]] = _keys(table, f"{where}: [groups.{name}]")
    return Rules(keys)


def _keys(table: Any, where: str) -> tuple[bytes, ...]:
    """Raises SettingsError."""
    if not isinstance(table, dict):
        raise SettingsError(f"{where} must be a table with keys, or with closed = true")
    for key in table:
        if key not in (_KEYS, _CLOSED):
            raise SettingsError(f"{where}: unknown key {key!r}; known are {_KEYS}, {_CLOSED}")
    closed, listed = table.get(_CLOSED, False), table.get(_KEYS)
    if not isinstance(closed, bool):
        raise SettingsError(f"{where}: closed must be true or false, got {closed!r}")
    if closed:
        if listed is not None:
            raise SettingsError(f"{where}: a group that is closed has no keys; give one or the other")
        return ()
    # An empty list could as well have been meant to open the group.
    if not isinstance(listed, list) or not listed:
        raise SettingsError(f'{where} needs keys = ["sha256:..."] or closed = true')
    digests = [digest_in(one) if isinstance(one, str) else None for one in listed]
    for number, digest in enumerate(digests, 1):
        # It may be a key that somebody wrote there as it is, so it is not shown.
        if digest is None:
            raise SettingsError(
                f"{where}: entry {number} of keys is no hash of a key (sha256: and 64 hexadecimal digits);"
                " hotgraph auth hash makes one"
            )
    return tuple(digest for digest in digests if digest is not None)
