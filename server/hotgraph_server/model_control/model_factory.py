"""What models are like: by what the flags and the file say for all of them, what a model's own configuration
says, and what its table in the file says; the later wins."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config import config_file, translation
from hotgraph_server.model_control import safe_paths
from hotgraph_server.settings import (
    PER_MODEL,
    BatchSettings,
    CacheSettings,
    ModelSettings,
    ResidencySettings,
    SequenceSettings,
    SessionSettings,
    ShadowSettings,
    StateSettings,
    WarmupSettings,
    build,
)

_LOG = logging.getLogger(__name__)


def model(name: str, path: Path, values: Mapping[str, Any]) -> ModelSettings:
    """A model by the values of its settings, by their names; what is not there keeps its default.

    Raises:
        SettingsError: one of them cannot be.
    """
    return ModelSettings(
        name,
        path,
        build(BatchSettings, values),
        build(SessionSettings, values),
        warmup=build(WarmupSettings, values),
        state=build(StateSettings, values),
        kept=build(CacheSettings, values),
        sequences=build(SequenceSettings, values),
        residency=build(ResidencySettings, values),
        shadow=build(ShadowSettings, values),
    )


def in_folder(
    name: str, path: Path, values: Mapping[str, Any], table: Mapping[str, Any] | None = None
) -> ModelSettings:
    """A model of a folder that somebody named, with its ``config.pbtxt`` where it has one.

    Args:
        name: of the model.
        path: of its folder, which need not be there.
        values: of settings, for all models.
        table: of settings, for this one.

    Raises:
        SettingsError: its configuration, or a value, cannot be.
    """
    config = own_config(path)
    if config is None:
        return model(name, path, {**values, **(table or {})})
    made = ConfiguredModels(values, {name: table or {}})(name, path, config)
    made = dataclasses.replace(made, folder=dataclasses.replace(made.folder, linked_files=True))
    if not config.default_model_filename:
        return made
    fault = safe_paths.part_fault(config.default_model_filename)
    if fault is not None:
        raise SettingsError(f"default_model_filename {fault}: {config.default_model_filename[:100]!r}")
    folder = dataclasses.replace(made.folder, saved_model=config.default_model_filename)
    return dataclasses.replace(made, folder=folder)


def own_config(path: Path) -> ModelConfig | None:
    """The configuration in a model's folder; None: it has none.

    Raises:
        SettingsError: it cannot be read.
    """
    file = path / config_file.FILE_NAME
    try:
        there = file.is_file()
    except OSError:
        # A folder that this process may not look into; the look for its versions will say so.
        return None
    return config_file.read(file) if there else None


@dataclasses.dataclass(frozen=True)
class ConfiguredModels:
    """The ModelFactory of models that repositories offer.

    Attributes:
        values: of settings, for all of them.
        tables: of settings, for single ones by name.
    """

    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def __call__(self, name: str, path: Path, config: Any) -> ModelSettings:
        """
        Raises:
            SettingsError: its configuration, or its table, cannot be.
        """
        made = model(name, path, self.values)
        if config is not None:
            made, remarks = translation.settings_from(config, made)
            for line in remarks:
                _LOG.info("%s", line)
        return _over(made, self.tables.get(name, {}))


def _over(made: ModelSettings, table: Mapping[str, Any]) -> ModelSettings:
    """The same model, with what the table says in place of what it was."""
    changed = {}
    for field in dataclasses.fields(made):
        owned = getattr(made, field.name)
        if type(owned) in PER_MODEL:
            before = {one.name: getattr(owned, one.name) for one in dataclasses.fields(owned)}
            changed[field.name] = build(type(owned), {**before, **table})
    return dataclasses.replace(made, **changed)
