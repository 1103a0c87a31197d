"""``ModelServerConfig``: a list of models as TensorFlow Serving's users write it, to settings. Pure."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from hotgraph_server.errors import ConfigError, SettingsError
from hotgraph_server.protocols.tfs.logging_config import log_settings
from hotgraph_server.settings import (
    TENSORFLOW,
    AllVersions,
    Latest,
    ModelFactory,
    ModelSettings,
    Specific,
    VersionPolicy,
)
from hotgraph_server.settings.local_paths import local_path

_TENSORFLOW = model_server_config_pb2.TENSORFLOW


def models_of(config: Any, make: ModelFactory) -> list[ModelSettings]:
    """The models that a config asks for, in its order.

    Args:
        config: a ModelServerConfig.
        make: see there.

    Whether a platform is served is not asked here: of a model that is served already another error is told.

    Raises:
        ConfigError: what it says cannot be, in TensorFlow Serving's words.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise ConfigError("custom_model_config is not supported; list the models in model_config_list")
    listed = config.model_config_list.config
    names = [one.name for one in listed]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Illegal to list model {name} multiple times in config list")
    return [_model(one, make) for one in listed]


def _model(config: Any, make: ModelFactory) -> ModelSettings:
    try:
        return dataclasses.replace(
            make(config.name, _folder(config), None),
            platform=_platform(config),
            versions=_policy(config),
            labels=dict(config.version_labels),
            log=log_settings(config),
        )
    except SettingsError as error:
        raise ConfigError(f"model {config.name}: {error}") from error


def _folder(config: Any) -> Path:
    path = local_path(config.base_path)
    if "://" in path:
        raise ConfigError(
            f"model {config.name}: {path} is a URI; only folders of this machine are read, mount it as one"
        )
    if not Path(path).is_absolute():
        raise ConfigError(
            f"Expected model {config.name} to have an absolute path or URI; got base_path()={path}"
        )
    return Path(path)


def _platform(config: Any) -> str:
    if config.model_platform:
        return str(config.model_platform)
    if config.model_type != _TENSORFLOW:
        raise ConfigError(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor"
            f" ModelServerConfig::model_platform, model name is {config.name}"
        )
    return TENSORFLOW


def _policy(config: Any) -> VersionPolicy:
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return AllVersions()
    if kind == "specific":
        return Specific(tuple(policy.specific.versions))
    # Where nothing is said, and for 0, it is the one that is highest.
    return Latest(max(policy.latest.num_versions, 1))
