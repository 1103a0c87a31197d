"""Documents take a moment to simulate: each is made once, and tests that change one copy it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from hotgraph_client.loadtest.document import Document

from . import documents

Make = Callable[[str], Document]

_MADE: dict[str, Document] = {}


@pytest.fixture
def made() -> Make:
    """A document of documents.py by name, the test's own copy."""

    def copied(name: str) -> Document:
        if name not in _MADE:
            _MADE[name] = getattr(documents, name)()
        return copy.deepcopy(_MADE[name])

    return copied
