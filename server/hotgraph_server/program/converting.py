"""Models that were given as files, as the folders of SavedModels that are made of them."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path

from hotgraph_server.conversion.folders import with_folders
from hotgraph_server.errors import LoadError, SettingsError
from hotgraph_server.settings import ModelSettings, ServerSettings
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


def given_path(text: str) -> Path:
    """A path as people write it: `~` is their home, and file:// is left out.

    Raises:
        SettingsError: it is a place that is not on this machine.
    """
    if (fault := remote_fault(text)) is not None:
        raise SettingsError(fault)
    # Not Path.expanduser, which raises for the home of nobody: as it is, it is a folder that is not there.
    return Path(os.path.expanduser(local_path(text)))
