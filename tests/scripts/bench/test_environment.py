"""The cache folder, which several commands and checkouts may share."""

from __future__ import annotations

import argparse
import fcntl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import environment
from bench.environment import Cache


def test_nobody_else_installs_while_somebody_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    lock = tmp_path / "venvs" / "tools.lock"
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        with lock.open("w") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (tmp_path / "venvs" / "tools").mkdir(exist_ok=True)
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    python = environment.venv(cache, "tools", ["a", "b"])
    assert python == tmp_path / "venvs" / "tools" / "bin" / "python"
    assert [command[-1] for command in commands] == [str(tmp_path / "venvs" / "tools"), "b"]
    with lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # What is there is left alone, and other requirements are not.
    environment.venv(cache, "tools", ["a", "b"])
    assert len(commands) == 2
    environment.venv(cache, "tools", ["a", "c"])
    assert len(commands) == 4


def test_every_command_takes_the_same_cache() -> None:
    parser = argparse.ArgumentParser()
    environment.add_cache_option(parser)
    assert parser.parse_args([]).cache == environment.CACHE
    assert parser.parse_args(["--cache", "elsewhere"]).cache == Path("elsewhere")
