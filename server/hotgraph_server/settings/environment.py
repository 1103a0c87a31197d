"""Settings from environment variables, for containers and units that are set up by them. Pure.

One rule: the variable of a setting is ``HOTGRAPH_`` and its key in capitals, as HOTGRAPH_PORT and
HOTGRAPH_MAX_BATCH_ROWS; its text is read as words.py says. Three more stand for what has no key:
HOTGRAPH_CONFIG for --config, HOTGRAPH_MODELS for the models of the command line, HOTGRAPH_VERBOSE for
--verbose. Flags win over the environment, and it wins over the file, but for what the file says of one model
alone. An empty variable says nothing.

Kubernetes sets variables of its own in every container, for each Service of the namespace: those of one that
is called hotgraph begin as ours do, and HOTGRAPH_PORT=tcp://10.0.0.1:8500 is among them. They are known by
their form, and passed over
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field
from typing import Any

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import PER_MODEL, PER_SERVER, fields_of, in_present_words, key_of
from hotgraph_server.settings.fields import setting
from hotgraph_server.settings.nearest import nearest
from hotgraph_server.settings.words import shown, value_of

PREFIX = "HOTGRAPH_"


@dataclass(frozen=True)
class CommandLine:
    """What the command line has beside its settings, and the environment too."""

    config: str = setting("", "settings and models from a file", metavar="FILE.toml")
    models: tuple[str, ...] = setting(
        (), "models, as words of a shell; not read where the command line names any", kind=list
    )
    verbose: bool = setting(False, "log more")


# Of what others have written: a name of the environment may have 100 KB.
_SHOWN = 200
# The client's key, which commands that call a server read.
_ELSEWHERE = frozenset({f"{PREFIX}KEY"})
# NAME_SERVICE_HOST, NAME_SERVICE_PORT, NAME_SERVICE_PORT_GRPC, NAME_PORT_8500_TCP, and its _ADDR.
_OF_SERVICES = re.compile(r"\w+_SERVICE_(HOST|PORT(_\w+)?)|\w+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
# NAME_PORT, whose name a setting's can be, but whose value cannot.
_PORT_OF_SERVICE = re.compile(r"(tcp|udp|sctp)://\S+:\d+")

_COMMAND_LINE = {key_of(one): one for one in fields_of(CommandLine)}
_SETTINGS = {key_of(one): one for one in fields_of(*PER_SERVER, *PER_MODEL)}
_FORMER = {
    one.metadata["former"].name: one for one in _SETTINGS.values() if one.metadata["former"] is not None
}


@dataclass(frozen=True)
class FromEnvironment:
    """What the environment says; checked for types, not yet for values.

    Attributes:
        values: of settings, by their keys.
        command_line: what it says beside.
        faults: a line for each variable that cannot be read.
        remarks: what the log says: of variables that are no settings.
        given: the variable and its text, of each of the values by its key.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    command_line: CommandLine = field(default_factory=CommandLine)
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    given: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def explained(self, error: str, but_not: Iterable[str] = ()) -> str:
        """An error's text, with the variables of the settings that it speaks of.

        Args:
            but_not: keys of settings that were given elsewhere, where that wins.
        """
        named = [
            f"{name} is {shown(_SETTINGS[key], text)}"
            for key, (name, text) in self.given.items()
            if key not in but_not and re.search(rf"(?<![\w-]){key.replace('_', '-')}(?![\w-])", error)
        ]
        return f"{error} ({', '.join(named)})" if named else error


NOTHING_SAID = FromEnvironment()


def variable_of(one: Field[Any]) -> str:
    """The environment variable of a setting."""
    return PREFIX + key_of(one).upper()


def read_environment(environment: Mapping[str, str]) -> FromEnvironment:
    """What all variables together say."""
    ours = {name: text for name, text in environment.items() if name.startswith(PREFIX) and text}
    services = {name: text for name, text in ours.items() if _is_of_kubernetes(name, text)}
    values: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    given: dict[str, tuple[str, str]] = {}
    faults: list[str] = []
    remarks = [_of_services(services)] if services else []
    for name in sorted(ours.keys() - services.keys() - _ELSEWHERE):
        key, text = name.removeprefix(PREFIX).lower(), ours[name]
        one = _SETTINGS.get(key) or _FORMER.get(key) or _COMMAND_LINE.get(key)
        if one is None or name != name.upper():
            remarks.append(_unknown(name))
            continue
        try:
            value = value_of(one, name, text)
        except SettingsError as error:
            faults.append(str(error))
            continue
        if key in _COMMAND_LINE:
            beside[key] = tuple(value) if isinstance(value, list) else value
        else:
            values[key] = value
            given[key_of(one)] = (name, text)
    values = in_present_words(values, *PER_SERVER, *PER_MODEL)
    return FromEnvironment(values, CommandLine(**beside), tuple(faults), tuple(remarks), given)


def _is_of_kubernetes(name: str, text: str) -> bool:
    if _OF_SERVICES.fullmatch(name):
        return True
    return name.endswith("_PORT") and _PORT_OF_SERVICE.fullmatch(text) is not None


def _of_services(found: Mapping[str, str]) -> str:
    first = min(found, key=lambda name: (len(name), name))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"passed over: {first[:_SHOWN]}={found[first][:_SHOWN]}{more}, which Kubernetes sets for a Service,"
        " not for us; enableServiceLinks: false leaves them away"
    )


def _unknown(name: str) -> str:
    # Without what all have in common, which would make them alike.
    elsewhere = (one.removeprefix(PREFIX) for one in _ELSEWHERE)
    meant = nearest(name.removeprefix(PREFIX), (*_SETTINGS, *_COMMAND_LINE, *elsewhere))
    advice = "" if meant is None else f"; did you mean {PREFIX}{meant.upper()}?"
    return f"the environment's {name[:_SHOWN]} is no setting{advice}"
