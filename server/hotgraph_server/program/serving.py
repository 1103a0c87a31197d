"""`serve` and `Server`: what a program sees of a server in it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from hotgraph_server import server as whole
from hotgraph_server.errors import SettingsError
from hotgraph_server.graph import other_ops
from hotgraph_server.program import exporting
from hotgraph_server.program.composing import server_settings
from hotgraph_server.program.converting import converted, given_path
from hotgraph_server.repository.layout import default_name, versions_in
from hotgraph_server.settings import PER_MODEL, PER_SERVER, ServerSettings, fields_of, key_of
from hotgraph_server.settings.file import FileSettings, read_settings_file
from hotgraph_server.settings.types import wrong_in

Model: TypeAlias = str | Path | object
"""A folder, a file that one can be made of, or a model in memory: of Keras, a tf.function or a tf.Module."""

_SETTINGS = {key_of(field): field for field in fields_of(*PER_SERVER, *PER_MODEL)}
# Nothing of the program shall be killed with it, and it has one process.
_OF_COMMANDS = ("processes", "log_format", "log_level")


class Server:
    """Models behind ports, in this process. The constructor starts nothing.

    A context manager, also of `async with`, whose start and stop then wait in a thread:

        with Server(model) as server:
            client = Client(server.address)

    `start` and `stop` are for one thread at a time; everything else is for any.
    """

    def __init__(
        self,
        models: Model | Mapping[str, Model] | None = None,
        *,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        rest_port: int | None = None,
        admin_port: int | None = None,
        config: str | Path | None = None,
        **settings: Any,
    ) -> None:
        """
        Args:
            models: one, or several by name: a folder (a SavedModel, or numbered versions of one), a .keras,
                .h5 or frozen .pb file, a Keras model, a tf.function or a tf.Module. None: those of
                `config`, or of `repository=`.
            name: what callers call the one model; by default its folder's name, or its own.
            host: address to listen on.
            port: of gRPC; 0: one that is free.
            rest_port: of HTTP; 0: one that is free; None: there is none.
            admin_port: for /metrics, /healthz and the live page; 0: one that is free; None: there is none.
            config: a settings file; what is said here wins over it.
            settings: any other setting by its name in docs/settings.md: ``max_batch_rows=32``.

        Raises:
            SettingsError: a name or a value that cannot be.
        """
        self._models = _by_name(models, name)
        self._file = Path(config) if config is not None else None
        ports = {
            "port": port,
            "rest_port": 0 if rest_port is None else rest_port,
            "admin_port": 0 if admin_port is None else admin_port,
        }
        free = {"rest_on_free_port": rest_port == 0, "admin_on_free_port": admin_port == 0}
        self._values = {**_checked({**settings, "host": host, **ports}), **free}
        self._server: whole.Server | None = None
        self._kept = contextlib.ExitStack()
        # What can be known to be wrong without a model shall be known here.
        self._settings({})

    @property
    def address(self) -> str:
        """``HOST:PORT`` of gRPC."""
        return self._started.address

    @property
    def rest_url(self) -> str | None:
        """``http://HOST:PORT``; None: there is none."""
        return _url(self._started.rest_address)

    @property
    def admin_url(self) -> str | None:
        """``http://HOST:PORT``; None: there is none."""
        return _url(self._started.admin_address)

    @property
    def is_running(self) -> bool:
        """Has it started, and not been stopped?"""
        return self._server is not None

    def start(self) -> Server:
        """Save what is in memory, bind the ports, load the models; returns itself when calls are answered.

        Raises:
            StartError: that cannot be; one line says why, and nothing is left running.
        """
        if self._server is not None:
            raise RuntimeError("the server has been started already")
        with contextlib.ExitStack() as stack:
            settings = converted(self._settings(self._folders(stack)))
            if not settings.models and not settings.control.repository:
                raise SettingsError("no model is given; pass a folder, a model, or repository=[DIR]")
            for one in settings.models:
                versions_in(one.path, one.folder)
            other_ops.bring(settings.ops)
            server = whole.Server(settings)
            server.start()
            self._kept = stack.pop_all()
        self._server = server
        return self

    def stop(self, timeout_s: float | None = None) -> bool:
        """Take no calls any more, answer those taken, close the models, end the threads. Returns whether
        every call was answered; a second time it does nothing.

        Args:
            timeout_s: for the calls; None: what `drain_s` says, 25 s by default.
        """
        server, self._server = self._server, None
        if server is None:
            return True
        with self._kept:
            return server.stop(timeout_s).answered

    def __enter__(self) -> Server:
        return self if self.is_running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Server:
        # Here, because few need it.
        import asyncio

        return self if self.is_running else await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.stop)

    def __repr__(self) -> str:
        where = f"on {self.address}" if self.is_running else "not running"
        return f"<hotgraph_server.Server of {', '.join(self._models) or 'its settings'}, {where}>"

    @property
    def _started(self) -> whole.Server:
        if self._server is None:
            raise RuntimeError("the server is not running; start it, or use it in a with statement")
        return self._server

    def _settings(self, folders: Mapping[str, Path]) -> ServerSettings:
        file = read_settings_file(self._file) if self._file is not None else FileSettings()
        return server_settings(
            {**file.values, **self._values}, file.models, list(folders.items()), self._file
        )

    def _folders(self, stack: contextlib.ExitStack) -> dict[str, Path]:
        """The models' folders; of those in memory one that goes with the server."""
        folders = {}
        for name, model in self._models.items():
            if isinstance(model, (str, Path)):
                folders[name] = given_path(str(model))
                continue
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hotgraph-")))
            folders[name] = place / "1"
            exporting.export(model, folders[name])
        return folders


def serve(
    models: Model | Mapping[str, Model] | None = None,
    *,
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    rest_port: int | None = None,
    admin_port: int | None = None,
    config: str | Path | None = None,
    **settings: Any,
) -> Server:
    """A server that answers calls: one that has been started. For its arguments see `Server`.

        with hotgraph_server.serve("models/flowers", max_batch_rows=32) as server:
            ...

    Raises:
        StartError: it cannot start; one line says why, and nothing is left running.
    """
    server = Server(
        models,
        name=name,
        host=host,
        port=port,
        rest_port=rest_port,
        admin_port=admin_port,
        config=config,
        **settings,
    )
    return server.start()


def _by_name(models: Model | Mapping[str, Model] | None, name: str | None) -> dict[str, Model]:
    for one in models if isinstance(models, Mapping) else () if name is None else (name,):
        if not isinstance(one, str) or not one:
            raise SettingsError(f"a model's name is a text that is not empty, got {one!r}")
    if isinstance(models, Mapping):
        if name is not None:
            raise SettingsError(f"name={name!r} is for one model; these have theirs: {', '.join(models)}")
        return dict(models)
    if models is None:
        if name is not None:
            raise SettingsError(f"name={name!r} needs a model")
        return {}
    if isinstance(models, (str, Path)):
        return {name or default_name(given_path(str(models))): models}
    return {name or exporting.name_of(models): models}


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their names, with Python's tuples for TOML's lists, and paths for texts."""
    for key in _OF_COMMANDS:
        if key in settings:
            raise SettingsError(f"{key} is of hotgraph serve: of a program's process nothing is changed")
    known = {key: field for key, field in _SETTINGS.items() if key not in _OF_COMMANDS}
    plain = {
        key: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
        for key, value in settings.items()
    }
    wrongs = wrong_in((), plain, known)
    if wrongs:
        raise SettingsError("; ".join(wrong.text for wrong in wrongs))
    return plain


def _url(address: str | None) -> str | None:
    return f"http://{address}" if address else None
