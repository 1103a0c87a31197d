"""A model's configuration, read: as a ``config.pbtxt`` or as the JSON that requests to load a model bring."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from google.protobuf import json_format
from google.protobuf.message import Message

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server import text_proto
from hotgraph_server.errors import SettingsError

FILE_NAME = "config.pbtxt"
"""In a model's folder, beside its versions."""

_LONGEST_JSON = 16 * 1024 * 1024


def read(path: Path) -> ModelConfig:
    """The configuration in a file of protobuf text.

    Raises:
        SettingsError: it cannot be read; the text names the file, the line and the field.
    """
    return text_proto.read(path, ModelConfig)


def parse(text: str, where: str) -> ModelConfig:
    """The configuration that protobuf text stands for.

    Args:
        where: the text is from, for errors.

    Raises:
        SettingsError: it is none; the text names `where`, the line and the field.
    """
    return text_proto.parse(text, ModelConfig, where)


def from_json(text: str, where: str = "config") -> ModelConfig:
    """The configuration that JSON stands for, in protobuf's mapping; fields by either of their names.

    Args:
        where: the text is from, for errors.

    Raises:
        SettingsError: it is none; the text names `where` and the field.
    """
    if len(text) > _LONGEST_JSON:
        raise SettingsError(f"{where}: {len(text)} characters of JSON; the limit is {_LONGEST_JSON}")
    config = ModelConfig()
    try:
        json_format.Parse(text, cast(Message, config))
    except json_format.ParseError as error:
        raise SettingsError(f"{where}: no valid inference.ModelConfig: {_one_line(error)}") from error
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        # What protobuf's reader lets through for JSON of another shape than it expects: a list where an
        # object should be, a lone surrogate.
        said = f"{type(error).__name__}: {_one_line(error)}"
        raise SettingsError(f"{where}: no valid inference.ModelConfig: {said}") from error
    return config


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or "not understood"
