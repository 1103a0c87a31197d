"""What all tests share. Quick to import: nothing here imports TensorFlow before a test needs it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from .saved_models import SavedModels

# How long an example takes says something about who else uses the machine, and nothing about the code.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> SavedModels:
    """The SavedModels of tests/saved_models by name, for example ``saved_models["tf2_mlp"]``."""
    return SavedModels(tmp_path_factory.mktemp("saved_models"))
