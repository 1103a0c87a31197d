"""A path as somebody gave it into the folder of a SavedModel: the one place where that is decided."""

from __future__ import annotations

import atexit
import dataclasses
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hotgraph_server.conversion.cache import Cache, content_hash, usual_folder
from hotgraph_server.conversion.process import Say, convert
from hotgraph_server.conversion.request import Request
from hotgraph_server.errors import LoadError
from hotgraph_server.repository.model_files import is_model_file
from hotgraph_server.settings import ConversionSettings, ModelSettings, OpsSettings

# Another number, and what is in caches counts no more.
_FORMAT = "1"
_MAKERS = ("tensorflow", "keras", "tf_keras")

_caches: dict[Path, Cache] = {}


def saved_model_folder(path: Path, settings: ConversionSettings, ops: OpsSettings, say: Say) -> Path:
    """The folder of a SavedModel or of versions: `path` itself, unless it is a file that one can be made of.

    What is made is taken from the user's cache the next time, or lasts as long as this process.

    Args:
        ops: the modules among them are imported before, for the classes that they bring.
        say: is told of what takes a while.

    Raises:
        LoadError: none can be made of it; the text says why, and what to do.
    """
    if not is_model_file(path):
        return path
    path = path.absolute()
    before = _stamp(path)
    request = _request(path, settings, ops)
    try:
        key = content_hash(path, *_beside(request))
    except OSError as error:
        raise LoadError(str(path), error.strerror or str(error)) from error
    cache = _cache(settings)
    cache.prepare()
    entry = cache.entry(path.stem, key)
    if cache.take(entry):
        say(f"{path.name}: a SavedModel of it is there already, {entry}")
        return entry
    try:
        convert(dataclasses.replace(request, target=str(entry)), settings.conversion_timeout_s, say)
    except LoadError:
        # Another process may have been faster.
        if not cache.take(entry):
            raise
    if _stamp(path) != before:
        shutil.rmtree(entry, ignore_errors=True)
        raise LoadError(str(path), "has changed while a SavedModel was made of it; once more")
    cache.take(entry)
    cache.trim()
    return entry


def with_folders(
    models: Sequence[ModelSettings], settings: ConversionSettings, ops: OpsSettings, say: Say
) -> tuple[ModelSettings, ...]:
    """These models, each with the folder of its SavedModel as its path.

    Raises:
        LoadError: none can be made for one of them.
    """
    folders = [saved_model_folder(one.path, settings, ops, say) for one in models]
    return tuple(
        one if folder == one.path else dataclasses.replace(one, path=folder)
        for one, folder in zip(models, folders, strict=True)
    )


def _cache(settings: ConversionSettings) -> Cache:
    """The user's, or one that goes with this process."""
    folder = usual_folder() if settings.conversion_cache else Path()
    if folder not in _caches:
        _caches[folder] = Cache(folder if settings.conversion_cache else _passing_folder())
    return _caches[folder]


def _passing_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hotgraph-models-"))
    # Not from a copy of this process: of several that serve each has its own.
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


def _request(path: Path, settings: ConversionSettings, ops: OpsSettings) -> Request:
    libraries = tuple(os.path.abspath(os.path.expanduser(one)) for one in ops.load_op_library)
    return Request(str(path), "", settings.allow_lambda, tuple(ops.import_), libraries)


def _beside(request: Request) -> list[str]:
    """What else decides what comes out: who makes it, and by what."""
    words = [_FORMAT, str(request.allow_lambda), Path(request.source).suffix, *request.libraries]
    for maker in _MAKERS:
        try:
            words.append(f"{maker} {importlib.metadata.version(maker)}")
        except importlib.metadata.PackageNotFoundError:
            words.append(f"no {maker}")
    for module in request.modules:
        words.append(f"{module} {_origin(module)}")
    return words


def _origin(module: str) -> str:
    """The file of a module's package, and when it was written."""
    top = module.partition(".")[0]
    beside = Path.cwd() / f"{top}.py"
    try:
        spec = importlib.util.find_spec(top)
        file = Path(spec.origin) if spec is not None and spec.origin else beside
        return f"{file} {_stamp(file)}"
    except (ImportError, ValueError, LoadError):
        return ""


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise LoadError(str(path), error.strerror or str(error)) from error
    return status.st_ino, status.st_size, status.st_mtime_ns
