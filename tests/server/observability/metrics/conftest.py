from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...fakes import HANG_S
from .scraped import Scraped


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    """One live version `m` 3 with a signature `s`."""
    scraped = Scraped("s")
    yield scraped
    assert scraped.version.stop(HANG_S)
