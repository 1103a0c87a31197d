"""What a method and a path ask for. Pure.

    POST /v1/models/NAME[/versions/N | /labels/L]:predict | :classify | :regress
    GET  /v1/models/NAME[/versions/N | /labels/L][/metadata]
    GET  /v1/models

The last is ours: TensorFlow Serving tells of one model at a time. Letters of either case will do, and names
and labels are percent-encoded. That they cannot hold a '/' or ':' unless they are encoded is TensorFlow
Serving's rule.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from hotgraph_server.errors import InvalidCall, NotFound

_VERSION = r"(?:/versions/(?P<number>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<what>classify|regress|predict)", re.IGNORECASE
)
_ABOUT = re.compile(
    rf"(?P<root>/v1/models)(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<what>metadata))?", re.IGNORECASE
)
_API = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)

# What errors show of a path.
_MAX_SHOWN = 256

# Of an int64, which a version is.
_MAX_NUMBER = 2**63 - 1


class What(enum.Enum):
    """What can be asked."""

    PREDICT = "predict"
    CLASSIFY = "classify"
    REGRESS = "regress"
    MODELS = "models"
    STATUS = "status"
    METADATA = "metadata"


class Target(NamedTuple):
    """A path, read.

    Attributes:
        name: of the model; empty: it is about all of them.
        number: of the version; None: the path has none.
        label: of the version; empty: the path has none.
    """

    what: What
    name: str
    number: int | None = None
    label: str = ""


def read_path(method: str, path: str) -> Target:
    """The target of a request.

    Args:
        method: of HTTP, in capitals.
        path: as sent, without the query.

    Raises:
        InvalidCall: there is no such thing to be asked.
        NotFound: the path belongs to something else than this API.
    """
    if _API.fullmatch(path) is None:
        raise NotFound(
            f"no such path: {path[:_MAX_SHOWN]}; models are under /v1/models/ and /v2/models/, and what can"
            " be asked of them at /docs"
        )
    pattern = {"POST": _CALL, "GET": _ABOUT}.get(method)
    found = pattern.fullmatch(path) if pattern else None
    if found is None:
        raise InvalidCall(f"Malformed request: {method} {path}")
    if found["name"] is None:
        if found.end() == found.end("root"):
            return Target(What.MODELS, "")
        raise InvalidCall("Missing model name in request.")
    number = None if found["number"] is None else int(found["number"])
    if number is not None and number > _MAX_NUMBER:
        raise InvalidCall(f"Failed to convert version: {found['number']} to numeric.")
    what = What((found["what"] or What.STATUS.value).lower())
    label = _decoded("version label", found["label"]) if found["label"] else ""
    return Target(what, _decoded("name", found["name"]), number, label)


def _decoded(of_what: str, text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise InvalidCall(f"Failed to decode model {of_what}:{text}") from error
