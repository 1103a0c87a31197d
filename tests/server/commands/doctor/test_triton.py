"""A repository of Triton's, read without serving it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from hotgraph_server.commands.builtin import digits_model
from hotgraph_server.commands.cli import main
from hotgraph_server.commands.doctor.findings import Examination, Kind, Subject
from hotgraph_server.commands.doctor.triton import examine
from hotgraph_server.errors import LoadError

from .... import model_files


def examined(*repositories: Path, loads: bool = False) -> Examination:
    return examine([str(one) for one in repositories], lambda _: None, loads=loads)


def digits(repository: Path, name: str = "digits", config: str | None = None) -> Path:
    """A model of a repository, whose SavedModel is the built-in one."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    os.symlink(digits_model() / "1", folder / "1" / "model.savedmodel")
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    return folder


def of(found: Examination, model: str) -> Subject:
    (subject,) = (one for one in found.subjects if one.name == model)
    return subject


def test_model_without_a_configuration_is_served_as_it_is(tmp_path: Path) -> None:
    digits(tmp_path)
    found = examined(tmp_path)
    assert found.is_fit
    assert found.command == f"hotgraph serve --repository {tmp_path}"
    assert [text for text in of(found, "digits").of(Kind.SAME) if "completed from the SavedModel" in text]


def test_what_has_no_meaning_here_differs_and_is_served(tmp_path: Path) -> None:
    digits(tmp_path, config="max_batch_size: 8 dynamic_batching {} instance_group [{count: 2}]")
    found = examined(tmp_path)
    assert found.is_fit
    (different,) = of(found, "digits").of(Kind.DIFFERENT)
    assert different.startswith("instance_group[0].count above 1 has no meaning here")
    assert not of(found, "digits").of(Kind.BETTER)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('platform: "onnxruntime_onnx"', "platform 'onnxruntime_onnx'"),
        ("max_batch_siz: 4", 'no field named "max_batch_siz"'),
        ('platform: "ensemble" ensemble_scheduling {}', "ensemble"),
    ],
)
def test_configuration_that_cannot_be_is_to_be_changed(tmp_path: Path, config: str, says: str) -> None:
    digits(tmp_path, config=config)
    found = examined(tmp_path)
    assert not found.is_fit
    (change,) = of(found, "digits").of(Kind.CHANGE)
    assert says in change


def test_files_of_other_backends_are_named_with_the_way_out(tmp_path: Path) -> None:
    for name, file in (("frozen", "model.graphdef"), ("python", "model.py"), ("nothing", None)):
        (tmp_path / name / "1").mkdir(parents=True)
        if file is not None:
            (tmp_path / name / "1" / file).touch()
    found = examined(tmp_path)
    graph = tmp_path / "frozen" / "1"
    assert f"hotgraph export {graph}/model.graphdef {graph}/model.savedmodel" in str(
        of(found, "frozen").of(Kind.CHANGE)
    )
    assert "a model in Python" in str(of(found, "python").of(Kind.CHANGE))
    assert len(of(found, "nothing").of(Kind.CHANGE)) == 1


def test_way_out_of_a_frozen_graph_runs_as_it_stands(tmp_path: Path) -> None:
    version = tmp_path / "my models" / "frozen" / "1"
    version.mkdir(parents=True)
    model_files.frozen_graph(tmp_path / "graph.pb")
    (tmp_path / "graph.pb").rename(version / "model.graphdef")
    (change,) = (
        text
        for text in of(examined(tmp_path / "my models"), "frozen").of(Kind.CHANGE)
        if "hotgraph export" in text
    )
    command = change.partition(": a frozen graph: hotgraph ")[2].removesuffix(" writes it as a SavedModel")
    assert main(shlex.split(command)) == 0
    assert examined(tmp_path / "my models").is_fit


def test_several_repositories_and_a_name_that_two_have(tmp_path: Path) -> None:
    for part in ("a", "b"):
        digits(tmp_path / part)
    found = examined(tmp_path / "a", tmp_path / "b")
    assert "offered by two repositories" in of(found, "digits").of(Kind.CHANGE)[0]


def test_empty_repository_and_none(tmp_path: Path) -> None:
    assert not examined(tmp_path).is_fit
    with pytest.raises(LoadError, match="no repository"):
        examined(tmp_path / "nowhere")


def test_loaded_model_tells_why_it_batches(tmp_path: Path) -> None:
    digits(tmp_path)
    found = examined(tmp_path, loads=True)
    assert "signature serving_default: calls share batches: proven by structure" in of(found, "digits").of(
        Kind.BETTER
    )
