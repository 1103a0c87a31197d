"""A deployment of TensorFlow Serving's: its flags, and the files that they name."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from hotgraph_server import text_proto
from hotgraph_server.commands.doctor import trial
from hotgraph_server.commands.doctor.findings import Examination, Kind, Subject
from hotgraph_server.commands.tensorflow_model_server import to_settings
from hotgraph_server.commands.tensorflow_model_server.flag_table import FLAGS
from hotgraph_server.commands.tensorflow_model_server.flags import COMMAND, Given, UsageError, parse
from hotgraph_server.errors import ConfigError, SettingsError, StartError
from hotgraph_server.settings import TENSORFLOW, ModelSettings

_PROGRAM = ("tensorflow_model_server", "tensorflow-model-server")
# What is said of a command line that is no difference; by its beginning.
_REMARKS = {"listening on all": Kind.SAME, "without --enable_batching": Kind.BETTER}
_BETTER = (
    "clients of Triton and KServe are answered on the same port",
    "health is on, true for each model, and answers under load",
    "a call that is cancelled or too late is not run",
    "in a batch that fails, the calls that are right get their answers",
    "SIGTERM: what was taken is answered first",
)


def words_of(given: Sequence[str]) -> list[str]:
    """The flags of a deployment, from a file of models, or from flags as a command line has them.

    Args:
        given: ``models.config``; or flags, each a word, or all of them in one, with the program or without.

    Raises:
        SettingsError: they are neither.
    """
    if len(given) == 1 and not given[0].startswith("-") and " " not in given[0]:
        return [f"--model_config_file={given[0]}"]
    try:
        words = [word for one in given for word in (shlex.split(one) if " " in one else [one])]
    except ValueError as error:
        raise SettingsError(f"--tfs: a command line that no shell takes: {error}") from None
    while words and not words[0].startswith("-"):
        if Path(words[0]).name not in _PROGRAM:
            raise SettingsError(
                f"{words[0]!r} is no flag of TensorFlow Serving's; give its flags, or one file of models"
            )
        words.pop(0)
    return words


def examine(given: Sequence[str], say: Callable[[str], None], *, loads: bool) -> Examination:
    """
    Args:
        given: see `words_of`.
        say: hears of progress.
        loads: load each model too.
    """
    words = words_of(given)
    server, known = Subject(""), []
    for word in words:
        try:
            parse([word])
        except UsageError as error:
            server.add(Kind.CHANGE, f"{word}: {error}")
        else:
            known.append(word)
    flags = parse(known)
    command = shlex.join([*shlex.split(COMMAND), *known])
    try:
        to_settings.check(flags)
    except StartError as error:
        server.add(Kind.CHANGE, str(error))
    else:
        _tell_of_flags(server, flags)
    models = list(_models(flags, server))
    for index, (model, settings) in enumerate(models):
        if settings is None or not trial.find_versions(model, settings):
            continue
        if loads:
            say(f"{index + 1} of {len(models)}: loading {model.name}")
            trial.load(model, settings, batched_before=flags.is_on("enable_batching"))
    return Examination(command, [server, *(model for model, _ in models)])


def _tell_of_flags(server: Subject, flags: Given) -> None:
    for line in to_settings.remarks(flags):
        kind = next((kind for start, kind in _REMARKS.items() if line.startswith(start)), Kind.DIFFERENT)
        server.add(kind, line)
    used = sorted(name for name in flags.named if FLAGS[name].has_meaning)
    if used:
        server.add(Kind.SAME, f"{', '.join(f'--{name}' for name in used)} are read as they are")
    for text in _BETTER:
        server.add(Kind.BETTER, text)
    if "rest_api_port" in flags.named:
        server.add(Kind.SAME, "REST: the same paths, bodies and errors; where they differ: docs/rest.md")


def _models(flags: Given, server: Subject) -> list[tuple[Subject, ModelSettings | None]]:
    """Each model that is asked for, and its settings; None: it has none, and was told why."""
    # Here, because it is TensorFlow Serving's messages that bring TensorFlow.
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    from hotgraph_server.protocols.tfs.model_config import models_of

    config = ModelServerConfig()
    path = flags.text("model_config_file")
    try:
        make = to_settings.model_factory(flags)
        if path:
            config = text_proto.read(Path(path), ModelServerConfig)
    except SettingsError as error:
        if str(error) not in server.of(Kind.CHANGE):
            server.add(Kind.CHANGE, str(error))
        return []
    if not path and flags.text("model_base_path"):
        config.model_config_list.config.add(
            name=flags.text("model_name"), base_path=flags.text("model_base_path"), model_platform=TENSORFLOW
        )
    found: list[tuple[Subject, ModelSettings | None]] = []
    for one in config.model_config_list.config:
        model, single = Subject(one.name or "(without a name)"), ModelServerConfig()
        single.model_config_list.config.add().CopyFrom(one)
        settings = None
        if one.name in [other.name for other, _ in found]:
            model.add(Kind.CHANGE, f"the list has model {one.name!r} twice")
        else:
            try:
                (settings,) = models_of(single, make)
            except ConfigError as error:
                model.add(Kind.CHANGE, str(error))
        if settings is not None and settings.platform != TENSORFLOW:
            model.add(Kind.CHANGE, f"platform {settings.platform!r} is not served; {TENSORFLOW} is")
            settings = None
        found.append((model, settings))
    if not found and not server.of(Kind.CHANGE):
        server.add(Kind.CHANGE, f"{path or 'the command line'} names no model")
    return found
