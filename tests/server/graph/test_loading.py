"""What a session is told, what can be loaded, and what is said of what cannot."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.errors import DeviceNotFound, LoadError, SettingsError
from hotgraph_server.graph.graph import Graph
from hotgraph_server.graph.loading import open_session, session_config
from hotgraph_server.settings import SessionSettings
from hotgraph_server.threads import processors

from ...saved_models import SavedModels
from .graphs import SETTINGS, changed, cut_in_half, f32, opened, run


def test_without_a_file_it_is_what_the_settings_say() -> None:
    config = session_config(SessionSettings(intra_op_threads=2, inter_op_threads=3, gpu_memory_fraction=0.5))
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (2, 3)
    assert config.gpu_options.per_process_gpu_memory_fraction == 0.5
    assert config.gpu_options.allow_growth
    assert config.allow_soft_placement
    assert config.device_count["CPU"] == 1


def test_file_says_what_the_settings_leave_open(tmp_path: Path) -> None:
    file = tmp_path / "session.config"
    threads = "intra_op_parallelism_threads: 4 inter_op_parallelism_threads: 5"
    file.write_text(f"{threads} log_device_placement: true")
    config = session_config(SessionSettings(session_config=str(file), inter_op_threads=3))
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (4, 3)
    assert config.log_device_placement
    assert config.allow_soft_placement


def test_file_that_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "session.config"
    file.write_text("intra_op_threads: 4")
    with pytest.raises(SettingsError, match=f"^{file}:1:1: .*intra_op_threads"):
        session_config(SessionSettings(session_config=str(file)))


def test_session_has_threads_of_its_own_only_if_asked_for() -> None:
    assert session_config(SessionSettings(own_threads=True)).use_per_session_threads
    assert not session_config(SessionSettings()).use_per_session_threads


def test_quota_bounds_the_threads_that_nobody_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "bound", lambda: 2)
    config = session_config(SessionSettings(inter_op_threads=3))
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (2, 3)
    monkeypatch.setattr(processors, "bound", lambda: 0)
    assert session_config(SessionSettings()).intra_op_parallelism_threads == 0


# What cannot be loaded.


def test_memory_of_a_gpu_is_taken_as_it_is_needed() -> None:
    """No GPU is needed to see what a session would be told."""
    assert session_config(SessionSettings(device="/GPU:0")).gpu_options.allow_growth


def test_device_that_is_not_there_is_told_with_those_that_are(saved_models: SavedModels) -> None:
    with pytest.raises(DeviceNotFound) as caught:
        Graph.open(saved_models["pass_through"], SessionSettings(device="/CPU:2", cpu_devices=2))
    assert caught.value.wanted == "/CPU:2"
    assert caught.value.present[:2] == ["/CPU:0", "/CPU:1"]
    with pytest.raises(DeviceNotFound, match="no device /GPU:99 on this machine; there is /CPU:0"):
        Graph.open(saved_models["pass_through"], SessionSettings(device="/GPU:99"))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no file": (lambda m: (m / "saved_model.pb").unlink(), "no SavedModel here"),
    "half of the file": (lambda m: cut_in_half(m / "saved_model.pb"), "cannot be read"),
    "garbage": (lambda m: (m / "saved_model.pb").write_bytes(b"\xff" * 99), "cannot be read"),
    "empty file": (lambda m: (m / "saved_model.pb").write_bytes(b""), "no graph is tagged 'serve'"),
    "no variables": (lambda m: shutil.rmtree(m / "variables"), "TensorFlow cannot load it"),
    "half of the variables": (
        lambda m: cut_in_half(m / "variables" / "variables.data-00000-of-00001"),
        "TensorFlow cannot load it",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("kind", ["tf1_softmax", "tf2_mlp"])
def test_broken_saved_model_is_one_line_that_says_where(
    saved_models: SavedModels, tmp_path: Path, kind: str, name: str
) -> None:
    damage, reason = BROKEN[name]
    directory = tmp_path / kind
    shutil.copytree(saved_models[kind], directory)
    damage(directory)
    with pytest.raises(LoadError, match=reason) as caught:
        Graph.open(directory, SETTINGS)
    assert caught.value.where == str(directory)
    assert "\n" not in str(caught.value)


def session_behind(error: BaseException) -> Any:
    """The session that `open_session` had made when it raised."""
    (session,) = {
        frame.f_locals["session"]
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code is open_session.__code__
    }
    return session


def test_session_of_what_cannot_be_opened_is_closed(saved_models: SavedModels, tmp_path: Path) -> None:
    """Or every failed try would keep a device's memory."""
    directory = tmp_path / "m"
    shutil.copytree(saved_models["tf1_softmax"], directory)
    shutil.rmtree(directory / "variables")
    for settings, kind in ((SessionSettings(device="/CPU:2"), DeviceNotFound), (SETTINGS, LoadError)):
        with pytest.raises(kind) as caught:
            Graph.open(directory, settings)
        with pytest.raises(RuntimeError, match="closed Session"):
            session_behind(caught.value).run([])


def test_op_that_tensorflow_does_not_know_is_a_load_error(saved_models: SavedModels, tmp_path: Path) -> None:
    def rename(message: Any) -> None:
        (softmax,) = (node for node in message.meta_graphs[0].graph_def.node if node.op == "Softmax")
        softmax.op = "SoftmaxOfTomorrow"

    directory = changed(saved_models["tf1_softmax"], tmp_path / "m", rename)
    with pytest.raises(LoadError, match="SoftmaxOfTomorrow"):
        Graph.open(directory, SETTINGS)


def test_saved_model_as_text_is_loaded(saved_models: SavedModels, tmp_path: Path) -> None:
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    directory = tmp_path / "m"
    shutil.copytree(saved_models["pass_through"], directory)
    binary, text = directory / "saved_model.pb", directory / "saved_model.pbtxt"
    text.write_text(text_format.MessageToString(saved_model_pb2.SavedModel.FromString(binary.read_bytes())))
    binary.unlink()
    with opened(directory) as graph:
        assert run(graph, {"x": f32([1, 2])})["doubled"].tolist() == [[2, 4]]
    text.write_text("this { is no SavedModel")
    with pytest.raises(LoadError, match="cannot be read"):
        Graph.open(directory, SETTINGS)


def tagged(*tag_sets: list[str]) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        (only,) = message.meta_graphs
        for _ in tag_sets[1:]:
            message.meta_graphs.add().CopyFrom(only)
        for meta_graph, tags in zip(message.meta_graphs, tag_sets, strict=True):
            meta_graph.meta_info_def.tags[:] = tags

    return change


@pytest.mark.parametrize("tag_sets", [[["gpu", "serve"]], [[]], [["train"], ["serve"]]])
def test_graph_tagged_serve_or_the_only_one_is_opened(
    saved_models: SavedModels, tmp_path: Path, tag_sets: list[list[str]]
) -> None:
    directory = changed(saved_models["pass_through"], tmp_path / "m", tagged(*tag_sets))
    with opened(directory) as graph:
        assert run(graph, {"x": f32([1, 2])})["doubled"].tolist() == [[2, 4]]


def test_graph_of_a_tag_can_be_chosen(saved_models: SavedModels, tmp_path: Path) -> None:
    tag_sets = (["serve"], ["tune", "gpu"], ["train", "gpu"])
    directory = changed(saved_models["pass_through"], tmp_path / "m", tagged(*tag_sets))
    with opened(directory, SessionSettings(graph_tag="tune")) as graph:
        assert run(graph, {"x": f32([1, 2])})["doubled"].tolist() == [[2, 4]]
    for tag, said in (("eval", "no graph is tagged 'eval'"), ("gpu", "more than one graph is tagged 'gpu'")):
        with pytest.raises(LoadError, match=said):
            Graph.open(directory, SessionSettings(graph_tag=tag))


def test_choice_of_graphs_that_cannot_be_made_is_told(saved_models: SavedModels, tmp_path: Path) -> None:
    directory = changed(saved_models["pass_through"], tmp_path / "m", tagged(["train"], ["eval"]))
    with pytest.raises(LoadError, match=r"no graph is tagged 'serve'; there are \[\['train'\], \['eval'\]\]"):
        Graph.open(directory, SETTINGS)
