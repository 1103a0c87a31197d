"""What a server's owner should know about who can reach it. Pure, but for the look at the rules file."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import stat
from collections.abc import Iterator

from hotgraph_server.access.groups import CHANGING, Group
from hotgraph_server.access.rules import Rules
from hotgraph_server.settings import ServerSettings

_LOG = logging.getLogger(__name__)

_WHAT = {
    Group.CONTROL: "change which models are served and what is traced, logged and shared",
    Group.STATE: "have snapshots taken of what models keep",
    Group.ADMIN: "read the figures",
}


def warn(settings: ServerSettings, rules: Rules) -> None:
    """What the log says about it when a server starts."""
    for line in warnings(settings, rules):
        _LOG.warning("%s", line)


def warnings(settings: ServerSettings, rules: Rules) -> Iterator[str]:
    """Lines for the log when a server starts."""
    open_groups = [group for group in _reachable(settings) if rules.is_open(group)]
    if open_groups:
        names = " and ".join(f"'{group.value}'" for group in open_groups)
        may = ", ".join(_WHAT[group] for group in open_groups)
        groups = "group" if len(open_groups) == 1 else "groups"
        yield (
            f"listening on {settings.listen.host} with the {groups} {names} open: whoever reaches this server"
            f" may {may}; --auth FILE closes groups or gives them keys (docs/security.md)"
        )
    path = settings.access.auth
    if path and is_writable_by_others(path):
        yield f"{path} can be written by others than its owner, who so say who may call this server"


def _reachable(settings: ServerSettings) -> Iterator[Group]:
    """The groups that change something, or tell what is not for callers, and can be had from elsewhere."""
    if is_loopback(settings.listen.host):
        return
    admin, rest = settings.admin.has_port, settings.rest
    ports = {
        Group.CONTROL: not settings.listen.socket_only or rest.has_port,
        Group.STATE: admin,
        Group.ADMIN: admin or (rest.has_port and rest.prometheus),
    }
    yield from (group for group in CHANGING if ports[group])


def is_loopback(host: str) -> bool:
    """Does this machine alone reach what listens there? A name counts only if it is localhost."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    return host.lower().rstrip(".") == "localhost"


def is_writable_by_others(path: str) -> bool:
    """May users write a file who are not its owner?"""
    try:
        return bool(os.stat(os.path.expanduser(path)).st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    except OSError:
        # What reads it has said so.
        return False
