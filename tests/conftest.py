"""What all tests share. Quick to import: nothing here imports TensorFlow before a test needs it."""

from __future__ import annotations

import pytest

from .saved_models import SavedModels


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> SavedModels:
    """The SavedModels of tests/saved_models by name, for example ``saved_models["tf2_mlp"]``."""
    return SavedModels(tmp_path_factory.mktemp("saved_models"))
