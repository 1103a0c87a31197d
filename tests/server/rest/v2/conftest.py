"""What the tests of /v2 share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ...protocols.fakes import Models
from .serving import V2


@pytest.fixture
def models() -> Iterator[Models]:
    """A registry to put versions into; their executors are stopped at the end."""
    models = Models()
    yield models
    models.stop()


@pytest.fixture
def v2(models: Models, tmp_path: Path) -> V2:
    return V2(models, tmp_path)
