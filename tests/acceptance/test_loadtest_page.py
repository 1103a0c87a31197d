"""The lines of docs/loadtest.md that begin with $ run as they stand there, only for less long."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.commands.builtin import digits_model

from ..ports import free_port
from .command import serve
from .test_rest_page import shown

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "loadtest.md"
SHOWN = [one.command for one in shown(PAGE.read_text())]
RUN_S = 200.0

SHORT = {
    "hotgraph loadtest ": "--duration 0.3 --warm-up 0",
    "hotgraph tune ": "--seconds 1.5 --turn-seconds 0.5 --max-rows 8",
}


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, str]]:
    """The ports of the page, and those of a server that is started as it says."""
    (flags,) = re.findall(r"`hotgraph serve (--port .*?)`", PAGE.read_text())
    found = {number: str(free_port()) for number in re.findall(r"\d+", flags)}
    assert set(found) == {"8500", "8502", "8501"}
    with serve(*shlex.split(ported(flags, found))):
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lines are run one after another, with the files that they speak of as the reader's own."""
    made = tmp_path_factory.mktemp("page")
    # The page's own folder of a model.
    (made / "flowers").symlink_to(digits_model())
    np.save(made / "images.npy", np.random.default_rng(1).random((20, 784), np.float32))
    write_log(made / "requests.tfrecord")
    return made


def write_log(path: Path) -> None:
    """A request log of forty calls in one second."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(40):
            log = prediction_log_pb2.PredictionLog()
            log.log_metadata.timestamp_secs = 1_700_000_000
            log.log_metadata.model_spec.name = "digits"
            request = log.predict_log.request
            request.model_spec.name = "digits"
            image = np.full((1 + number % 3, 784), number / 40, np.float32)
            request.inputs["images"].CopyFrom(tf.make_tensor_proto(image))
            writer.write(log.SerializeToString())


def ported(line: str, ports: dict[str, str]) -> str:
    """A line with the ports of the test's server."""
    return re.sub(r"\b850[012]\b", lambda found: ports[found[0]], line)


def shortened(line: str) -> str:
    """A line that takes seconds and finds the scenarios; how long those take their settings say."""
    line = re.sub(r"DURATION=\d+", "DURATION=0.3", line.strip())
    line = line.replace("scripts/loadtest/", f"{ROOT}/scripts/loadtest/")
    return " ".join([line, *(more for start, more in SHORT.items() if line.startswith(start))])


def _param(line: str) -> Any:
    # A tuning loads a model several times; of the two searches one will do.
    is_slow = line.startswith("hotgraph tune") or ("--slo" in line and "--need" not in line)
    marks = [pytest.mark.slow] if is_slow else []
    return pytest.param(line, id=re.sub(r"\W+", "-", line)[:70], marks=marks)


@pytest.mark.parametrize("line", list(map(_param, SHOWN)))
def test_line_of_the_page_runs(line: str, ports: dict[str, str], folder: Path) -> None:
    commands = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shortened(ported(line, ports))],
        cwd=folder,
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    # Whether a promise is kept in a third of a second, beside other tests, says nothing of the line.
    kept = re.search(r"--slo '(.*?)'", line)
    missed = kept is not None and done.stderr.splitlines()[-1].startswith(f"hotgraph loadtest: {kept[1]}:")
    assert done.returncode == (1 if missed else 0), done.stderr
    # What it is said to write is there.
    for written in re.findall(r"--(?:json|html) (\S+)", line):
        assert (folder / written).stat().st_size > 1000


def test_every_flag_that_the_page_names_is_one(folder: Path) -> None:
    hotgraph = Path(sys.executable).with_name("hotgraph")
    known = set()
    for words in (["loadtest"], ["tune"], ["serve"], ["predict"]):
        done = subprocess.run([hotgraph, *words, "--help"], capture_output=True, text=True, check=True)
        known |= set(re.findall(r"--[a-z][a-z-]*", done.stdout))
    text = re.sub(r"```\n(?:pip|locust|k6).*?```", "", PAGE.read_text(), flags=re.DOTALL)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert len(named) > 20
    assert named - known <= {"--help"}
