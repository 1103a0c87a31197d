"""The command line of the doctor: what it prints, and its exit status."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotgraph_server.commands.builtin import digits_model
from hotgraph_server.commands.cli import main


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """The command keeps the loader's log to itself."""
    logger = logging.getLogger("hotgraph_server")
    level = logger.level
    yield
    logger.setLevel(level)


def test_exit_status_0_for_what_is_served_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model_name=digits", f"--model_base_path={digits_model()}"]
    assert main(["doctor", "--no-load", "--tfs", *words]) == 0
    assert "model digits: served as it was" in capsys.readouterr().out


def test_options_of_its_own_may_stand_behind_the_flags_too(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--json", "--model_name=digits", f"--model_base_path={digits_model()}", "--no-load"]
    assert main(["doctor", "--tfs", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["command"].endswith(f"--model_name=digits --model_base_path={digits_model()}")


def test_exit_status_1_and_json_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m").mkdir()
    assert main(["doctor", "--no-load", "--json", "--triton", str(tmp_path)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["fit"] is False
    assert [subject["model"] for subject in report["subjects"]] == ["", "m"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tfs"], "--tfs needs a file of models"),
        (["--tfs", "docker", "run"], "'docker' is no flag"),
        (["--triton", "/nowhere"], "/nowhere: no such folder"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--no-load", *words]) == 1
    assert says in capsys.readouterr().err.splitlines()[-1]
