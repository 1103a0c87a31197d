"""What a method and a path of ``/v2`` ask for: a table with a row for each endpoint. Pure.

Paths are compared as they are, letter by letter, with the query left out. What stands in braces is one part
between two slashes, percent-decoded once (UTF-8), so that any name can be asked for; a version is a number. A
row that comes first wins, and so ``/v2/models/stats`` is about all models: a model of that name is
``/v2/models/%73tats``.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from hotgraph_server.errors import CallError, InvalidCall, NotFound
from hotgraph_server.transport.http import HttpError


class What(enum.Enum):
    """What can be asked for."""

    INFER = "infer"
    GENERATE = "generate"
    GENERATE_STREAM = "generate_stream"
    SERVER_LIVE = "server live"
    SERVER_READY = "server ready"
    MODEL_READY = "model ready"
    SERVER_METADATA = "server metadata"
    MODEL_METADATA = "model metadata"
    MODEL_CONFIG = "model config"
    STATISTICS = "statistics"
    MODELS = "models"
    INDEX = "repository index"
    LOAD = "load"
    UNLOAD = "unload"
    SYSTEM_STATUS = "system shared memory status"
    SYSTEM_REGISTER = "system shared memory register"
    SYSTEM_UNREGISTER = "system shared memory unregister"
    CUDA_STATUS = "cuda shared memory status"
    CUDA_REGISTER = "cuda shared memory register"
    CUDA_UNREGISTER = "cuda shared memory unregister"
    TRACE = "trace settings"
    TRACE_CHANGE = "change of trace settings"
    LOGGING = "log settings"
    LOGGING_CHANGE = "change of log settings"


class Target(NamedTuple):
    """A path, read; a part that its path does not have is empty.

    Attributes:
        version: digits.
        repository: whose models they are; there are no names of repositories here.
    """

    what: What
    model: str = ""
    version: str = ""
    region: str = ""
    repository: str = ""


_M = "/v2/models/{model}[/versions/{version}]"
_R = "/v2/repository[/{repository}]"
_SYSTEM = "/v2/systemsharedmemory[/region/{region}]"
_CUDA = "/v2/cudasharedmemory[/region/{region}]"

_TABLE = (
    ("POST", f"{_M}/infer", What.INFER),
    ("POST", f"{_M}/generate", What.GENERATE),
    ("POST", f"{_M}/generate_stream", What.GENERATE_STREAM),
    ("GET", "/v2/health/live", What.SERVER_LIVE),
    ("GET", "/v2/health/ready", What.SERVER_READY),
    ("GET", f"{_M}/ready", What.MODEL_READY),
    ("GET", "/v2", What.SERVER_METADATA),
    ("GET", "/v2/models", What.MODELS),
    ("GET", "/v2/models/stats", What.STATISTICS),
    ("GET", _M, What.MODEL_METADATA),
    ("GET", f"{_M}/config", What.MODEL_CONFIG),
    ("GET", f"{_M}/stats", What.STATISTICS),
    ("POST", f"{_R}/index", What.INDEX),
    ("POST", f"{_R}/models/{{model}}/load", What.LOAD),
    ("POST", f"{_R}/models/{{model}}/unload", What.UNLOAD),
    ("GET", f"{_SYSTEM}/status", What.SYSTEM_STATUS),
    ("POST", f"{_SYSTEM}/register", What.SYSTEM_REGISTER),
    ("POST", f"{_SYSTEM}/unregister", What.SYSTEM_UNREGISTER),
    ("GET", f"{_CUDA}/status", What.CUDA_STATUS),
    ("POST", f"{_CUDA}/register", What.CUDA_REGISTER),
    ("POST", f"{_CUDA}/unregister", What.CUDA_UNREGISTER),
    ("GET", "/v2[/models/{model}]/trace/setting", What.TRACE),
    ("POST", "/v2[/models/{model}]/trace/setting", What.TRACE_CHANGE),
    ("GET", "/v2/logging", What.LOGGING),
    ("POST", "/v2/logging", What.LOGGING_CHANGE),
)
"""Method, path and what it asks for; brackets hold what may be left out."""

_DIGITS = "[0-9]+"
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_SEVERAL_SLASHES = re.compile("/{2,}")
# What errors show of a path.
_MAX_SHOWN = 256
# Longer ones are not worth keeping.
_MAX_KEPT = 512


class _Row(NamedTuple):
    method: str
    shape: str
    what: What
    path: re.Pattern[str]
    nearly: re.Pattern[str]


def _pattern(shape: str, version: str) -> str:
    """The regular expression of a path in the table."""
    optional = shape.replace("[", "(?:").replace("]", ")?")
    return re.sub(
        r"\{(\w+)\}",
        lambda part: f"(?P<{part[1]}>{version if part[1] == 'version' else '[^/]+'})",
        optional,
    )


_ROWS = tuple(
    _Row(
        method,
        shape,
        what,
        re.compile(_pattern(shape, _DIGITS)),
        re.compile(_pattern(shape, "[^/]+"), re.IGNORECASE),
    )
    for method, shape, what in _TABLE
)


def read_path(method: str, path: str) -> Target:
    """The target of a request.

    Args:
        method: of HTTP, in capitals. HEAD asks for what GET does.
        path: as sent, without the query.

    Raises:
        NotFound: nothing has this path.
        HttpError: 405, it is to be asked with another method.
        InvalidCall: a name in it is no percent-encoded UTF-8.
    """
    return _read_kept(method, path) if len(path) <= _MAX_KEPT else _read(method, path)


def _read(method: str, path: str) -> Target:
    wanted = "GET" if method == "HEAD" else method
    others = []
    for row in _ROWS:
        found = row.path.fullmatch(path)
        if found is None:
            continue
        if row.method == wanted:
            parts = {name: _decoded(name, text) for name, text in found.groupdict().items() if text}
            return Target(row.what, **parts)
        others.append(row.method)
    raise _wrong_method(method, path, others) if others else _unknown(path)


# Callers ask for the same again and again; what is refused is not kept.
_read_kept = functools.lru_cache(maxsize=1024)(_read)


def _decoded(name: str, text: str) -> str:
    """Raises InvalidCall."""
    if "%" not in text and text.isascii():
        return text
    try:
        # A path is bytes, each of them a character.
        decoded = unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeError:
        decoded = ""
    if not decoded or _BAD_ESCAPE.search(text):
        raise InvalidCall(f"the {name} '{_cut(text)}' in the path is no percent-encoded UTF-8")
    return decoded


def _wrong_method(method: str, path: str, others: Iterable[str]) -> HttpError:
    allowed = ", ".join(_with_head(sorted(set(others))))
    return HttpError(
        405, f"Method Not Allowed: {_cut(method)} {_cut(path)}; it takes {allowed}", [("allow", allowed)]
    )


def _with_head(methods: Iterable[str]) -> Iterator[str]:
    for method in methods:
        yield method
        if method == "GET":
            yield "HEAD"


def _unknown(path: str) -> CallError:
    """The error of a path that no row has, with what is likely meant."""
    plain = _SEVERAL_SLASHES.sub("/", path).rstrip("/")
    for row in _ROWS:
        found = row.nearly.fullmatch(plain)
        if found is None:
            continue
        version = found.groupdict().get("version")
        if version is not None and not re.fullmatch(_DIGITS, version):
            return NotFound(f"Not Found: {_cut(path)}; a version is a number, got '{_cut(version)}'")
        return NotFound(f"Not Found: {_cut(path)}; letters and slashes must be as in {row.shape}")
    return NotFound(f"Not Found: {_cut(path)}; GET /v2/models lists the models, {_M}/infer runs one")


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
