"""What people try first: docs/predict.md and the calls that `hotgraph inspect` prints, as they stand.

The models and files are those that the page speaks of; only the ports are the test's own.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from hotgraph_client import Client
from hotgraph_server.commands import cli

from ..ports import free_port
from ..saved_models import BUILDERS, SavedModels
from .command import serve
from .conftest import UNFIT

PAGE = Path(__file__).parents[2] / "docs" / "predict.md"
MODELS = ("flowers", "iris", "sentiment", "people", "two", "decoder", "named")


class Place(NamedTuple):
    """Where the page's lines run: a folder with its files, and a server with its models."""

    folder: Path
    grpc: str
    http: str

    def own(self, text: str) -> str:
        """A text of the page with the test's ports."""
        return text.replace("http://127.0.0.1:8502", self.http).replace("127.0.0.1:8500", self.grpc)


def build(folder: Path) -> None:
    """The page's models."""
    import tensorflow as tf

    def save(name: str, signatures: Any, module: Any) -> None:
        tf.saved_model.save(module, os.fspath(folder / name), signatures=signatures)

    def function(call: Any, **inputs: tuple[list[int | None], Any]) -> Any:
        specs = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()]
        return tf.function(call, input_signature=specs, autograph=False)

    def look(image: Any) -> Any:
        return {"scores": tf.nn.softmax(5.0 * tf.reduce_mean(image, [1, 2])), "image": 1.0 - image}

    def decode(image: Any) -> Any:
        def one(data: Any) -> Any:
            return tf.reduce_mean(tf.cast(tf.io.decode_jpeg(data, channels=3), tf.float32), [0, 1])

        return {"mean": tf.map_fn(one, image, fn_output_signature=tf.TensorSpec([3], tf.float32))}

    module = tf.Module()
    module.look = function(look, image=([None, 32, 32, 3], tf.float32))
    save("flowers", module.look, module)

    module = tf.Module()
    module.sum = function(lambda x: {"scores": tf.cumsum(x, 1)}, x=([None, 4], tf.float32))
    save("iris", module.sum, module)

    module = tf.Module()
    module.size = function(lambda text: {"size": tf.strings.length(text)}, text=([None], tf.string))
    save("sentiment", module.size, module)

    module = tf.Module()
    module.greet = function(
        lambda age, fare, name: {
            "greeting": tf.strings.join(["Hello ", name]),
            "cost": tf.cast(age, tf.float32) + fare,
        },
        age=([None], tf.int64),
        fare=([None], tf.float32),
        name=([None], tf.string),
    )
    save("people", module.greet, module)

    module = tf.Module()
    module.first = function(lambda x: {"y": x}, x=([None, 2], tf.float32))
    module.second = function(lambda x: {"y": 2 * x}, x=([None, 2], tf.int32))
    save("two", {"first": module.first, "second": module.second}, module)

    module = tf.Module()
    module.decode = function(decode, image=([None], tf.string))
    save("decoder", module.decode, module)


def name_classes(folder: Path) -> None:
    """`named` is `iris` with a config.pbtxt of Triton's, which names its classes."""
    named = folder / "named"
    shutil.copytree(folder / "iris", named / "1" / "model.savedmodel")
    (named / "labels.txt").write_text("a\nb\nc\nd\n")
    (named / "config.pbtxt").write_text(
        'name: "named"\nplatform: "tensorflow_savedmodel"\nmax_batch_size: 8\n'
        'input { name: "x" data_type: TYPE_FP32 dims: 4 }\n'
        'output { name: "scores" data_type: TYPE_FP32 dims: 4 label_filename: "labels.txt" }\n'
    )


def photograph(width: int, height: int) -> Image.Image:
    """What a camera may give: soft colours with noise, which a JPEG does not hold exactly."""
    y, x = np.mgrid[0:height, 0:width]
    colours = np.stack(
        [128 + 100 * np.sin(x / 40), 128 + 100 * np.cos(y / 30), (x + y) * 200 / (width + height)], -1
    )
    noisy = colours + np.random.default_rng(1).normal(0, 6, colours.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def write_files(folder: Path) -> None:
    """The page's files."""
    photograph(640, 480).save(folder / "rose.jpg", quality=88)
    photograph(300, 300).save(folder / "tulip.png")
    (folder / "names.txt").write_text("rose\ntulip\ndaisy\n")
    (folder / "measured.csv").write_text(
        "length,width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.2,2.9,4.3,1.3\n"
    )
    (folder / "people.csv").write_text('name,age,fare\n"Ann, B.",30,7.5\nBo,41,8\n')
    (folder / "request.json").write_text('{"inputs": {"age": [30], "fare": [7.5], "name": ["Ann"]}}')
    np.save(folder / "x.npy", np.ones((2, 4), np.float32))
    np.save(folder / "doubles.npy", np.full((2, 4), 0.1))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("first-inputs")
    build(folder)
    name_classes(folder)
    write_files(folder)
    models = [os.fspath(folder / name) for name in MODELS]
    rest_port = free_port()
    with serve(*models, "--port", "0", "--rest-port", str(rest_port)) as serving:
        yield Place(folder, serving.address, f"http://127.0.0.1:{rest_port}")


def blocks(kind: str) -> list[str]:
    """The page's code of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # the command that is installed beside this interpreter
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def run(line: str, capsys: pytest.CaptureFixture[str], stdin: bytes = b"") -> tuple[int, str, str]:
    """The command in this process, which does not wait for an interpreter."""
    words = shlex.split(line)
    assert words[0] == "hotgraph"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = cli.main(words[1:])
    told = capsys.readouterr()
    return status, told.out, told.err


LINES = [line for block in blocks("sh") for line in block.splitlines()]


def test_page_has_lines_of_every_kind() -> None:
    assert len(LINES) > 20
    assert len(blocks("python")) == 2


@pytest.mark.parametrize("line", LINES)
def test_line_of_the_page_runs_as_it_stands(
    place: Place, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    piped, _, command = line.rpartition(" | ")
    stdin = (place.folder / piped.split()[-1]).read_bytes() if piped else b""
    status, out, error = run(place.own(command), capsys, stdin)
    assert status == 0, error
    assert "Traceback" not in error
    assert out or "saved" in error


def test_lines_of_the_page_run_in_a_shell_too(place: Place) -> None:
    piped = next(line for line in LINES if " | " in line)
    finished = shell(place.own(piped), place.folder)
    assert finished.returncode == 0, finished.stderr
    assert '"scores": [[5.1, 8.6, 10.0, 10.2]' in finished.stdout


@pytest.mark.parametrize("program", blocks("python"))
def test_python_of_the_page_runs_as_it_stands(
    place: Place, program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    exec(compile(place.own(program), os.fspath(PAGE), "exec"), {})
    assert capsys.readouterr().out


def test_answers_are_right(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        line = f"hotgraph predict {place.grpc} people --input people.csv --output greeting"
        assert '"greeting": ["Hello Ann, B.", "Hello Bo"]' in run(line, capsys)[1]
        line = f"hotgraph predict {place.grpc} two --input '[[1, 2]]' --signature second"
        assert '"y": [[2, 4]]' in run(line, capsys)[1]
        line = f"hotgraph predict {place.grpc} decoder --input rose.jpg"
        with Image.open("rose.jpg") as image:
            mean = np.asarray(image, np.float32).mean((0, 1))
        told = eval(run(line, capsys)[1])["mean"]
        np.testing.assert_allclose(told, [mean], atol=2)
        line = f"hotgraph predict {place.grpc} flowers --input tulip.png --output image=negative.png"
        assert run(line, capsys)[0] == 0
        with Image.open("negative.png") as image, Image.open("tulip.png") as tulip:
            small = np.asarray(tulip.resize((32, 32), Image.Resampling.BILINEAR), int)
            assert np.abs(255 - small - np.asarray(image, int)).max() <= 1


@pytest.mark.parametrize("over", ["gRPC", "HTTP"])
def test_lists_for_any_signature_take_its_datatypes(place: Place, over: str) -> None:
    with Client(place.grpc if over == "gRPC" else place.http) as client:
        assert client.predict("two", {"x": [[1, 2]]}, signature="second")["y"].dtype == np.int32
        assert client.predict("two", [[1, 2]], signature="first").dtype == np.float32
        assert {model.name for model in client.models()} == set(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_calls_that_inspect_prints_run_as_they_stand(
    place: Place, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, report, error = run(f"hotgraph inspect {place.folder / model}", capsys)
    assert status == 0, error
    lines = place.own(report).splitlines()
    command = next(line for line in lines if line.startswith("  hotgraph predict"))
    assert command == lines[-1], "the last line is to be pasted"
    status, out, error = run(command.strip(), capsys)
    assert status == 0, error
    assert out.startswith("{")
    start = next(number for number, line in enumerate(lines) if line.startswith("  import "))
    program = [line[2:] for line in lines[start : lines.index("", lines.index("", start) + 1)]]
    exec(compile("\n".join(program), "report", "exec"), {})
    assert capsys.readouterr().out
    curl = next((line for line in lines if line.startswith("  curl")), None)
    if curl is not None and shutil.which("curl"):
        finished = shell(f"{curl.strip()} --fail --silent --show-error", place.folder)
        assert finished.returncode == 0, finished.stderr
        assert '"outputs"' in finished.stdout


# Inputs that not every value fits: tf.Examples, parts of sparse and ragged tensors, numbers as text.
ODD = ("example_scores", "tf1_composites", "every_dtype")
OTHERS = tuple(name for name in BUILDERS if name not in (*ODD, *UNFIT))


@pytest.mark.parametrize("names", [ODD, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["odd", "others"])
def test_calls_of_any_model_that_inspect_prints_are_answered(
    saved_models: SavedModels, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(*(f"{name}={saved_models[name]}" for name in names), "--port", "0") as serving:
        for name in names:
            _, report, _ = run(f"hotgraph inspect {saved_models[name]} --name {name}", capsys)
            command = report.splitlines()[-1].strip().replace("127.0.0.1:8500", serving.address)
            status, _, error = run(command, capsys)
            assert status == 0, f"{command}\n{error}"


def test_names_of_a_model_come_from_the_server(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"hotgraph predict {place.grpc} named --input '[[1, 2, 3, 4]]' --top 2"
    status, out, error = run(line, capsys)
    assert status == 0, error
    best = '[{"label": "d", "index": 3, "value": 10.0}, {"label": "c", "index": 2, "value": 6.0}]'
    assert best in out
