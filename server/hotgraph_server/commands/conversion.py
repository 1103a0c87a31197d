"""Where commands turn what somebody gave as a model into the folder of a SavedModel."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotgraph_server.conversion.folders import saved_model_folder
from hotgraph_server.program.converting import given_path
from hotgraph_server.repository.layout import default_name
from hotgraph_server.settings import ConversionSettings, OpsSettings, build

_LOG = logging.getLogger(__name__)


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


def tell(line: str) -> None:
    """A line for whoever waits."""
    print(line, file=sys.stderr, flush=True)
