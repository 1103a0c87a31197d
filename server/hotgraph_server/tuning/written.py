"""Settings that were found, as files that the server reads: TOML for --config, or a config.pbtxt. Pure.

Only what differs from today is in the TOML, with the figures that speak for it. A config.pbtxt is the model's
own, if it has one, with what differs in it; what that form has no words for (processes) is said in a comment.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.settings import PER_SERVER, fields_of, key_of
from hotgraph_server.tuning.costs import told

PBTXT = ".pbtxt"

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PER_SERVER = frozenset(key_of(setting) for setting in fields_of(*PER_SERVER))
# Settings that have fields of their own in an inference.ModelConfig, or Triton's names for parameters.
_ROWS, _WAIT, _THREADS = "max_batch_rows", "max_wait_us", "intra_op_threads"
_INTRA = "TF_NUM_INTRA_THREADS"


def toml(name: str, path: Path, values: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """A file for `hotgraph serve --config`.

    Args:
        name: of the model.
        path: of its folder.
        values: settings by name, of the server and of the model.
        comments: lines at its head.
    """
    lines = [f"# {line}" for line in comments]
    lines += [f"{key} = {_value(value)}" for key, value in values.items() if key in _PER_SERVER]
    lines += ["", f"[models.{_key(name)}]", f"path = {_value(str(path))}"]
    lines += [f"{key} = {_value(value)}" for key, value in values.items() if key not in _PER_SERVER]
    return "\n".join([*lines, ""])


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _value(text)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(str(key))} = {_value(one)}' for key, one in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    # JSON's strings are TOML's, but for the one that TOML wants escaped and JSON does not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def pbtxt(own: ModelConfig | None, values: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """A model's ``config.pbtxt``.

    Args:
        own: what it has now; None: none.
        values: settings that differ from what it says, by name.
        comments: lines at its head.
    """
    config = copy.deepcopy(own) if own is not None else ModelConfig()
    said = list(comments)
    for key, value in values.items():
        if key in _PER_SERVER:
            said.append(f"not in here, but for the server: {key} = {told(value)}")
        elif key == _ROWS and 0 < config.max_batch_size < value:
            config.max_batch_size = value
        elif key == _WAIT:
            config.dynamic_batching.max_queue_delay_microseconds = value
        elif key == _THREADS:
            config.parameters[_INTRA].string_value = str(value)
        else:
            # A lower max_batch_size, or one where there was none, would refuse calls that are answered today.
            config.parameters[f"HOTGRAPH_{key.upper()}"].string_value = _in_words(value)
    return "\n".join([*(f"# {line}" for line in said), text_format.MessageToString(config)])


def _in_words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else told(value)
