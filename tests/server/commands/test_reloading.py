"""A configuration that changes under us, or that somebody asks for."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from hotgraph_server.commands.reloading import Reloading
from hotgraph_server.errors import ConfigError, Draining, SettingsError

PATIENCE_S = 60.0


class Acts:
    """Counts, and fails as told."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None
        self.asked: list[bool] = []
        self.acted = threading.Event()

    def __call__(self, asked: bool) -> None:
        self.count += 1
        self.asked.append(asked)
        self.acted.set()
        if self.error is not None:
            raise self.error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "models.config"
    path.write_text("one")
    return path


@pytest.fixture
def acts() -> Acts:
    return Acts()


def test_file_that_stays_as_it_is_changes_nothing(path: Path, acts: Acts) -> None:
    file = Reloading(acts, path, 1.0)
    file.look()
    path.write_text("one")
    file.look()
    assert acts.count == 0


def test_each_change_is_acted_upon_once(path: Path, acts: Acts) -> None:
    file = Reloading(acts, path, 1.0)
    for count, text in enumerate(("two", "three", "two"), 1):
        path.write_text(text)
        file.look()
        file.look()
        assert acts.count == count


@pytest.mark.parametrize(
    "error", [SettingsError("wrong here"), ConfigError("wrong here"), ValueError("a bug")]
)
def test_change_that_cannot_be_is_told_once_and_the_next_one_is_another_try(
    path: Path, acts: Acts, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    file = Reloading(acts, path, 1.0)
    acts.error = error
    path.write_text("two")
    file.look()
    file.look()
    assert [record.getMessage()[:27] for record in caplog.records] == ["the models stay as they are"]
    acts.error = None
    path.write_text("three")
    with caplog.at_level(logging.INFO):
        file.look()
    assert acts.count == 2
    assert f"{path} has changed, and is taken" in caplog.text


def test_file_that_is_gone_and_comes_back_is_looked_at_again(path: Path, acts: Acts) -> None:
    file = Reloading(acts, path, 1.0)
    path.unlink()
    acts.error = SettingsError("No such file")
    file.look()
    file.look()
    assert acts.count == 1
    acts.error = None
    path.write_text("one")
    file.look()
    assert acts.count == 2


def test_thread_looks_by_itself_and_ends_at_the_end(path: Path, acts: Acts) -> None:
    with Reloading(acts, path, 0.001):
        path.write_text("two")
        assert acts.acted.wait(PATIENCE_S)
    assert "configuration" not in [thread.name for thread in threading.enumerate()]


def test_long_pause_does_not_hold_up_the_end(path: Path, acts: Acts) -> None:
    with Reloading(acts, path, 86_400.0):
        pass
    assert acts.count == 0


def test_who_asks_has_it_taken_though_nothing_has_changed(path: Path, acts: Acts) -> None:
    with Reloading(acts, path) as reloading:
        reloading.ask()
        assert acts.acted.wait(PATIENCE_S)
    assert acts.asked == [True]


def test_what_was_asked_for_before_the_end_is_done(acts: Acts) -> None:
    with Reloading(acts) as reloading:
        for _ in range(3):
            reloading.ask()
    assert acts.asked == [True] * 3


def test_what_was_asked_for_is_no_change_of_the_file_afterwards(path: Path, acts: Acts) -> None:
    reloading = Reloading(acts, path, 1.0)
    path.write_text("two")
    reloading.reload()
    reloading.look()
    assert acts.asked == [True]


@pytest.mark.parametrize(
    "error", [SettingsError("wrong here"), Draining("model control"), ValueError("a bug")]
)
def test_each_time_that_is_asked_for_in_vain_is_told_in_one_line(
    acts: Acts, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    reloading = Reloading(acts)
    acts.error = error
    reloading.reload()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("the models stay as they are: ")
