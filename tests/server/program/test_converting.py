"""Models that were given as files, where a server starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.errors import LoadError, SettingsError
from hotgraph_server.program import converting
from hotgraph_server.program.converting import converted, given_path
from hotgraph_server.settings import ModelSettings, RepositorySettings, ServerSettings


@pytest.fixture(autouse=True)
def _conversions(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_folders(models: Sequence[ModelSettings], *_: Any) -> tuple[ModelSettings, ...]:
        (model,) = models
        if model.name == "bad":
            raise LoadError(str(model.path), "cannot be")
        return (dataclasses.replace(model, path=Path("/made")),)

    monkeypatch.setattr(converting, "with_folders", with_folders)


def settings(*, exit_on_error: bool) -> ServerSettings:
    models = (ModelSettings("bad", Path("bad.keras")), ModelSettings("good", Path("good.keras")))
    return ServerSettings(models, repository=RepositorySettings(exit_on_error=exit_on_error))


def test_file_that_cannot_be_converted_ends_the_start() -> None:
    with pytest.raises(LoadError, match=r"bad\.keras: cannot be"):
        converted(settings(exit_on_error=True))


def test_server_that_starts_anyhow_has_the_other_models(caplog: pytest.LogCaptureFixture) -> None:
    found = converted(settings(exit_on_error=False))
    assert [(one.name, str(one.path)) for one in found.models] == [("bad", "bad.keras"), ("good", "/made")]
    assert "bad.keras: cannot be" in caplog.text


def test_path_is_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert given_path("~/m") == Path("/home/me/m")
    assert given_path("file:///m") == Path("/m")
    with pytest.raises(SettingsError, match="copy it there first"):
        given_path("s3://bucket/m")
