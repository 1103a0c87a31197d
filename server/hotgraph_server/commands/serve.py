"""``hotgraph serve``: flags and file to settings, then the server's life in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotgraph_server.commands import checks, processes
from hotgraph_server.commands.bootstrap import GRPC_EXPERIMENTS, import_tensorflow
from hotgraph_server.commands.builtin import digits_model
from hotgraph_server.commands.log_set_up import limit_logging, set_up_logging
from hotgraph_server.commands.reloading import Reloading
from hotgraph_server.commands.setting_flags import add_flags
from hotgraph_server.commands.signals import Stop, say
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_control.model_factory import ConfiguredModels, in_folder, model
from hotgraph_server.repository import memory
from hotgraph_server.repository.layout import default_name
from hotgraph_server.settings import (
    PER_MODEL,
    PER_SERVER,
    AccessSettings,
    AdminSettings,
    ControlSettings,
    ForwardingSettings,
    HealthSettings,
    InferenceSettings,
    ListenSettings,
    LoadReportSettings,
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
    trace_config,
)
from hotgraph_server.settings.control import POLL
from hotgraph_server.settings.environment import NOTHING_SAID, FromEnvironment, read_environment
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
  HOTGRAPH_PORT=8500 hotgraph serve             a setting from the environment, whose name each has

Flags win over the environment, and it wins over the file; docs/settings.md has all settings by name.

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
    environment = read_environment(os.environ)
    verbose = arguments.verbose or environment.command_line.verbose
    set_up_logging(verbose, member, _logging_before_the_file(vars(arguments), environment))
    # Once, of several processes.
    for line in environment.remarks if member is None else ():
        _LOG.warning("%s", line)

    def settings_now() -> ServerSettings:
        return settings_from(vars(arguments), environment)

    settings = settings_now()
    set_up_logging(verbose, member, settings.logging)
    if member is not None:
        settings = processes.in_process(settings)
    if GRPC_EXPERIMENTS in os.environ and member is None:
        _LOG.info("grpc runs with %s=%s", GRPC_EXPERIMENTS, os.environ[GRPC_EXPERIMENTS])
    count = 1 if member is not None else processes.count(settings)
    if member is None:
        checks.tell_of_memory(settings, count)
    if count > 1:
        checks.check(settings)
        return processes.supervise(
            settings, count, arguments.words, lambda: checks.check_again(settings, settings_now())
        )
    stop = Stop()
    stop.start()
    checks.check(settings)
    # Models of repositories name their devices themselves, and may come later.
    import_tensorflow(sessions_of(settings), settings.ops, or_others=settings.offered is not None)
    from hotgraph_server.server import Server

    server = Server(settings, member=member)

    def reload(_: bool) -> None:
        # First: nothing else that is wrong shall keep a key that was taken back.
        server.renew_access()
        now = settings_now()
        server.renew(now)
        checks.tell_of_what_waits(settings, now)

    return serve_until_stopped(server, stop, Reloading(reload), member)


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


def _logging_before_the_file(flags: Mapping[str, Any], environment: FromEnvironment) -> LoggingSettings:
    try:
        return build(LoggingSettings, {**environment.values, **flags})
    except SettingsError as error:
        raise SettingsError(environment.explained(str(error), but_not=flags)) from error


def settings_from(flags: Mapping[str, Any], environment: FromEnvironment = NOTHING_SAID) -> ServerSettings:
    """The settings that flags, the environment and the file that one of them names amount to.

    Raises:
        SettingsError: a value, a file or a model that cannot be; the text names the variables of the
            environment that it is about.
    """
    if environment.faults:
        raise SettingsError("; ".join(environment.faults))
    path = flags.get("config") or (
        Path(environment.command_line.config) if environment.command_line.config else None
    )
    file = read_settings_file(path) if path else FileSettings()
    theirs = trace_config.settings_of(flags.get("trace_config") or ())
    given = {**theirs, **in_present_words(flags, *PER_SERVER, *PER_MODEL)}
    named = flags["models"] or environment.command_line.models
    try:
        return _settings_of({**file.values, **environment.values, **given}, file.models, named, path)
    except SettingsError as error:
        raise SettingsError(environment.explained(str(error), but_not=given)) from error


def _settings_of(
    values: Mapping[str, Any],
    of_models: Mapping[str, Mapping[str, Any]],
    named: Sequence[str],
    path: Path | None,
) -> ServerSettings:
    """The settings of these values.

    Args:
        of_models: those of single models.
        named: models, as the command line has them.
        path: of the file, for errors.
    """
    control = build(ControlSettings, values)
    control = dataclasses.replace(control, repository=tuple(str(_folder(one)) for one in control.repository))
    tables = {name: table for name, table in of_models.items() if "path" not in table}
    if tables and not control.repository:
        raise SettingsError(f'{path}: [models.{min(tables)}] needs path = "DIR", or a repository')
    models = [
        in_folder(name, _folder(table["path"]), values, table)
        for name, table in of_models.items()
        if "path" in table
    ]
    models += [in_folder(*_named_folder(argument), values) for argument in named]
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
        health=build(HealthSettings, values),
        load_reports=build(LoadReportSettings, values),
        forwarding=build(ForwardingSettings, values),
    )


def _has_locks_that_rest_lacks(listen: ListenSettings, access: AccessSettings) -> bool:
    """Who has locked gRPC's door by what HTTP's does not have shall not find that one open, unasked."""
    restricted = access.grpc_restricted_protocol and not access.http_restricted_api
    return bool(listen.socket_only or restricted)


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
