"""Small runs of scripts/fuzz: mutated calls, frames and requests of REST against a live server, which
nothing may hurt; and of scripts/fuzz coverage, over what parses bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzzing import coverage
from fuzzing.models import make_repository
from fuzzing.options import Options
from fuzzing.targets import WHERE

from ..saved_models import SavedModels

# What of these a change is tried on: the first of each module. A fuzzer takes seconds to start.
FIRST = {module: name for name, module in reversed(WHERE.items())}.values()


@pytest.mark.parametrize("fast_lane", [True, False], ids=["fast lane", "grpc's own way"])
def test_no_mutated_call_hurts_the_server(
    saved_models: SavedModels,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    thorough: bool,
    fast_lane: bool,
) -> None:
    # Not at the head: it imports TensorFlow.
    from fuzzing.__main__ import fuzz

    make_repository(saved_models, tmp_path / "repository")
    parts = ("inference", "prediction", "management", "reloading")
    calls = 3000 if thorough else 1000
    options = Options(calls, seed=2, senders=2, fast_lane=fast_lane, memory_mib=256.0, only=None, parts=parts)
    status = fuzz(options, saved_models["two_in_two_out"], tmp_path)
    assert status == 0, capsys.readouterr().out


# On a machine that is busy with other things, connections that wait for nothing wait longer.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", ["http2", "rest"])
def test_nothing_that_comes_to_a_port_in_bytes_hurts_the_server(
    saved_models: SavedModels, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    from fuzzing.__main__ import fuzz

    make_repository(saved_models, tmp_path / "repository")
    options = Options(500, seed=2, senders=2, fast_lane=True, memory_mib=256.0, only=None, parts=(part,))
    status = fuzz(options, saved_models["two_in_two_out"], tmp_path)
    assert status == 0, capsys.readouterr().out


@pytest.mark.skipif(not coverage.is_installed(), reason=coverage.MISSING)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FIRST else [pytest.mark.slow]) for name in WHERE]
)
def test_a_fuzzer_led_by_coverage_finds_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of the same seed it makes the same inputs, and so many runs take a second.
    found = coverage.fuzz(name, ["-runs=300", "-seed=1"], tmp_path / "corpus", tmp_path / "found")
    assert not found, capsys.readouterr().out
