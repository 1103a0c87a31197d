"""``hotgraph tensorflow-model-server``: a command line of TensorFlow Serving's, served in the foreground."""

from __future__ import annotations

import glob
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hotgraph_protos.version import __version__
from hotgraph_server.commands import checks, processes
from hotgraph_server.commands.bootstrap import import_tensorflow
from hotgraph_server.commands.log_set_up import set_up_logging
from hotgraph_server.commands.reloading import Reloading
from hotgraph_server.commands.serve import serve_until_stopped
from hotgraph_server.commands.signals import Stop
from hotgraph_server.commands.tensorflow_model_server.container import BASE_PATH, words_of
from hotgraph_server.commands.tensorflow_model_server.flags import USAGE, Given, UsageError, help_text, parse
from hotgraph_server.settings import OpsSettings, SessionSettings

if TYPE_CHECKING:
    from hotgraph_server.processes.member import Member
    from hotgraph_server.server import Server
    from hotgraph_server.settings import ModelFactory

_LOG = logging.getLogger(__name__)

_WRONG_USAGE = 2
_CPU, _GPU = "/CPU:0", "/GPU:0"
_GPU_FILES = "/dev/nvidia[0-9]*"


def run_words(words: Sequence[str], member: Member | None = None) -> int:
    """Serve until a signal says otherwise; returns the exit status.

    Args:
        words: behind the command's name.
        member: this process is one of several; None: it is not.

    Raises:
        StartError: the server cannot start.
    """
    try:
        given = parse(words_of(os.environ, words))
    except UsageError as error:
        print(f"{USAGE}hotgraph tensorflow-model-server: {error}", file=sys.stderr)
        return _WRONG_USAGE
    if given.help:
        print(help_text(), end="")
        return 0
    if given.is_on("version"):
        print(f"hotgraph {__version__}, in place of TensorFlow ModelServer")
        return 0
    return _serve(given, words, member)


def _serve(given: Given, words: Sequence[str], member: Member | None) -> int:
    # Here, because it imports protobuf and numpy: help shall not wait for that.
    from hotgraph_server.commands.tensorflow_model_server import to_settings

    set_up_logging(verbose=False, member=member)
    # What is wrong shall not cost the seconds that TensorFlow takes to import.
    to_settings.check(given)
    if member is None:
        if os.environ.get(BASE_PATH):
            added = words_of(os.environ, words)[: -len(words) or None]
            _LOG.info("%s is set, as in TensorFlow Serving's image: %s", BASE_PATH, " ".join(added))
        for line in to_settings.remarks(given):
            _LOG.info("%s", line)
        settings = to_settings.server_settings(given, [])
        count = processes.count(settings)
        checks.tell_of_memory(settings, count)
        if count > 1:
            command = ["tensorflow-model-server", *words]
            return processes.supervise(settings, count, command, lambda: to_settings.check(given))
    stop = Stop()
    stop.start()
    device = _import_for_a_device(to_settings.ops(given))
    _check_session_config(given)
    make = to_settings.model_factory(given, device)
    models = to_settings.models(given, make)
    from hotgraph_server.server import Server

    server = Server(to_settings.server_settings(given, models), make=make, member=member)
    return serve_until_stopped(server, stop, _reloading(given, server, make), member)


def _import_for_a_device(ops: OpsSettings) -> str:
    """Import TensorFlow and what brings more ops, and return where sessions live: on the first GPU if
    TensorFlow finds one, as TensorFlow Serving has it.

    Raises:
        StartError: what should bring ops cannot be had.
    """
    wanted = _GPU if glob.glob(_GPU_FILES) else _CPU
    import_tensorflow([SessionSettings(device=wanted)], ops)
    if wanted == _CPU or os.environ.get("CUDA_VISIBLE_DEVICES") == "-1":
        return _CPU
    import tensorflow as tf

    return _GPU if tf.config.list_physical_devices("GPU") else _CPU


def _check_session_config(given: Given) -> None:
    """Raises SettingsError where the file is wrong. Its messages come with TensorFlow."""
    if path := given.text("tensorflow_session_config_file"):
        from tensorflow.core.protobuf import config_pb2

        from hotgraph_server import text_proto

        text_proto.read(Path(path), config_pb2.ConfigProto)


def _reloading(given: Given, server: Server, make: ModelFactory) -> Reloading:
    from hotgraph_server.commands.tensorflow_model_server.to_settings import models, models_in

    path, poll_s = given.text("model_config_file"), given.number("model_config_file_poll_wait_seconds")

    def act(asked: bool) -> None:
        if asked:
            # First: nothing else that is wrong shall keep a key that was taken back.
            server.renew_access()
        found = models_in(Path(path), make, again=True) if path else models(given, make)
        server.reconfigure(found, [model.name for model in found] if asked else ())

    return Reloading(act, Path(path) if path else None, float(max(poll_s, 0)))
