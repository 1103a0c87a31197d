"""``hotgraph serve``: flags and file to settings, then the server's life in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotgraph_server.access.gate import gate_of
from hotgraph_server.commands import processes
from hotgraph_server.commands.bootstrap import GRPC_EXPERIMENTS, import_tensorflow
from hotgraph_server.commands.builtin import digits_model
from hotgraph_server.commands.log_set_up import limit_logging, set_up_logging
from hotgraph_server.commands.reloading import Reloading
from hotgraph_server.commands.setting_flags import add_flags
from hotgraph_server.commands.signals import Stop, say
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_control.discovery import offers_of
from hotgraph_server.model_control.model_factory import ConfiguredModels, in_folder, model
from hotgraph_server.observability.otlp import opening
from hotgraph_server.observability.request_log.placing import checked_folder
from hotgraph_server.repository import memory
from hotgraph_server.repository.layout import default_name, versions_in
from hotgraph_server.settings import (
    PER_MODEL,
    PER_SERVER,
    AccessSettings,
    AdminSettings,
    ControlSettings,
    InferenceSettings,
    ListenSettings,
    LoggingSettings,
    OpsSettings,
    OtlpSettings,
    PredictionSettings,
    ProcessSettings,
    RepositorySettings,
    ResponseCacheSettings,
    RestSettings,
    ServerSettings,
    SessionSettings,
    SharedMemorySettings,
    TraceSettings,
    build,
    in_present_words,
    key_of,
    trace_config,
)
from hotgraph_server.settings.control import POLL
from hotgraph_server.settings.file import FileSettings, read_settings_file
from hotgraph_server.settings.local_paths import local_path

if TYPE_CHECKING:
    from hotgraph_server.processes.member import Member
    from hotgraph_server.server import Server

DESCRIPTION = """\
Serve SavedModels over gRPC, to clients of the Open Inference Protocol (Triton, KServe) and of
TensorFlow Serving, on one port; and over HTTP on another.

A DIR is one SavedModel, or a folder of numbered versions of which the highest is served. A repository is a
folder of such, each with a config.pbtxt of Triton's or without. Without any of them the built-in model
answers: handwritten digits, 784 pixels in, 10 probabilities out.
"""
EXAMPLES = """\
examples:
  hotgraph serve                                the built-in digits on 127.0.0.1:8500
  hotgraph serve ~/models/flowers               one model, called "flowers"
  hotgraph serve a=DIR b=DIR2 --port 0          two models, a free port (the log says which)
  hotgraph serve DIR --host 0.0.0.0             for other machines to call
  hotgraph serve DIR --processes auto           several processes, on a large machine
  hotgraph serve --repository ~/models          every model of a repository
  hotgraph serve --config server.toml           everything from a file:
      port = 8500
      [models.flowers]
      path = "/models/flowers"
      max_batch_rows = 16

The line "serving on HOST:PORT" on stderr means that calls are answered. SIGTERM or Ctrl-C: no new
calls, those taken are answered, exit status 0. A second signal ends at once. SIGHUP: the files are read
again, the folders are looked at, models come, go and change, and no call fails over it. With --processes N
it replaces the processes one by one.
"""

_LOG = logging.getLogger(__name__)

_BUILT_IN_NAME = "digits"
# Of model-control poll, where poll-s is not given; as Triton has it.
_POLL_S = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument(
        "models",
        nargs="*",
        metavar="[NAME=]DIR",
        help="a model; NAME is what clients call it, by default DIR's",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="settings and models from a file; flags win over it"
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.add_argument(
        "--trace-config",
        action="append",
        metavar="[MODE,]KEY=VALUE",
        help="traces as Triton's flag of this name sets them; MODE is triton or opentelemetry",
    )
    add_flags(parser, *PER_SERVER, *PER_MODEL)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal says otherwise; returns the exit status.

    Raises:
        StartError: the server cannot start.
    """
    # First, because reading models' configurations has things to say.
    member: Member | None = arguments.member
    set_up_logging(arguments.verbose, member, build(LoggingSettings, vars(arguments)))
    settings = settings_from(vars(arguments))
    set_up_logging(arguments.verbose, member, settings.logging)
    if member is not None:
        settings = processes.in_process(settings)
    if GRPC_EXPERIMENTS in os.environ and member is None:
        _LOG.info("grpc runs with %s=%s", GRPC_EXPERIMENTS, os.environ[GRPC_EXPERIMENTS])
    if member is None and (count := processes.count(settings)) > 1:
        _check(settings)
        return processes.supervise(
            settings, count, arguments.words, lambda: _check_again(settings, vars(arguments))
        )
    stop = Stop()
    stop.start()
    _check(settings)
    # Models of repositories name their devices themselves, and may come later.
    import_tensorflow(sessions_of(settings), settings.ops, or_others=settings.offered is not None)
    from hotgraph_server.server import Server

    server = Server(settings, member=member)

    def reload(_: bool) -> None:
        # First: nothing else that is wrong shall keep a key that was taken back.
        server.renew_access()
        now = settings_from(vars(arguments))
        server.renew(now)
        _tell_of_what_waits(settings, now)

    return serve_until_stopped(server, stop, Reloading(reload), member)


def _check(settings: ServerSettings) -> None:
    """What can be known before TensorFlow is there. Raises StartError."""
    gate_of(settings.access)
    opening.check(settings.otlp)
    checked_folder(settings.access.request_log_dir)
    # A mistyped folder shall not cost the seconds that TensorFlow takes to import.
    for one in settings.models if settings.repository.exit_on_error else ():
        versions_in(one.path, one.folder)
    offers_of([Path(repository) for repository in settings.control.repository])


def _check_again(started: ServerSettings, flags: Mapping[str, Any]) -> None:
    """Before processes are replaced by others. Raises StartError: those would not start."""
    now = settings_from(flags)
    _check(now)
    processes.count(now)
    # All but the ports and their number hold for a process that is started anew.
    _tell_of_what_waits(started, now, (ListenSettings, RestSettings, AdminSettings, ProcessSettings))


def _tell_of_what_waits(
    started: ServerSettings, now: ServerSettings, owners: tuple[type, ...] = PER_SERVER
) -> None:
    if changed := for_the_next_start(started, now, owners):
        _LOG.warning("of what has changed, %s holds from the next start", ", ".join(changed))


def serve_until_stopped(
    server: Server, stop: Stop, reloading: Reloading, member: Member | None = None
) -> int:
    """Start a server and serve until a signal says otherwise; returns the exit status.

    Args:
        stop: started.
        reloading: entered once models load, and left before the server stops. Of one of several processes it
            looks at files only: SIGHUP is the supervisor's, which replaces processes.
        member: the server is one of several processes; None: it is not.

    Raises:
        StartError: the server cannot start.
    """
    memory.settle()
    if member is not None:
        member.stop_by(stop.request)
    with contextlib.ExitStack() as stack:

        def loading() -> None:
            # A start may wait for a model that its owner takes off the list.
            stack.enter_context(reloading)
            if member is None:
                stop.reload_by(reloading.ask)

        server.start(loading)
        stop.from_now_on_a_request()
        if member is None:
            say(f"serving on {server.address}")
        limit_logging()
        stop.wait()
    if member is not None and member.leaves:
        server.leave()
    stopped = server.stop()
    if stopped.answered:
        _LOG.info("all calls answered, stopped")
    else:
        say("stopped, but not every call could be answered in time")
    status = 0 if stopped.answered else 1
    if member is not None:
        # Who stops a whole group of processes sends its signal to each, and this one may be done by then.
        stop.over()
    if not stopped.ended:
        # A run that does not end, for callers who have gone: an orderly exit would wait for it for ever.
        os._exit(status)
    return status


def settings_from(flags: Mapping[str, Any]) -> ServerSettings:
    """The settings that flags and the file they name amount to.

    Raises:
        SettingsError: a value, a file or a model that cannot be.
    """
    file = read_settings_file(flags["config"]) if flags.get("config") else FileSettings()
    theirs = trace_config.settings_of(flags.get("trace_config") or ())
    values = {**file.values, **theirs, **in_present_words(flags, *PER_SERVER, *PER_MODEL)}
    control = build(ControlSettings, values)
    control = dataclasses.replace(control, repository=tuple(str(_folder(one)) for one in control.repository))
    tables = {name: table for name, table in file.models.items() if "path" not in table}
    if tables and not control.repository:
        raise SettingsError(f'{flags["config"]}: [models.{min(tables)}] needs path = "DIR", or a repository')
    models = [
        in_folder(name, _folder(table["path"]), values, table)
        for name, table in file.models.items()
        if "path" in table
    ]
    models += [in_folder(*_named_folder(argument), values) for argument in flags["models"]]
    if not models and not control.repository:
        models = [model(_BUILT_IN_NAME, digits_model(), values)]
    repository = build(RepositorySettings, values)
    if control.model_control == POLL and not repository.poll_s:
        repository = dataclasses.replace(repository, poll_s=_POLL_S)
    listen, access, rest = (
        build(ListenSettings, values),
        build(AccessSettings, values),
        build(RestSettings, values),
    )
    if "rest_port" not in values and _has_locks_that_rest_lacks(listen, access):
        rest = dataclasses.replace(rest, rest_port=0)
    return ServerSettings(
        tuple(models),
        listen,
        build(AdminSettings, values),
        rest,
        repository,
        build(PredictionSettings, values),
        build(SharedMemorySettings, values),
        build(ResponseCacheSettings, values),
        control=control,
        offered=ConfiguredModels(values, tables) if control.repository else None,
        inference=build(InferenceSettings, values),
        tracing=build(TraceSettings, values),
        otlp=build(OtlpSettings, values),
        logging=build(LoggingSettings, values),
        ops=build(OpsSettings, values),
        access=access,
        processes=build(ProcessSettings, values),
    )


def _has_locks_that_rest_lacks(listen: ListenSettings, access: AccessSettings) -> bool:
    """Who has locked gRPC's door by what HTTP's does not have shall not find that one open, unasked."""
    restricted = access.grpc_restricted_protocol and not access.http_restricted_api
    return bool(listen.socket_only or restricted)


def for_the_next_start(
    started: ServerSettings, now: ServerSettings, owners: tuple[type, ...] = PER_SERVER
) -> list[str]:
    """The keys of settings of the server itself that are others now."""
    changed = []
    for field in dataclasses.fields(ServerSettings):
        before, after = getattr(started, field.name), getattr(now, field.name)
        if type(before) in owners:
            changed += [
                key_of(one)
                for one in dataclasses.fields(before)
                if getattr(before, one.name) != getattr(after, one.name)
            ]
    return changed


def sessions_of(settings: ServerSettings) -> list[SessionSettings]:
    """How models are run, as far as that is known before any folder is read; those of repositories too."""
    sessions = [one.session for one in settings.models]
    if settings.offered is not None:
        sessions.append(settings.offered("any", Path(), None).session)
    return sessions


def _named_folder(argument: str) -> tuple[str, Path]:
    name, separator, folder = argument.partition("=")
    # A path may hold a "=" of its own; a name never holds a "/".
    if not separator or "/" in name:
        name, folder = "", argument
    if not folder:
        raise SettingsError(f"{argument!r} names no folder; a model is NAME=DIR or DIR")
    path = _folder(folder)
    return name or default_name(path), path


def _folder(text: str) -> Path:
    # Not Path.expanduser, which raises for the home of nobody: as it is, it is a folder that is not there.
    return Path(os.path.expanduser(local_path(text)))
