"""The unit for systemd: what systemd itself says of it, and what it must agree with."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from hotgraph_server.commands import config, serve
from hotgraph_server.settings import ListenSettings

from .image import ROOT
from .pods import END_S

UNIT = ROOT / "deploy" / "systemd" / "hotgraph.service"
PROGRAM = "/opt/hotgraph/bin/hotgraph"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)"
)
# Of 10; systemd's own scale, by which a unit without any hardening has 9.6.
MOST_EXPOSED = 2.0


def values(key: str) -> list[str]:
    """What the unit has for a key, in its order."""
    lines = [line.partition("=") for line in UNIT.read_text().splitlines() if not line.startswith("#")]
    return [value for name, _, value in lines if name == key]


def only(key: str) -> str:
    (value,) = values(key)
    return value


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit for a machine that has hotgraph, as far as systemd looks."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(PROGRAM, "/bin/true"))
    return copy


@needs_systemd
def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    ended = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@needs_systemd
def test_systemd_would_find_something(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=gently"))
    ended = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert "gently" in ended.stderr


@needs_systemd
def test_little_is_exposed(unit: Path) -> None:
    options = ["--offline=true", f"--threshold={int(MOST_EXPOSED * 10)}", "--no-pager"]
    ended = subprocess.run(
        ["systemd-analyze", "security", *options, str(unit)], capture_output=True, text=True, timeout=60
    )
    if "--offline" in ended.stderr:
        pytest.skip("this systemd cannot look at a file")
    assert ended.returncode == 0, ended.stdout[-3000:]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("DynamicUser", "yes"), ("ProtectSystem", "strict"), ("NoNewPrivileges", "yes")),
        *(("CapabilityBoundingSet", ""), ("RestrictNamespaces", "yes"), ("PrivateDevices", "yes")),
        *(("KillMode", "mixed"), ("StateDirectory", "hotgraph"), ("Restart", "on-failure")),
    ],
)
def test_hardening_is_there_where_systemd_is_not_to_look(key: str, value: str) -> None:
    assert only(key) == value


def test_commands_of_the_unit_are_read_by_their_parsers() -> None:
    for key, command, module in (("ExecStartPre", "config", config), ("ExecStart", "serve", serve)):
        program, name, *words = shlex.split(only(key))
        assert (program, name) == (PROGRAM, command)
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        found = vars(parser.parse_args(words))
        assert str(found.get("config") or found.get("file")) == "/etc/hotgraph/server.toml"


def test_stop_waits_longer_than_a_drain() -> None:
    assert int(only("TimeoutStopSec")) > ListenSettings().drain_s + END_S


def test_memory_may_be_made_executable() -> None:
    # oneDNN and XLA compile; with it the first run of many a model would fail.
    assert "yes" not in values("MemoryDenyWriteExecute")
