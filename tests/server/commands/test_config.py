"""``hotgraph config check``: all that is wrong with a file, with lines and an exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotgraph_server.commands import config
from hotgraph_server.commands.serve import settings_from
from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.settings.file import read_settings_file

RIGHT = """\
port = 9000
tls_cert = "c.pem"
tls_key = "k.pem"
[models.flowers]
path = "/models/flowers"
max_batch_rows = 8
"""
WRONG = """\
prot = 9000
drain_s = -1
lead = "some"
max_wait_us = "long"

[models.flowers]
path = "/models/flowers"
max_batch_rows = 0
state.sync = "x"
[models.other]
path = 3
"""

Check = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Exit status and lines, of stderr where it fails; FILE stands for the file's name."""

    def run(content: str, *flags: str) -> tuple[int, list[str]]:
        file = tmp_path / "server.toml"
        file.write_text(content)
        parser = argparse.ArgumentParser()
        config.add_arguments(parser)
        status = config.run(parser.parse_args(["check", str(file), *flags]))
        out, err = capsys.readouterr()
        return status, [line.replace(str(file), "FILE") for line in (err if status else out).splitlines()]

    return run


def test_right_file_is_status_0_and_one_line(check: Check) -> None:
    assert check(RIGHT) == (0, ["FILE: right, 3 settings for all and tables for 1 model"])
    assert check("")[0] == 0


def test_all_that_is_wrong_is_told_at_once_line_by_line(check: Check) -> None:
    status, lines = check(WRONG)
    assert status == 1
    assert lines == [
        "FILE:1: unknown key 'prot'; did you mean 'port'?",
        "FILE:2: drain-s must be 0 to 86400 (a day), got -1",
        "FILE:3: lead must be one of auto, never, got 'some'",
        "FILE:4: max_wait_us must be an integer, got 'long'",
        "FILE:8: [models.flowers]: max-batch-rows must be at least 1, got 0",
        "FILE:9: [models.flowers]: state-sync must be one of snapshot, every_write, got 'x'",
        'FILE:11: [models.other] needs path = "DIR", got 3',
        "hotgraph config: 7 wrong",
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("port = 9000\nadmin_port = 9000\n", "FILE:2: admin-port and port must differ, both are 9000"),
        ("\ntls_cert = 'c.pem'\n", "FILE:2: tls-cert and tls-key go together: a certificate is of no use "),
        ("[models.m]\nmax_batch_rows = 3\n", 'FILE: [models.m] needs path = "DIR", or a repository'),
        ("port = 1\nport = 2\n", "FILE:2: no valid TOML: Cannot overwrite a value (at line 2, "),
        # For all it is right, and with what holds for all it is wrong for one.
        (
            "max_batch_rows = 128\n[models.m]\npath = 'm'\nmax_queued_rows = 100\n",
            "FILE:4: [models.m]: max-queued-rows must be at least max-batch-rows (128)",
        ),
    ],
)
def test_what_does_not_go_together_is_told_with_a_line_where_there_is_one(
    check: Check, content: str, line: str
) -> None:
    status, lines = check(content)
    assert (status, len(lines)) == (1, 2)
    assert lines[0].startswith(line)


def test_what_is_wrong_for_all_models_is_told_once(check: Check) -> None:
    _, lines = check("max_batch_rows = 0\n[models.a]\npath = 'a'\n[models.b]\npath = 'b'\n")
    assert lines[:-1] == ["FILE:1: max-batch-rows must be at least 1, got 0"]


def test_folders_are_looked_for_when_asked(check: Check) -> None:
    content = "[models.flowers]\npath = '/gone/flowers'\n"
    assert check(content)[0] == 0
    status, lines = check(content, "--files")
    assert status == 1
    assert "/gone/flowers" in lines[0]


def test_files_of_tls_are_looked_for_when_asked(check: Check) -> None:
    content = "port = 1\ntls_cert = '/gone/crt'\ntls_key = '/gone/key'\n"
    assert check(content)[0] == 0
    status, lines = check(content, "--files")
    assert status == 1
    assert lines[0].startswith("FILE:3: --tls-key /gone/key: No such file")


def test_what_several_processes_exclude_is_wrong(check: Check) -> None:
    assert check("processes = 1\nfast_lane = false\n")[0] == 0
    status, lines = check("processes = 2\nfast_lane = false\n")
    assert status == 1
    assert lines[0].startswith("FILE:1: --processes 2 excludes no-fast-lane")


def test_environment_is_checked_too_when_asked(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTGRAPH_DRAIN_S", "soon")
    monkeypatch.setenv("HOTGRAPH_ADMIN_PROT", "1")
    assert check("port = 9000")[0] == 0
    status, lines = check("port = 9000", "--environment")
    assert status == 1
    assert lines == [
        "the environment's HOTGRAPH_ADMIN_PROT is no setting; did you mean HOTGRAPH_ADMIN_PORT?",
        "HOTGRAPH_DRAIN_S must be a number, got 'soon'",
        "hotgraph config: 1 wrong",
    ]
    monkeypatch.setenv("HOTGRAPH_DRAIN_S", "3")
    monkeypatch.setenv("HOTGRAPH_ADMIN_PORT", "9000")
    status, lines = check("port = 9000", "--environment")
    assert status == 1
    assert lines[1].endswith("admin-port and port must differ, both are 9000 (HOTGRAPH_ADMIN_PORT is '9000')")


def test_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    with pytest.raises(StartError, match="No such file"):
        config.run(parser.parse_args(["check", str(tmp_path / "gone.toml")]))


LINES = [
    *("port = 1", "port = 99999", "port = 'x'", "drain_s = -1", "lead = 'x'", "join = 'auto'", "nothing = 1"),
    *("[models.m]", "path = 'm'", "max_batch_rows = 0", "max_wait_us = 5", "state.keep = 0", "state.dir = 3"),
    *(
        "[models]",
        "queue_policy = { a = 1 }",
        "row_buckets = [1]",
        '"""',
        "pad = { x = 1 }",
        "repository = ['r']",
    ),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(LINES), max_size=6).map("\n".join))
def test_what_a_start_refuses_the_check_refuses_and_little_else(
    check: Check, tmp_path: Path, content: str
) -> None:
    status, _ = check(content)
    refused = 0
    try:
        settings_from({"config": tmp_path / "server.toml", "models": []})
    except SettingsError:
        refused = 1
    # What is wrong with a repository's models is found by a start when it comes to them.
    assert status == refused or (status and "repository" in content)


def test_reading_and_checking_agree(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(WRONG)
    with pytest.raises(SettingsError, match=r"unknown key .prot.; .* 2 more: hotgraph config check"):
        read_settings_file(file)
