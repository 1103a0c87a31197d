"""A small run of scripts/fuzz: mutated calls of every kind against a live server, which nothing may hurt."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzzing.models import make_repository
from fuzzing.options import Options

from ..saved_models import SavedModels


@pytest.mark.parametrize("fast_lane", [True, False], ids=["fast lane", "grpc's own way"])
def test_no_mutated_call_hurts_the_server(
    saved_models: SavedModels, tmp_path: Path, capsys: pytest.CaptureFixture[str], fast_lane: bool
) -> None:
    # Not at the head: it imports TensorFlow.
    from fuzzing.__main__ import fuzz

    make_repository(saved_models, tmp_path / "repository")
    options = Options(3000, seed=2, senders=2, fast_lane=fast_lane, memory_mib=256.0, only=None)
    status = fuzz(options, saved_models["two_in_two_out"], tmp_path)
    assert status == 0, capsys.readouterr().out
