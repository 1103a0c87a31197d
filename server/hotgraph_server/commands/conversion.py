"""Where commands turn what somebody gave as a model into the folder of a SavedModel."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotgraph_server.conversion.folders import saved_model_folder, with_folders
from hotgraph_server.errors import LoadError, SettingsError
from hotgraph_server.repository.layout import default_name
from hotgraph_server.settings import ConversionSettings, ModelSettings, OpsSettings, ServerSettings, build
from hotgraph_server.settings.local_paths import local_path, remote_fault

_LOG = logging.getLogger(__name__)


def converted(settings: ServerSettings) -> ServerSettings:
    """The same, with folders of SavedModels where models were given as files.

    Raises:
        LoadError: of one none can be made, and the server shall end over that.
    """
    models: list[ModelSettings] = []
    for one in settings.models:
        try:
            models += with_folders([one], settings.conversion, settings.ops, _LOG.info)
        except LoadError as error:
            if settings.repository.exit_on_error:
                raise
            _LOG.error("%s", error)
            models.append(one)
    return dataclasses.replace(settings, models=tuple(models))


def model_path(text: str, values: Mapping[str, Any]) -> tuple[str, Path]:
    """A path as given on the command line: the name of a model that is a file, empty of all others; and the
    folder.

    Args:
        values: of settings.

    Raises:
        StartError: it is not on this machine, or no SavedModel can be made of it.
    """
    path = given_path(text)
    folder = saved_model_folder(path, build(ConversionSettings, values), build(OpsSettings, values), tell)
    return ("" if folder == path else default_name(path)), folder


def given_path(text: str) -> Path:
    """
    Raises:
        SettingsError: it is a place that is not on this machine.
    """
    if (fault := remote_fault(text)) is not None:
        raise SettingsError(fault)
    return Path(os.path.expanduser(local_path(text)))


def tell(line: str) -> None:
    """A line for whoever waits."""
    print(line, file=sys.stderr, flush=True)
