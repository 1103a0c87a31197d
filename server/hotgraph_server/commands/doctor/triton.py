"""A deployment of Triton's: its model repositories."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from hotgraph_server.commands.doctor import trial
from hotgraph_server.commands.doctor.findings import Examination, Kind, Subject
from hotgraph_server.errors import StartError
from hotgraph_server.model_config import config_file, translation
from hotgraph_server.model_control.discovery import Offer, offers_of
from hotgraph_server.model_control.model_factory import model as plain_model
from hotgraph_server.settings import ModelSettings

_SERVER = (
    (
        Kind.SAME,
        "clients over gRPC and HTTP, perf_analyzer, KServe: nothing changes for them; what differs in small:"
        " docs/open-inference.md",
    ),
    (Kind.BETTER, "TensorFlow is kept up: Triton's backend for it ended in 2025"),
    (Kind.BETTER, "clients of TensorFlow Serving are answered on the same port"),
    (Kind.BETTER, "in a batch that fails, the calls that are right get their answers"),
    (Kind.BETTER, "a SavedModel's other signatures can be called, by the parameter signature_name"),
)
# Files in a version's folder that other backends serve, and what becomes of them.
_OTHERS = {
    "model.graphdef": "a frozen graph: hotgraph export {} {}/model.savedmodel writes it as a SavedModel",
    "model.onnx": "an ONNX model; it is not served here",
    "model.plan": "a TensorRT engine; it is not served here",
    "model.pt": "a TorchScript model; it is not served here",
    "model.py": "a model in Python; it is not served here",
    "model.xml": "an OpenVINO model; it is not served here",
}


def examine(repositories: Sequence[str], say: Callable[[str], None], *, loads: bool) -> Examination:
    """
    Args:
        repositories: folders of models.
        say: hears of progress.
        loads: load each model too.

    Raises:
        LoadError: a repository cannot be read.
    """
    discovery = offers_of([Path(repository) for repository in repositories])
    server, subjects = Subject(""), []
    for kind, text in _SERVER:
        server.add(kind, text)
    if not discovery.models:
        server.add(Kind.CHANGE, f"no folder of a model in {', '.join(repositories)}")
    for name, why in discovery.refused.items():
        refused = Subject(name)
        refused.add(Kind.CHANGE, why)
        subjects.append(refused)
    for index, offer in enumerate(discovery.models.values()):
        model = Subject(offer.name)
        subjects.append(model)
        settings, batched = _settings(model, offer)
        if settings is None or not trial.find_versions(model, settings):
            _tell_of_other_files(model, offer.folder)
            continue
        if loads:
            say(f"{index + 1} of {len(discovery.models)}: loading {model.name}")
            trial.load(model, settings, batched_before=batched)
    folders = [part for repository in repositories for part in ("--repository", repository)]
    command = shlex.join(["hotgraph", "serve", *folders])
    return Examination(command, [server, *sorted(subjects, key=lambda subject: subject.name)])


def _settings(model: Subject, offer: Offer) -> tuple[ModelSettings | None, bool]:
    """Its settings, and whether Triton joins its calls; None: it has none, and was told why."""
    settings = plain_model(offer.name, offer.folder, {})
    if offer.config is None:
        model.add(Kind.SAME, "no config.pbtxt: it is completed from the SavedModel, as Triton does it")
        return settings, False
    try:
        config = config_file.read(offer.config)
        settings, remarks = translation.settings_from(config, settings)
    except StartError as error:
        model.add(Kind.CHANGE, str(error))
        return None, False
    for line in remarks:
        model.add(Kind.DIFFERENT, line.removeprefix(f"model '{offer.name}': "))
    batched = config.HasField("dynamic_batching")
    if not batched and not config.HasField("sequence_batching"):
        model.add(Kind.BETTER, "calls share runs without dynamic_batching too, where that changes no answer")
    return settings, batched


def _tell_of_other_files(model: Subject, folder: Path) -> None:
    for name, what in _OTHERS.items():
        for file in sorted(folder.glob(f"*/{name}"))[:1]:
            graph, version = shlex.quote(str(file)), shlex.quote(str(file.parent))
            model.add(Kind.CHANGE, f"{file}: {what.format(graph, version)}")
