"""The quickstart: its parts, then the whole as a person would run it, to the lines that they would paste."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import quickstart
from hotgraph_server.commands.builtin import heldout_digits
from quickstart_calls import Load, WrongAnswers, call_in_parallel, call_with_new_sessions, check_answers
from quickstart_options import parse

SCRIPTS = Path(quickstart.__file__).parent


class EchoClient:
    """Answers with the image's first ten pixels as probabilities; refuses the calls from a number on."""

    def __init__(self, refuse_from: int | None = None) -> None:
        self.calls = 0
        self._refuse_from = refuse_from

    def predict(
        self, model: str, inputs: dict[str, NDArray[np.float32]], *, timeout_s: float
    ) -> dict[str, Any]:
        self.calls += 1
        if self._refuse_from is not None and self.calls >= self._refuse_from:
            raise ConnectionError(f"call {self.calls} refused")
        return {"probabilities": inputs["images"][:, :10]}


def answers(probabilities: NDArray[np.float32]) -> Load:
    return Load(np.full(len(probabilities), 0.001), probabilities, wall_s=1.0)


def one_hot(classes: list[int]) -> NDArray[np.float32]:
    return np.eye(10, dtype=np.float32)[classes]


def test_call_number_i_carries_image_i_and_its_answer_is_kept_there() -> None:
    images = np.random.RandomState(0).rand(7, 784).astype(np.float32)
    client: Any = EchoClient()
    load = call_in_parallel(client, images, calls=30, callers=4, watch=lambda done: None)
    assert_allclose(load.probabilities, images[np.arange(30) % 7, :10])
    assert client.calls == 30 + 4  # each caller's first is not counted
    assert (load.latencies_s > 0).all()


def test_first_failing_call_is_raised_and_stops_the_other_callers() -> None:
    client: Any = EchoClient(refuse_from=20)
    with pytest.raises(ConnectionError, match="refused"):
        call_in_parallel(
            client, np.zeros((5, 784), np.float32), calls=10_000, callers=4, watch=lambda done: None
        )
    assert client.calls < 100


def test_caller_that_cannot_connect_at_all_ends_the_load() -> None:
    client: Any = EchoClient(refuse_from=1)
    with pytest.raises(ConnectionError):
        call_in_parallel(
            client, np.zeros((5, 784), np.float32), calls=100, callers=4, watch=lambda done: None
        )


def test_calls_with_new_sessions_give_the_same_classes_as_the_figures() -> None:
    images, labels = heldout_digits()
    load = call_with_new_sessions(images, 10)
    assert load.probabilities.shape == (10, 10)
    assert_allclose(load.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.mean(load.probabilities.argmax(axis=1) == labels[:10]) >= 0.7
    assert (load.latencies_s > 0).all()


def test_right_answers_give_their_accuracy() -> None:
    labels = np.array([3, 1, 4, 1, 5])
    served = answers(one_hot([3, 1, 4, 1, 6, 3, 1, 4]))  # the sixth call starts over with the first image
    assert check_answers(served, answers(one_hot([3, 1])), labels, promised=0.8) == 0.8


@pytest.mark.parametrize(
    ("served", "alone", "promised", "says"),
    [
        ([3, 1, 4, 2], [3], 1.0, "different batches"),
        ([3, 1, 4], [2], 1.0, "run alone"),
        ([3, 0, 0], [3], 1.0, "accuracy on held-out images is 0.333"),
    ],
)
def test_wrong_answers_are_refused(served: list[int], alone: list[int], promised: float, says: str) -> None:
    with pytest.raises(WrongAnswers, match=says):
        check_answers(answers(one_hot(served)), answers(one_hot(alone)), np.array([3, 1, 4]), promised)


def test_options_have_a_short_form() -> None:
    assert (parse([]).calls, parse(["--short"]).calls, parse(["--short", "--calls", "900"]).calls) == (
        8000,
        800,
        900,
    )
    assert parse(["--keep"]).keep
    assert not parse([]).keep


@pytest.mark.parametrize("wrong", [["--calls", "499"], ["--callers", "0"], ["--callers", "many"], ["--loud"]])
def test_options_that_make_no_sense_end_with_usage(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(wrong)
    assert ended.value.code == 2
    assert "usage: scripts/quickstart" in capsys.readouterr().err


def test_help_needs_nothing_installed() -> None:
    """In isolated mode and without site-packages, as before the first installation."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPTS / "quickstart_options.py", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "--keep" in done.stdout
    assert "examples:" in done.stdout


def test_server_that_cannot_start_is_quoted(tmp_path: Path) -> None:
    missing = tmp_path / "no-such-model"
    with pytest.raises(quickstart.NoServer, match="no-such-model"):
        quickstart.start_server(tmp_path, f"model={missing}")


def test_quickstart_shows_its_figures_and_leaves_a_server_that_the_pasted_lines_reach(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "quickstart.py", "--short", "--keep"],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "TMPDIR": os.fspath(tmp_path)},
        check=False,
    )
    stop = re.search(r"^.*To stop it: kill (\d+)$", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stderr
    assert stop is not None, done.stdout
    server = os.pidfd_open(int(stop[1]))
    try:
        shown = done.stdout
        assert re.search(r"^  accuracy +0\.9\d\d on 500 held-out images", shown, re.MULTILINE)
        assert re.search(r"^  calls/s +[\d,]+ ", shown, re.MULTILINE)
        rows_per_batch = re.search(r"^  rows per batch +(\d+\.\d)", shown, re.MULTILINE)
        assert rows_per_batch is not None
        assert float(rows_per_batch[1]) >= 1
        assert re.search(r"^  latency, ms +p50 [\d.]+   p95 [\d.]+   p99 [\d.]+$", shown, re.MULTILINE)
        assert re.search(r"^  one hot graph +\d+ times as many calls/s", shown, re.MULTILINE)
        pasted = re.findall(r"^# .+\n(.+)$", shown, re.MULTILINE)
        assert len(pasted) == 4
        for line in pasted:
            if line.startswith("curl ") and shutil.which("curl") is None:
                continue
            answer = subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
            )
            assert answer.returncode == 0, f"{line}\n{answer.stderr}"
            assert "9" in answer.stdout, line  # the sample is a nine, and the model sees it
    finally:
        os.kill(int(stop[1]), 15)
        ended, _, _ = select.select([server], [], [], 30)
        os.close(server)
    assert ended, "the server did not end within 30 s of the kill that the quickstart names"
