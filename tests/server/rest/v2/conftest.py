"""What the tests of the Open Inference Protocol over HTTP share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...protocols.fakes import Models


@pytest.fixture
def models() -> Iterator[Models]:
    """A registry to put versions into; their executors are stopped at the end."""
    models = Models()
    yield models
    models.stop()
