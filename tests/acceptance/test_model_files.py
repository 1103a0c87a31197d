"""Models as people have them in files, served and wrapped by the lines of docs/model-files.md as they stand,
but for the numbers of ports."""

from __future__ import annotations

import argparse
import base64
import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hotgraph_client import Client
from hotgraph_server.commands import cli

from .. import model_files
from ..ports import free_port
from .command import arguments, starting
from .foreign_packages import NotToBeHad, downloaded

pytestmark = pytest.mark.filterwarnings("ignore")

PAGE = Path(__file__).parents[2] / "docs" / "model-files.md"
_BLOCK = re.compile(r"^```(sh|python)( call)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OWN = """
import keras

@keras.saving.register_keras_serializable("mine")
class Twice(keras.Model):
    def call(self, x):
        return x * 2
"""
_BIN = Path(sys.executable).parent


def blocks(language: str, *, calls: bool = False) -> list[str]:
    """The page's blocks of code, in order."""
    found = [match[3] for match in _BLOCK.finditer(PAGE.read_text()) if match[1] == language]
    return [block for block in found if ("127.0.0.1" in block) == calls]


def lines() -> list[str]:
    """Commands of the page."""
    return [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the page speaks of."""
    folder = tmp_path_factory.mktemp("workshop")
    keras = model_files.keras()
    layers = keras.layers
    model_files.of_texts().save(folder / "model.keras")
    flowers = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.AveragePooling2D(32), layers.Flatten(), layers.Dense(3, "softmax")]
    )
    # The brightest channel says what it is.
    flowers.layers[-1].set_weights([np.eye(3, dtype=np.float32) * 9, np.zeros(3, np.float32)])
    flowers.save(folder / "flowers.keras")
    (folder / "labels.txt").write_text("rose\nfern\ngentian\n")
    Image.new("RGB", (60, 40), (10, 20, 200)).save(folder / "cat.jpg")
    reviews = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Embedding(5, 2),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    reviews.save(folder / "reviews.keras")
    (folder / "vocabulary.txt").write_text("\n[UNK]\ngood\nbad\nfilm\n")
    (folder / "sentiment.txt").write_text("bad\ngood\n")
    model_files.frozen_graph(folder / "frozen.pb")
    model_files.hub_module(folder / "module")
    (folder / "my_layers.py").write_text(_OWN)
    spec = importlib.util.spec_from_file_location("my_layers", folder / "my_layers.py")
    assert spec is not None
    assert spec.loader is not None
    my_layers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(my_layers)
    own = my_layers.Twice()
    own(np.zeros((1, 3), np.float32))
    own.save(folder / "own.keras")
    model_files.trained(lambda_too=True).save(folder / "lambda.keras")
    return folder


@pytest.fixture
def _inside(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder, with a cache and commands of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(workshop / "cache"))
    monkeypatch.setenv("PATH", f"{_BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(workshop)


def rest(port: str, path: str, body: object) -> Any:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)


def run(*words: str) -> None:
    assert cli.main(list(words)) == 0, words


@pytest.mark.parametrize("line", lines())
def test_every_command_of_the_page_is_one(line: str) -> None:
    program, command, *words = shlex.split(line)
    assert program == "hotgraph"
    parser = argparse.ArgumentParser()
    importlib.import_module(f"hotgraph_server.commands.{command}").add_arguments(parser)
    parser.parse_args(words)


@pytest.mark.slow
@pytest.mark.usefixtures("_inside")
def test_picture_goes_in_and_names_come_out(workshop: Path) -> None:
    """Over every door, of a model that was a .keras file; calls for many pictures are one batch."""
    (line,) = [line for line in lines() if "--decode-image" in line]
    run(*shlex.split(line)[1:])
    content = (workshop / "cat.jpg").read_bytes()
    encoded = base64.b64encode(content).decode()
    # With REST on, gRPC's port speaks HTTP/1.1 too.
    with starting(arguments("--port", "0", "--rest-port", str(free_port()), "flowers")) as serving:
        serving.until_it_serves()
        assert "batched: " in "".join(serving.lines)
        port = serving.address.rpartition(":")[2]
        answer = rest(port, "/v1/models/flowers:predict", {"instances": [{"b64": encoded}]})
        ((best, second), (score, _)) = (answer["predictions"][0][key] for key in ("labels", "scores"))
        assert (best, second) == ("gentian", "fern")
        assert score > 0.9
        with Client(serving.address) as client:
            answers = client.predict("flowers", {"image": np.array([content] * 5, object)})
        assert answers["labels"].tolist() == [[b"gentian", b"fern"]] * 5


@pytest.mark.parametrize(
    ("command", "file", "why"),
    [
        ("serve", "lambda.keras", "its layer 'twice' brings Python code of its own"),
        ("serve", "gs://bucket/model", "gcloud storage cp -r gs://bucket/model DIR"),
        ("inspect", "labels.txt", "is a file; give the folder"),
    ],
)
@pytest.mark.usefixtures("_inside")
def test_what_cannot_be_served_is_one_line(command: str, file: str, why: str) -> None:
    words = [sys.executable, "-m", "hotgraph_server", command, file]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith(f"hotgraph {command}: ")
    assert why in ran.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("_inside")
def test_page_runs_as_it_stands(workshop: Path) -> None:
    """All but what serves, in one folder and in the order of the page."""
    for line in lines():
        # The test before has run that, unless this one is alone.
        if line.startswith("hotgraph serve") or ("--decode-image" in line and Path("flowers").exists()):
            continue
        ran = subprocess.run(["bash", "-ec", line], capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        if " inspect " in line:
            shown = ran.stdout
    # As the page shows it.
    for wanted in re.search(r"```\n(signature .*?)```", PAGE.read_text(), re.DOTALL)[1].splitlines():  # type: ignore[index]
        assert wanted in shown
    assert (workshop / "exported" / "saved_model.pb").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_inside")
def test_calls_of_the_page_run_as_they_stand(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("flowers").exists():
        run(*shlex.split(next(line for line in lines() if "--decode-image" in line))[1:])
    monkeypatch.setenv("PYTHONPATH", "")
    with starting(arguments("--port", "0", "--rest-port", str(free_port()), "flowers")) as serving:
        serving.until_it_serves()
        for language, program in (("sh", ["bash", "-ec"]), ("python", [sys.executable, "-c"])):
            (block,) = blocks(language, calls=True)
            block = block.replace("127.0.0.1:8500", serving.address).replace(
                "127.0.0.1:8502", serving.address
            )
            ran = subprocess.run([*program, block], capture_output=True, text=True, timeout=120)
            assert ran.returncode == 0, ran.stderr
            assert "gentian" in ran.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("_inside")
def test_files_are_served_as_they_are_and_at_once_the_second_time(workshop: Path) -> None:
    served = ("model.keras", "graph=frozen.pb")
    for makes in (True, False):
        with starting(arguments("--port", "0", *served)) as serving:
            serving.until_it_serves()
            said = "".join(serving.lines)
            assert ("model.keras: making a SavedModel of it" in said) == makes
            assert ("model.keras: a SavedModel of it is there already" in said) != makes
            with Client(serving.address) as client:
                (scores,) = client.predict("model", {"text": np.array([b"a good film"] * 2, object)}).values()
                totals = client.predict("graph", {"x": np.ones((3, 4), np.float32)})["total"]
            assert scores.shape == (2, 1)
            assert totals.tolist() == [4, 4, 4]


@pytest.mark.slow
@pytest.mark.usefixtures("_inside")
def test_settings_file_may_name_a_models_file(workshop: Path) -> None:
    (workshop / "server.toml").write_text(f'[models.m]\npath = "{workshop}/frozen.pb"\nmax_batch_rows = 3\n')
    with starting(arguments("--port", "0", "--config", "server.toml")) as serving:
        serving.until_it_serves()
        with Client(serving.address) as client:
            assert client.predict("m", {"x": np.ones((1, 4), np.float32)})["total"].tolist() == [4]


_OLD = """
import sys, numpy as np, tf_keras
x = tf_keras.Input((4,), name="measures")
answers = [tf_keras.layers.Dense(3, name="kind")(x), tf_keras.layers.Dense(1, name="size")(x)]
model = tf_keras.Model(x, answers)
model.compile(loss="mse")
model.fit(np.eye(4), [np.eye(4, 3), np.ones((4, 1))], epochs=1, verbose=0)
model.save("old.h5"), model.save("old.keras")
unsaid = tf_keras.Sequential([tf_keras.layers.Dense(2)])
unsaid(np.zeros((1, 5), "float32"))
unsaid.save("unsaid.h5")
np.save("kind.npy", model.predict(np.eye(4), verbose=0)[0])
"""


@pytest.mark.slow
@pytest.mark.usefixtures("_inside")
def test_old_files_are_read_by_the_keras_that_wrote_them(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    release = ".".join(tf.__version__.split(".")[:2])
    try:
        wheel = downloaded(f"tf_keras=={release}.*")
    except NotToBeHad as error:
        pytest.skip(str(error))
    unpacked = workshop / "tf_keras_there"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    monkeypatch.setenv("PYTHONPATH", str(unpacked))
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    subprocess.run([sys.executable, "-c", _OLD], check=True, capture_output=True, timeout=200)
    monkeypatch.delenv("TF_USE_LEGACY_KERAS")
    for file in ("old.h5", "old.keras", "unsaid.h5"):
        run("export", file, f"of_{file}")
    signature = tf.saved_model.load("of_old.h5").signatures["serving_default"]
    answers = signature(measures=np.eye(4, dtype=np.float32))
    assert set(answers) == {"kind", "size"}
    assert answers["kind"].numpy() == pytest.approx(np.load("kind.npy"), abs=1e-6)
    signature = tf.saved_model.load("of_unsaid.h5").signatures["serving_default"]
    ((_, spec),) = signature.structured_input_signature[1].items()
    assert spec.shape.as_list() == [None, 5]
