from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from hotgraph_server.commands.fleet import status
from hotgraph_server.errors import FleetError
from tests.server.fleet.documents import document


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A fleet's file; its folder is beside it."""
    (tmp_path / "models").mkdir()
    path = tmp_path / "fleet.toml"
    path.write_text(f'[fleet]\nrepository = "{tmp_path}/models"\nstate = "{tmp_path}/state"\n')
    return path


def asked(file: Path, *flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    status.add_arguments(parser)
    return argparse.Namespace(**vars(parser.parse_args(flags)), file=file)


def told(file: Path, text: str) -> None:
    folder = file.parent / "state"
    folder.mkdir(exist_ok=True)
    (folder / "status.json").write_text(text)


def test_without_a_terminal_it_is_written_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(file, json.dumps(document()))
    assert status.run(asked(file)) == 0
    assert capsys.readouterr().out.startswith("fleet shop: 2 of 3 replicas ready")


def test_json_is_as_the_driver_has_written_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(file, json.dumps(document()))
    assert status.run(asked(file, "--json")) == 0
    assert json.loads(capsys.readouterr().out) == document()


def test_fleet_that_never_was_says_how_to_start_one(file: Path) -> None:
    with pytest.raises(FleetError, match=r"no fleet has been here: .*hotgraph fleet up -f .*fleet.toml"):
        status.run(asked(file))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_what_is_no_status_says_so(file: Path, text: str) -> None:
    told(file, text)
    with pytest.raises(FleetError):
        status.run(asked(file))


def test_terminal_gets_a_table_that_is_drawn_anew(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    told(file, json.dumps(document()))
    looks = []

    def sleep(_: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("hotgraph_server.commands.fleet.status.time.sleep", sleep)
    assert status.run(asked(file)) == 0
    assert len(looks) == 3
    assert "flowers" in capsys.readouterr().out
