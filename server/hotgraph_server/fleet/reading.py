"""`fleet.toml`: read, held against what it may say, and told in one line where it is wrong.

    [fleet]
    name = "shop"
    repository = "/srv/models"     # every node sees it at this path
    state = "/srv/fleet"           # endpoints and status for others to read

    [replicas]
    least = 2
    most = 8
    cpus = 4
    memory_mb = 16384
    [replicas.settings]            # of each server, as in the file of hotgraph serve --config
    max_batch_rows = 32

    [models.flowers]
    copies = 2
    rate_per_s = 300
    cost_ms = { 1 = 2.0, 32 = 20.0 }
    apart_from = ["voices"]

    [scaling]
    duty_high = 0.75

    [rollout]
    calls = 50

Paths that are not absolute are read from the file's folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass
from pathlib import Path
from typing import Any, TypeVar

from hotgraph_server.errors import SettingsError
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec, ReplicaSpec, RolloutSpec, ScalingSpec
from hotgraph_server.settings import PER_MODEL, PER_SERVER, fields_of, in_present_words, key_of
from hotgraph_server.settings.faults import faults_of, keys_in
from hotgraph_server.settings.file import Fault
from hotgraph_server.settings.nearest import did_you_mean
from hotgraph_server.settings.toml_lines import line_of
from hotgraph_server.settings.types import wrong_in
from hotgraph_server.text_proto import text_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "hotgraph"
"""Of a fleet that has been given none."""

FLEETS_OWN = frozenset(
    {
        *("host", "port", "rest_port", "admin_port", "health_port", "socket_path", "socket_only"),
        *("repository", "model_control", "load_model", "memory_mb"),
    }
)
"""Settings of a server that the fleet says itself."""

_FLEET, _REPLICAS, _MODELS, _SETTINGS = "fleet", "replicas", "models", "settings"
_TABLES: dict[str, type] = {
    _FLEET: FleetSpec,
    _REPLICAS: ReplicaSpec,
    _MODELS: ModelSpec,
    "scaling": ScalingSpec,
    "rollout": RolloutSpec,
}

T = TypeVar("T")
_Path = tuple[str, ...]


def read(path: Path) -> FleetSpec:
    """What a file says.

    Raises:
        SettingsError: not there, no TOML, an unknown key, a value of the wrong type or out of its bounds, or
            one that contradicts another; the text names the file, the table, the key and its line, and how
            many faults more there are.
    """
    if not path.exists():
        raise SettingsError(f"{path} is not there; hotgraph fleet --help shows the least that it says")
    spec, faults = spec_and_faults(text_of(path), path.absolute().parent)
    if spec is not None:
        return spec
    first, *others = faults
    line = "" if first.line is None else f" (line {first.line})"
    more = "" if not others else f"; and {len(others)} more: {others[0].text}" + " ..." * (len(others) > 1)
    raise SettingsError(f"{path}: {first.text}{line}{more}")


def known_settings() -> dict[str, Field[Any]]:
    """The settings of a server and of its models, by their keys in the file."""
    return {key_of(one): one for one in fields_of(*PER_SERVER, *PER_MODEL)}


def spec_and_faults(text: str, folder: Path = Path()) -> tuple[FleetSpec | None, list[Fault]]:
    """What a text says, or all that is wrong with it: one of the two is there.

    Args:
        folder: that paths of it are read from.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its own words have the line.
        return None, [Fault(f"no valid TOML: {error}", None)]
    except RecursionError:
        return None, [Fault("no valid TOML: values within values, far too deep", None)]
    reading = _Reading(content, folder)
    spec = reading.spec()
    faults = [Fault(f"{_where(path)}{wrong}", line_of(text, path)) for path, wrong in reading.faults]
    return (None, sorted(faults, key=lambda one: one.line or 0)) if faults else (spec, [])


def _where(path: _Path) -> str:
    depth = 2 if path[:1] == (_MODELS,) or path[:2] == (_REPLICAS, _SETTINGS) else 1
    return f"[{'.'.join(path[:depth])}]: " if path and path[0] in _TABLES else ""


@dataclass
class _Reading:
    """One text; what is wrong with it gathers in `faults`, by the keys that lead there."""

    content: Mapping[str, Any]
    folder: Path

    def __post_init__(self) -> None:
        self.faults: list[tuple[_Path, str]] = []

    def spec(self) -> FleetSpec | None:
        """None, or a wrong one, where there are faults."""
        for key in self.content:
            if key not in _TABLES:
                near = did_you_mean(key, _TABLES) or f"; there are [{'], ['.join(_TABLES)}]"
                self.faults.append(((key,), f"unknown table {key!r}{near}"))
        replicas = self._replicas()
        models = self._models()
        if replicas is not None:
            self._contradictions(replicas, models)
        return self._made(
            FleetSpec,
            (_FLEET,),
            self._fleet(),
            replicas=replicas or ReplicaSpec(),
            models=tuple(models.values()),
            scaling=self._made(ScalingSpec, ("scaling",), self._table(("scaling",))) or ScalingSpec(),
            rollout=self._made(RolloutSpec, ("rollout",), self._table(("rollout",))) or RolloutSpec(),
        )

    def _table(self, path: _Path) -> dict[str, Any]:
        """One of the text's tables; empty where it is not there, or is none."""
        found: Any = self.content
        for key in path:
            found = found.get(key, {})
            if not isinstance(found, dict):
                self.faults.append((path, f"must be a table, got {found!r}"))
                return {}
        return dict(found)

    def _fleet(self) -> dict[str, Any]:
        table = self._table((_FLEET,))
        table.setdefault("name", NAME)
        for key in ("repository", "state"):
            if key not in table:
                self.faults.append(((_FLEET,), f'needs {key} = "DIR"'))
        return table

    def _replicas(self) -> ReplicaSpec | None:
        table = self._table((_REPLICAS,))
        settings = self._table((_REPLICAS, _SETTINGS)) if _SETTINGS in table else {}
        table.pop(_SETTINGS, None)
        # What is not said follows from what is: see the keys' help.
        said = [table[key] for key in ("count", "least") if isinstance(table.get(key), int)]
        for key in ("count", "least"):
            table.setdefault(key, said[0] if said else 1)
        table.setdefault("most", max(said, default=1))
        return self._made(ReplicaSpec, (_REPLICAS,), table, settings=self._settings(settings))

    def _settings(self, given: Mapping[str, Any]) -> dict[str, object]:
        """Those of servers: checked as those of a settings file are, for their values too."""
        path = (_REPLICAS, _SETTINGS)
        values = in_present_words(given, *PER_MODEL)
        bad = set()
        for key in sorted(FLEETS_OWN & set(values)):
            bad.add(key)
            self.faults.append(((*path, key), f"{key} is what the fleet says to each of its servers"))
        for wrong in wrong_in(path, values, known_settings()):
            bad.add(wrong.path[len(path)])
            self.faults.append((wrong.path, wrong.text))
        right = {key: value for key, value in values.items() if key not in bad}
        for owner in (*PER_SERVER, *PER_MODEL):
            self.faults += [((*path, key), wrong) for key, wrong in faults_of(owner, right)]
        if right.get("processes", 1) != 1:
            why = "models come and go in one process alone; say more replicas of fewer cpus"
            self.faults.append(((*path, "processes"), f"processes must be 1 in a fleet: {why}"))
        if right.get("tls_cert") and not right.get("rest_clear_text"):
            why = "by the REST port, in the clear, the fleet has its servers load models"
            self.faults.append(((*path, "tls_cert"), f"tls_cert needs rest_clear_text = true: {why}"))
        return right

    def _models(self) -> dict[str, ModelSpec]:
        """Those that are right, by name."""
        found = {}
        for name in self._table((_MODELS,)):
            path = (_MODELS, name)
            model = self._made(ModelSpec, path, self._table(path), name=name)
            if model is not None:
                found[name] = model
        return found

    def _contradictions(self, replicas: ReplicaSpec, models: Mapping[str, ModelSpec]) -> None:
        if replicas.least > replicas.most:
            words = f"most is {replicas.most}, but least is {replicas.least}"
            self.faults.append(((_REPLICAS, "most"), words))
        elif not replicas.least <= replicas.count <= replicas.most:
            between = f"from least to most, which are {replicas.least} and {replicas.most}"
            self.faults.append(((_REPLICAS, "count"), f"count must be {between}, got {replicas.count}"))
        named = self._table((_MODELS,))
        for model in models.values():
            for key, wrong in _wrong_with(model, replicas, models, named):
                self.faults.append(((_MODELS, model.name, key), wrong))

    def _made(self, owner: type[T], path: _Path, table: Mapping[str, Any], **more: Any) -> T | None:
        """A table's value; None where it has faults."""
        known: dict[str, Field[Any]] = {key_of(one): one for one in fields_of(owner) if one.metadata}
        wrongs = [(wrong.path, wrong.text) for wrong in wrong_in(path, table, known)]
        self.faults += wrongs
        if wrongs or not all(key in table for key in ("repository", "state") if key in known):
            return None
        try:
            values = {key: self._value(key, value, known[key]) for key, value in table.items()}
            return owner(**values, **more)
        except (SettingsError, ValueError, OverflowError) as error:
            named = keys_in(str(error), list(table))
            self.faults.append(((*path, *named[:1]), str(error)))
            return None

    def _value(self, key: str, value: Any, field: Field[Any]) -> Any:
        """Raises SettingsError."""
        if field.metadata["kind"] is dict:
            return _curve(key, value)
        if field.metadata["kind"] is list:
            return frozenset(value)
        if key in ("repository", "state"):
            if not value or "\0" in value:
                raise SettingsError(f"{key} must be a folder, got {value!r}")
            return self.folder / _home(key, value)
        return value


def _home(key: str, value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise SettingsError(f"{key} is {value!r}, and there is no such home: {error}") from None


def _curve(key: str, table: Mapping[str, Any]) -> tuple[tuple[int, float], ...]:
    """Raises SettingsError."""
    for rows, ms in table.items():
        number = isinstance(ms, (int, float)) and not isinstance(ms, bool)
        if not (rows.isascii() and rows.isdecimal() and len(rows) <= 9 and number):
            raise SettingsError(
                f"{key} must be milliseconds by rows, {{ 1 = 2.0, 32 = 20.0 }}, got {rows} = {ms!r}"
            )
    return tuple(sorted((int(rows), float(ms)) for rows, ms in table.items()))


def _wrong_with(
    model: ModelSpec, replicas: ReplicaSpec, models: Mapping[str, ModelSpec], named: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """What a model says that others, or the replicas, contradict: keys and words."""
    if model.copies > replicas.most:
        yield "copies", f"copies is {model.copies}, but there are {replicas.most} replicas at most"
    if model.memory_mb is not None and model.memory_mb > replicas.for_models_mb:
        room = f"a replica has {replicas.for_models_mb} for models"
        yield "memory_mb", f"memory_mb is {model.memory_mb:g}, but {room}"
    for other in sorted(model.apart_from):
        if other not in named:
            yield "apart_from", f"apart_from names {other!r}, which there is not{did_you_mean(other, named)}"
        elif model.pin or (other in models and models[other].pin):
            pinned = model.name if model.pin else other
            yield "apart_from", f"apart_from names {other!r}, but {pinned!r} is pinned to every replica"
